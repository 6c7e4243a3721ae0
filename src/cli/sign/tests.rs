#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use clap::Parser;
use countersign_proto::v1;
use countersign_tbs::signature::Scheme;
use tonic::Code;

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    sign: SignArgs,
}

const SUBJECT: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4H2R8NAgQ7vYFVJ0A4uGZKf8Zb8qK3r7l1dX2m5w0c alice@laptop two";
const NOW: UnixTime = UnixTime(1_800_000_000);

fn args(more: &[&str]) -> SignArgs {
    let common = [
        "countersign",
        "user-ca",
        "--server",
        "unix:/run/x",
        "--public-key",
        "id.pub",
        "--principal",
        "alice",
    ];
    Command::try_parse_from(common.iter().chain(more)).unwrap().sign
}

fn tbs(more: &[&str]) -> CertificateTbs {
    let subject = SubjectKey::from_openssh_line(SUBJECT).unwrap();
    args(more).subject.fields().tbs(subject, PublicKey::Ed25519([7; 32]), NOW).unwrap()
}

fn names(options: &countersign_tbs::ssh::Options) -> Vec<(String, Option<Vec<u8>>)> {
    options.iter().map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect()
}

#[test]
fn command_line_is_consistent() {
    <Command as clap::CommandFactory>::command().debug_assert();
}

#[test]
fn a_certificate_may_have_no_extensions() {
    assert_eq!(names(tbs(&[]).extensions()), [("permit-pty".to_owned(), None)]);
    assert_eq!(names(tbs(&["--no-extensions"]).extensions()), []);
}

#[test]
fn a_lifetime_of_nothing_is_no_argument() {
    let common = ["countersign", "user-ca", "--server", "unix:/x", "--public-key", "i", "--principal", "a"];
    let error = Command::try_parse_from(common.iter().chain(&["--lifetime", "0s"])).unwrap_err().to_string();
    assert!(error.contains("a second at least") && error.contains("such as 1h"), "{error}");
}

#[test]
fn backdating_does_not_shorten_the_lifetime() {
    let tbs = tbs(&["--lifetime", "16h", "--backdate", "5m"]);
    assert_eq!(tbs.valid_after(), NOW.0 - 300);
    assert_eq!(tbs.valid_before(), NOW.0 + 16 * 3600);
}

#[test]
fn user_certificate_may_have_a_terminal_and_nothing_else() {
    let tbs = tbs(&[]);
    assert_eq!(tbs.certificate_type(), CertificateType::User);
    assert_eq!(names(tbs.extensions()), [("permit-pty".to_owned(), None)]);
    assert!(tbs.critical_options().is_empty());
    assert_eq!(tbs.key_id(), "alice");
    assert_ne!(tbs.serial(), 0);
}

#[test]
fn host_certificate_has_no_extensions() {
    let tbs = tbs(&["--host"]);
    assert_eq!(tbs.certificate_type(), CertificateType::Host);
    assert!(tbs.extensions().is_empty());
}

#[test]
fn says_exactly_what_the_options_say() {
    let tbs = tbs(&[
        "--principal",
        "root",
        "--key-id",
        "A",
        "--serial",
        "7",
        "--extension",
        "permit-user-rc",
        "--critical-option",
        "force-command=echo a=b",
        "--critical-option",
        "source-address=10.0.0.0/8",
    ]);
    assert_eq!(tbs.principals(), ["alice", "root"]);
    assert_eq!((tbs.key_id(), tbs.serial()), ("A", 7));
    assert_eq!(names(tbs.extensions()), [("permit-user-rc".to_owned(), None)]);
    let options = [
        ("force-command".to_owned(), Some(b"echo a=b".to_vec())),
        ("source-address".to_owned(), Some(b"10.0.0.0/8".to_vec())),
    ];
    assert_eq!(names(tbs.critical_options()), options);
}

#[test]
fn refuses_to_ask_for_a_certificate_without_principals() {
    let command = ["countersign", "user-ca", "--server", "unix:/run/x", "--public-key", "id.pub"];
    assert!(Command::try_parse_from(command).is_err());
}

#[test]
fn better_lane_must_be_asked_for() {
    assert!(!args(&[]).interactive);
    assert!(args(&["--interactive"]).interactive);
    let both = [
        "countersign",
        "k",
        "--server",
        "s",
        "--public-key",
        "p",
        "--principal",
        "a",
        "--interactive",
        "--bulk",
    ];
    assert!(Command::try_parse_from(both).is_err());
}

#[test]
fn throws_away_a_certificate_that_was_not_asked_for() {
    let (asked, other) = (tbs(&[]), tbs(&["--principal", "root"]));
    let response = |tbs: &CertificateTbs| SignResponse {
        object: tbs.certificate(Scheme::Ed25519, &[1; 64]).unwrap().into(),
        ..SignResponse::default()
    };
    assert_eq!(finished(&asked, &response(&asked)).unwrap().tbs().as_bytes(), asked.as_bytes());
    assert!(finished(&asked, &response(&other)).unwrap_err().to_string().contains("another certificate"));
    let cut = SignResponse { object: asked.as_bytes().to_vec().into(), ..SignResponse::default() };
    assert!(finished(&asked, &cut).is_err());
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
fn writes_where_ssh_looks() {
    assert_eq!(
        certificate_path(Path::new("/h/.ssh/id_ed25519.pub")),
        Path::new("/h/.ssh/id_ed25519-cert.pub")
    );
    assert_eq!(certificate_path(Path::new("key")), Path::new("key-cert.pub"));
}

#[test]
fn replaces_a_certificate_in_one_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("id-cert.pub");
    drop(Unfinished::beside(&path).unwrap());
    assert!(!path.exists(), "what was not signed is not written");
    Unfinished::beside(&path).unwrap().finish(b"one\n").unwrap();
    Unfinished::beside(&path).unwrap().finish(b"two\n").unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn takes_the_place_of_regular_files_alone() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::symlink(&socket, directory.path().join("link")).unwrap();
    for taken in [socket, directory.path().join("link"), directory.path().to_owned()] {
        // Only who can write to standard output is told that it is there.
        let error = Unfinished::beside(&taken).err().unwrap().to_string();
        assert!(error.contains("no regular file") && !error.contains('`'), "{error}");
        let error = Unfinished::unless_stdout(&taken).err().unwrap().to_string();
        assert!(error.contains("no regular file") && error.contains("`-` writes"), "{error}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[test]
fn keeps_the_comment_of_the_public_key() {
    assert_eq!(comment(SUBJECT), "alice@laptop two");
    assert_eq!(comment("ssh-ed25519 AAAA\n"), "");
}

#[test]
fn tls_needs_all_three_files() {
    let mut without_key = args(&["--tls-cert", "c", "--tls-ca", "a"]);
    without_key.server.server = "https://localhost:8443".to_owned();
    assert!(without_key.server.address().unwrap_err().to_string().contains("--tls-key"));
}
