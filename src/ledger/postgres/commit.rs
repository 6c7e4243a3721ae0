//! The end of a transaction, and whether it is in the database.
//!
//! In: a transaction that has been written. Out: that it is committed, or not. A COMMIT is answered without an error where the server
//! rolls back instead, because a statement before it failed: only its command tag says so, which the client library keeps to
//! itself. So the server is asked what became of the transaction, in the same round trip.

use tokio::join;
use tokio_postgres::{Client, Error};

use crate::ledger::postgres::sql::Statements;

/// The server's number of the transaction that has begun.
pub(super) async fn transaction(client: &Client, statements: &Statements) -> Result<String, Error> {
    client.query_one(&statements.transaction, &[]).await?.try_get(0)
}

/// Commits it; whether the server says that it did.
pub(super) async fn commit(
    client: &Client,
    statements: &Statements,
    transaction: &str,
) -> Result<bool, Error> {
    let (answered, fate) = join!(biased; client.batch_execute("COMMIT"), async {
        client.query_one(&statements.fate, &[&transaction]).await?.try_get::<_, Option<String>>(0)
    });
    answered?;
    Ok(fate?.as_deref() == Some("committed"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Arc;
    use std::time::Duration;

    use test_postgres::Server;

    use super::*;
    use crate::ledger::postgres::link::{Link, Session};
    use crate::ledger::postgres::sql::BEGIN;
    use crate::ledger::postgres::{Config, SCHEMA};

    /// On a real server: whether a transaction that ends with `last` is said to be committed, and whether it is there.
    fn ended(last: &'static str) -> (Result<bool, String>, String) {
        let database = Server::shared().database();
        database.sql(SCHEMA);
        database.sql("CREATE TABLE public.note (id integer PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)");
        let timeout = Duration::from_secs(5);
        let config = Arc::new(Config::new(&database.connection(), None, None, timeout).unwrap());
        let link = Link::start(&config, "test").unwrap();
        let Session { client, .. } = link.connect().unwrap();
        let committed = link.wait("committing", async move {
            let statements = Statements::prepare(&client).await?;
            client.batch_execute(BEGIN).await?;
            client.batch_execute("INSERT INTO public.note VALUES (1)").await?;
            let transaction = transaction(&client, &statements).await?;
            // As if it had not been looked at whether it failed.
            let _ = client.batch_execute(last).await;
            commit(&client, &statements, &transaction).await
        });
        let rows = database.sql("SELECT count(*) FROM public.note");
        (committed.map_err(|error| error.to_string()), rows)
    }

    #[test]
    fn what_is_committed_is_said_to_be() {
        assert_eq!(ended("INSERT INTO public.note VALUES (2)"), (Ok(true), "2".to_owned()));
    }

    #[test]
    fn a_commit_that_rolls_back_is_not_taken_for_one() {
        assert_eq!(ended("SELECT 1 / 0"), (Ok(false), "0".to_owned()));
    }

    #[test]
    fn a_commit_that_a_deferred_constraint_refuses_is_an_error() {
        let (error, rows) = ended("INSERT INTO public.note VALUES (1)");
        assert!(error.unwrap_err().contains("duplicate key"));
        assert_eq!(rows, "0");
    }

    #[test]
    fn a_transaction_that_somebody_else_has_ended_is_none() {
        assert_eq!(ended("ROLLBACK"), (Ok(false), "0".to_owned()));
    }
}
