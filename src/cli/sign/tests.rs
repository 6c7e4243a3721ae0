#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use clap::Parser;
use countersign_tbs::signature::Scheme;

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
fn writes_where_ssh_looks() {
    assert_eq!(
        certificate_path(Path::new("/h/.ssh/id_ed25519.pub")),
        Path::new("/h/.ssh/id_ed25519-cert.pub")
    );
    assert_eq!(certificate_path(Path::new("key")), Path::new("key-cert.pub"));
}

#[test]
fn keeps_the_comment_of_the_public_key() {
    assert_eq!(comment(SUBJECT), "alice@laptop two");
    assert_eq!(comment("ssh-ed25519 AAAA\n"), "");
}
