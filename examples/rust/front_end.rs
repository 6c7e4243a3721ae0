//! A minimal front-end: has an SSH user certificate signed, good for an hour.
//!
//! `front_end KEY id_ed25519.pub PRINCIPAL` writes `id_ed25519-cert.pub`. A real one would first find out who is asking,
//! and which principals that person has. It needs `countersign-proto`, `countersign-tbs`, `tokio`, and `tonic` for
//! the codes of statuses.

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use countersign_proto::client::{CallError, Client, Tls};
use countersign_proto::v1::{Key, SignRequest, sign_request};
use countersign_tbs::key::PublicKey;
use countersign_tbs::ssh::{Certificate, CertificateBuilder, CertificateTbs, CertificateType, SubjectKey};
use tonic::Code;

/// How long one call may take. It is the call's gRPC deadline: work whose deadline has passed is not given to the token.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long all attempts for one answer may take. With the 30 s by which the certificate begins early it stays below the
/// profile's backdating (60 s if not set): after that it is too old to be asked for again.
const PATIENCE: Duration = Duration::from_secs(25);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "front_end: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [key, path, principal] = args.as_slice() else {
        return Err("usage: front_end KEY PUBLIC-KEY PRINCIPAL".into());
    };
    let line = std::fs::read_to_string(path)?;
    let subject = SubjectKey::from_openssh_line(&line)?;

    let client = connect().await?.with_deadline(ATTEMPT);
    let ca = attempt(|| client.get_key(key)).await.map_err(|error| refused(&error))?;
    let tbs = tbs(subject, &ca, principal, path)?;
    let certificate = sign(&client, key, &tbs).await?;
    std::fs::write(certificate_path(path), certificate.to_openssh_line(principal) + "\n")?;
    Ok(())
}

/// Mutual TLS, with the variables of the countersign command line.
async fn connect() -> Result<Client, Box<dyn Error>> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let file = |name: &str| variable(name).map(PathBuf::from);
    let tls = Tls::from_files(
        &file("COUNTERSIGN_TLS_CERT")?,
        &file("COUNTERSIGN_TLS_KEY")?,
        &file("COUNTERSIGN_TLS_CA")?,
    )?;
    Ok(Client::connect(&variable("COUNTERSIGN_SERVER")?, &tls).await?)
}

/// What is to be signed. The builder adds the nonce, and a serial of 64 random bits.
fn tbs(subject: SubjectKey, ca: &Key, principal: &str, path: &str) -> Result<CertificateTbs, Box<dyn Error>> {
    let now = SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    let tbs = CertificateBuilder::new(CertificateType::User, subject, PublicKey::from_spki_der(&ca.spki)?)
        .key_id(format!("{principal}@{path}")) // what sshd logs
        .principal(principal)
        .valid_after(now - 30) // for clocks that are slow
        .valid_before(now + 3600 - 60)
        .extension("permit-pty", None)
        .build()?;
    Ok(tbs)
}

async fn sign(client: &Client, key: &str, tbs: &CertificateTbs) -> Result<Certificate, Box<dyn Error>> {
    let request = SignRequest {
        key: key.to_owned(),
        tbs: Some(sign_request::Tbs::SshCertificate(tbs.as_bytes().to_vec().into())),
        // The caller's own name for this request: the serial, which no other certificate has.
        request_id: format!("{:016x}", tbs.serial()),
        ..SignRequest::default()
    };
    let answer = attempt(|| client.sign(request.clone())).await;
    let answer = answer.map_err(|error| format!("{}; request id {}", refused(&error), request.request_id))?;
    let certificate = Certificate::parse(&answer.object)?;
    if certificate.tbs() != tbs {
        return Err("the signer signed another certificate than the one that was asked for".into());
    }
    Ok(certificate)
}

/// Makes a call until it is answered, refused for good, or out of patience. `Sign` may be repeated because it has a
/// request id: the signer gives the same answer, and signs nothing a second time.
async fn attempt<T>(call: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(200);
    loop {
        let error = match call().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        match wait(&error, pause) {
            Some(wait) if begun.elapsed() + wait < PATIENCE => tokio::time::sleep(wait).await,
            _ => return Err(error),
        }
        pause *= 2;
    }
}

/// After how long the same request may be sent once more. Everything else is final: asking again for what was refused is
/// refused again, and counted.
fn wait(error: &CallError, pause: Duration) -> Option<Duration> {
    let lost = match error.code {
        Code::Unavailable | Code::DeadlineExceeded => true,
        // A broken connection, if it is not the signer that speaks.
        Code::Cancelled | Code::Internal | Code::Unknown => error.reason.is_empty(),
        _ => false,
    };
    error.retry_after.or(lost.then_some(pause))
}

/// What the signer said, with the rule that refused and where the ledger holds it.
fn refused(error: &CallError) -> String {
    let rule = error.rule.iter().map(|rule| format!("; rule {rule}"));
    let entry = error.entry.iter().map(|entry| format!("; ledger entry {entry}"));
    rule.chain(entry).fold(error.to_string(), |said, more| said + &more)
}

/// `ID-cert.pub` beside `ID.pub`, where ssh looks for it.
fn certificate_path(path: &str) -> PathBuf {
    format!("{}-cert.pub", path.strip_suffix(".pub").unwrap_or(path)).into()
}
