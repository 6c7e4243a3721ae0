#![allow(clippy::unwrap_used, reason = "tests")]

use clap::Parser;
use countersign_proto::v1;
use tonic::Code;

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    server: ServerArgs,
}

#[test]
fn shows_where_a_refusal_is_recorded() {
    let metadata = [("rule", "key.user-ca.allow.staff.principals"), ("entry", "7")];
    let error = CallError::from(v1::Error {
        code: Code::PermissionDenied.into(),
        message: "no".to_owned(),
        reason: "PRINCIPAL_NOT_ALLOWED".to_owned(),
        metadata: metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    });
    let shown = refused(error).to_string();
    assert!(shown.contains("PRINCIPAL_NOT_ALLOWED: no"), "{shown}");
    assert!(shown.contains("key.user-ca.allow.staff.principals"), "{shown}");
    assert!(shown.contains("entry 7"), "{shown}");
}

#[test]
fn tls_needs_all_three_files() {
    let words = ["countersign", "--server", "https://localhost:8443", "--tls-cert", "c", "--tls-ca", "a"];
    let ServerArgs { server, identity } = Command::try_parse_from(words).unwrap().server;
    assert!(identity.address(&server).unwrap_err().to_string().contains("--tls-key"));
}
