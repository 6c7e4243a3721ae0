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
        let (one, two) = (fixture::open(own), Ledger::open(&other).unwrap());
        let id = database.sql("SELECT id FROM countersign.signer WHERE origin = 'other'");
        Self { authority, database, one, _two: two, id }
    }

    fn ca(&self) -> [u8; 32] {
        self.authority.keys.iter().find(|own| own.name.as_str() == "ca").unwrap().spki_sha256()
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
    let (ca, serial) = (hex(&members.ca()), hex(serial_of(1).as_bytes()));
    let reason = RevocationReason::Unspecified.word();
    database.sql(&format!(
        "INSERT INTO countersign.revoked VALUES ('\\x{ca}', '\\x{serial}', '{reason}', 0, 0, false, {id})"
    ));
    assert_eq!(missing(authority, one, &[1]).await, [0_u8; 0], "it says that it expired long ago");
    revoke(authority, one, by_serial(1)).await;
    assert_eq!(missing(authority, one, &[1]).await, [1]);
}
