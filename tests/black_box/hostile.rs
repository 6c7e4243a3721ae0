//! A signer that is hostile: whatever it says, it reaches nobody's terminal as it is.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;

use bytes::Bytes;
use countersign::key::PublicKey;
use countersign_proto::ERROR_DOMAIN;
use countersign_proto::v1::{ListRevocationsResponse, LogState, LoggedRevocation, Tree};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::UnixListener;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::site::{Site, USER_CA, text};

/// Clears the screen, colours it, turns the rest around, and is a line of its own.
const SAID: &str = "no\u{1b}[2J\u{9b}31m\u{202e}\ncountersign: all is well";

/// What is shown of it.
const SHOWN: &str = r"no\u{1b}[2J\u{9b}31m\u{202e}\u{a}countersign: all is well";

const SERVER: [&str; 2] = ["--server", "unix:signer.sock"];

type Body = BoxBody<Bytes, Infallible>;

/// A signer's tree, with which every reading begins, a revocation that is none, and refusals of all else.
fn answer(path: &str) -> Response<Body> {
    let (log_origin, size) = (SAID.to_owned(), 3);
    match path.rsplit('/').next() {
        Some("GetTree") => {
            let (root, other_logs) = (vec![0; 32].into(), vec![SAID.to_owned()]);
            granted(&Tree { log_origin, size, root, other_logs })
        }
        Some("ListRevocations") => {
            let logs = vec![LogState { log_origin: log_origin.clone(), size, newest_ms: 0 }];
            let revocations = vec![LoggedRevocation { log_origin, index: 0, leaf: Bytes::new() }];
            granted(&ListRevocationsResponse { revocations, more: false, logs })
        }
        _ => {
            let metadata = HashMap::from([("rule".to_owned(), SAID.to_owned())]);
            let details = ErrorDetails::with_error_info(SAID, ERROR_DOMAIN, metadata);
            Status::with_error_details(Code::PermissionDenied, SAID, details).into_http()
        }
    }
}

/// A message, as gRPC sends it: that it is not compressed, how long it is, itself, and that all is well.
fn granted(message: &impl Message) -> Response<Body> {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let frame = Bytes::from([&[0][..], &length, &message].concat());
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
    let body = Full::new(frame).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// Listens where the site's signer would.
fn listen(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<_>| async move {
                let _: &hyper::body::Incoming = request.body();
                Ok::<_, Infallible>(answer(request.uri().path()))
            });
            let builder = http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(stream), service));
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn no_command_shows_what_a_signer_says_as_it_is() {
    let site = Site::without_token(USER_CA);
    listen(&site.path("signer.sock"));
    let key = PublicKey::Ed25519([0x5a; 32]).to_openssh_line("").unwrap();
    std::fs::write(site.path("id.pub"), key).unwrap();
    let asking: [&[&str]; 14] = [
        &["ledger", "find", "--serial", "1"],
        &["ledger", "prove", "1"],
        &["ledger", "tail"],
        &["ledger", "tail", "--follow"],
        &["ledger", "checkpoint"],
        &["ledger", "verify", "--accept-uncovered"],
        &["ledger", "export", "exported"],
        &["ssh-krl", "user-ca", "--out", "list.krl"],
        &["crl", "ca", "--certificate", "mtls/ca.pem", "--out", "list.crl"],
        &["health"],
        &["bundle", "user-ca", "--format", "openssh"],
        &["sign", "user-ca", "--public-key", "id.pub", "--principal", "alice"],
        &["sign-tbs", "user-ca", "id.pub", "--kind", "ssh-certificate", "--out", "object"],
        &["bench", "user-ca", "--principal", "alice", "--duration", "1s"],
    ];
    let revoke = &["revoke", "user-ca", "--serial", "1", "--why", "a test", "--yes"];
    let operating: [&[&str]; 3] =
        [revoke, &["policy", "thaw", "user-ca", "uid:1", "--why", "a test"], &["rotate", "status"]];
    let asking = asking.map(|command| [command, &SERVER].concat());
    for command in asking.into_iter().chain(operating.map(<[_]>::to_vec)) {
        let output = site.run(&command);
        let (out, said) = (text(&output.stdout), text(&output.stderr));
        assert!(!output.status.success() && said.contains(SHOWN), "{command:?}: {out:?} {said:?}");
        let is_odd = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(!out.contains(is_odd) && !said.contains(is_odd), "{command:?}: {out:?} {said:?}");
        let well = said.lines().filter(|line| line.starts_with("countersign: all is well"));
        assert_eq!(well.count(), 0, "a line of the signer's passes for one of ours: {command:?}: {said}");
    }
    // What it calls its logs, before it refuses.
    let said = site.run_refused(revoke, 1);
    let note = format!("countersign: only what {SHOWN} has is shown; what is meant in {SHOWN} is revoked");
    assert!(said.starts_with(&note), "{said}");
}

#[test]
fn what_was_pasted_is_escaped_in_the_message_that_quotes_it() {
    let site = Site::without_token(USER_CA);
    let said = site.run_refused(&["ledger", "find", "--subject", "\u{1b}[2J"], 1);
    assert!(said.starts_with(r"countersign: cannot read \u{1b}[2J: No such file"), "{said:?}");
}
