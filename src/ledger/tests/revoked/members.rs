//! What one signer of a database can write there, and what the others make of it.

use test_postgres::Database;

use super::*;

/// One signer, and what can be written by another, of this id.
struct Members {
    authority: Authority,
    database: Database,
    one: Ledger,
    _two: Ledger,
    id: String,
}

impl Members {
    fn new() -> Self {
        let mut authority = Authority::new();
        let database = Server::shared().database();
        use_database(&mut authority.config.ledger, &database);
        let own = &authority.config.ledger;
        let other =
            Config { path: own.path.with_file_name("other"), origin: "other".to_owned(), ..own.clone() };
        let (one, two) = (fixture::open(own), fixture::open(&other));
        let id = database.sql("SELECT id FROM countersign.signer WHERE origin = 'other'");
        Self { authority, database, one, _two: two, id }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

#[tokio::test]
async fn a_row_of_one_signer_keeps_no_certificate_out_of_lists() {
    let members = Members::new();
    let Members { authority, database, one, id, .. } = &members;
    sign(authority, one, "ca", &web(1, "a", 3600)).await;
    let (ca, serial) = (hex(&ca(authority)), hex(serial_of(1).as_bytes()));
    let reason = RevocationReason::Unspecified.word();
    database.sql(&format!(
        "INSERT INTO countersign.revoked VALUES ('\\x{ca}', '\\x{serial}', '{reason}', 0, 0, false, {id})"
    ));
    assert_eq!(missing(authority, one, &[1]).await, [0_u8; 0], "it says that it expired long ago");
    revoke(authority, one, by_serial(1)).await;
    assert_eq!(missing(authority, one, &[1]).await, [1]);
}

#[tokio::test]
async fn an_entry_of_one_signer_that_cannot_be_read_stops_no_revocation_of_another() {
    let members = Members::new();
    let Members { authority, database, one, id, .. } = &members;
    for (serial, subject) in [(1, "a"), (2, "b"), (3, "c")] {
        sign(authority, one, "ca", &web(serial, subject, 3600)).await;
    }
    let insert = |index: u64| format!("INSERT INTO countersign.entry VALUES ({id}, {index}, '\\x00')");
    for index in [i64::MAX.cast_unsigned(), 1 << 48] {
        let said = database.sql_error("postgres", &insert(index));
        assert!(said.contains("violates check constraint"), "{said}");
    }
    let newest = (1 << 48) - 1;
    database.sql(&insert(newest - 2));
    revoke(authority, one, by_name("a")).await;
    assert_eq!(missing(authority, one, &[1, 2, 3]).await, [1], "read before");
    let (entry, meant) = prepared(authority, one, by_name("b")).await;
    database.sql(&insert(newest));
    assert!(one.queue.record_revocation(entry, meant).await.unwrap().is_some());
    assert_eq!(missing(authority, one, &[1, 2, 3]).await, [1, 2], "read in the transaction");
    // Or a claim leads there.
    let (ca, serial) = (hex(&ca(authority)), hex(serial_of(3).as_bytes()));
    database.sql(&format!(
        "UPDATE countersign.serial SET signer = {id}, intent = {newest} WHERE ca_key = '\\x{ca}' AND serial = '\\x{serial}'"
    ));
    revoke(authority, one, by_serial(3)).await;
    assert_eq!(missing(authority, one, &[1, 2, 3]).await, [1, 2, 3]);
    let reader = Reader::open(&authority.config.ledger).unwrap();
    let logs = reader.logs().unwrap();
    let state = logs.iter().find(|log| log.origin == "other").unwrap();
    assert_eq!((state.size, state.newest), (1 << 48, UnixMillis(0)));
}
