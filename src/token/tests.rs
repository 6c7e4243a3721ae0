//! The token stage against real SoftHSM2 tokens, each in a directory of its own, with this test binary as token process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use aws_lc_rs::signature::{self, UnparsedPublicKey};
use countersign_tbs::key::Curve;
use rustix::process::Signal;

use super::pool::Request;
use super::*;
use crate::key::{PublicKey, Scheme};
use crate::logged::Log;
use crate::sign::Priority;

mod dialects;
mod faulty;
mod fixture;
mod pins;
mod processes;
mod rungs;
mod several;
mod told;
mod undead;

use fixture::{Fixture, signal};

/// What the token process of these tests is: see [`Fixture::launch`]. In an ordinary run it does nothing.
#[test]
fn acts_as_the_token_process() {
    if std::env::var_os(fixture::MARK).is_some() {
        process::exit(match process::run() {
            Ok(()) => 0,
            Err(_) => 1,
        });
    }
}

async fn sign(tokens: &Tokens, key: &str, scheme: Scheme) -> Result<RawSignature, TokenError> {
    sign_until(tokens, key, scheme, None).await
}

async fn sign_until(
    tokens: &Tokens,
    key: &str,
    scheme: Scheme,
    deadline: Option<Instant>,
) -> Result<RawSignature, TokenError> {
    let key = KeyName::new(key).unwrap();
    let request = Request { key: &key, scheme, message: MESSAGE, deadline, priority: Priority::Interactive };
    tokens.route(&key)?.ask(request).sign().await
}

/// How a request that goes on is logged.
const GOES_ON: &str = "the next token is asked";

/// Waits for a health, and not for ever.
async fn reaches(health: &mut watch::Receiver<Health>, is: impl Fn(Health) -> bool) {
    let reached = tokio::time::timeout(Duration::from_secs(30), health.wait_for(|health| is(*health))).await;
    assert!(reached.is_ok(), "the token's health is stuck");
}

const P256: Scheme = Scheme::EcdsaP256Sha256;
const MESSAGE: &[u8] = b"to be signed";

fn verifies(key: &PublicKey, scheme: Scheme, raw: &RawSignature) -> bool {
    let raw = raw.as_bytes();
    let fixed =
        |algorithm, point: &[u8]| UnparsedPublicKey::new(algorithm, point).verify(MESSAGE, raw).is_ok();
    match key {
        PublicKey::Ed25519(bytes) => {
            UnparsedPublicKey::new(&signature::ED25519, bytes).verify(MESSAGE, raw).is_ok()
        }
        PublicKey::Ecdsa(point) => match point.curve() {
            Curve::P256 => fixed(&signature::ECDSA_P256_SHA256_FIXED, point.as_bytes()),
            Curve::P384 => fixed(&signature::ECDSA_P384_SHA384_FIXED, point.as_bytes()),
            Curve::P521 => fixed(&signature::ECDSA_P521_SHA512_FIXED, point.as_bytes()),
        },
        PublicKey::Rsa(key) => {
            let algorithm = match scheme {
                Scheme::RsaPkcs1Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
                Scheme::RsaPkcs1Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
                Scheme::RsaPssSha256 => &signature::RSA_PSS_2048_8192_SHA256,
                Scheme::RsaPssSha384 => &signature::RSA_PSS_2048_8192_SHA384,
                Scheme::RsaPssSha512 => &signature::RSA_PSS_2048_8192_SHA512,
                _ => &signature::RSA_PKCS1_2048_8192_SHA512,
            };
            let components = signature::RsaPublicKeyComponents { n: key.modulus(), e: key.exponent() };
            components.verify(algorithm, MESSAGE, raw).is_ok()
        }
        PublicKey::MlDsa(_) => false,
    }
}

#[tokio::test]
async fn signs_by_every_scheme_what_an_independent_verifier_accepts() {
    let mut fixture = Fixture::new();
    let kinds = [
        ("p256", "EC:prime256v1"),
        ("p384", "EC:secp384r1"),
        ("p521", "EC:secp521r1"),
        ("ed", "EC:edwards25519"),
        ("rsa256", "rsa:2048"),
        ("rsa512", "rsa:2048"),
        ("rsa384", "rsa:2048"),
        ("pss256", "rsa:2048"),
        ("pss384", "rsa:3072"),
        ("pss512", "rsa:4096"),
    ];
    for ((label, kind), scheme) in kinds.into_iter().zip(Scheme::ALL) {
        fixture.generate(label, kind);
        fixture.configure(label, label, scheme);
    }
    let (tokens, keys) = fixture.start().await.unwrap();
    for ((label, _), scheme) in kinds.into_iter().zip(Scheme::ALL) {
        let raw = sign(&tokens, label, scheme).await.unwrap();
        let key = keys.get(&KeyName::new(label).unwrap()).unwrap();
        assert!(verifies(&key.public_key, scheme, &raw), "{scheme}");
    }
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_killed_token_process_is_replaced_under_load() {
    let fixture = Fixture::with_key();
    let (tokens, keys) = fixture.start().await.unwrap();
    let key = keys.iter().next().unwrap().public_key.clone();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (tokens, key) = (tokens.clone(), key.clone());
            tokio::spawn(async move {
                let mut failed = 0;
                for _ in 0..100 {
                    match sign(&tokens, "ca", P256).await {
                        Ok(raw) => assert!(verifies(&key, P256, &raw)),
                        Err(TokenError::Unavailable { .. }) => failed += 1,
                        Err(other) => panic!("{other}"),
                    }
                }
                failed
            })
        })
        .collect();
    signal(fixture.processes()[0], Signal::KILL);
    reaches(&mut health, |health| health == Health::Restarting).await;
    for caller in callers {
        // At most what was in flight: one chunk of a session could hold one request of each caller.
        assert!(caller.await.unwrap() <= 1);
    }
    assert!(sign(&tokens, "ca", P256).await.is_ok());
    assert_eq!(fixture.processes().len(), 2);
    assert_eq!(tokens.health(&KeyName::new("ca").unwrap()), Some(Health::Ready));
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_hung_token_process_is_killed_at_the_deadline_and_replaced() {
    let mut fixture = Fixture::with_key();
    fixture.config.deadline = Duration::from_millis(300);
    let (tokens, _) = fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    signal(fixture.processes()[0], Signal::STOP);
    let asked = Instant::now();
    let error = sign(&tokens, "ca", P256).await.err().unwrap();
    assert!(asked.elapsed() < Duration::from_secs(10), "the caller waited {:?}", asked.elapsed());
    assert!(matches!(error, TokenError::TimedOut { .. }), "{error}");
    reaches(&mut health, |health| health != Health::Ready).await;
    reaches(&mut health, |health| health == Health::Ready).await;
    assert!(sign(&tokens, "ca", P256).await.is_ok());
    assert_eq!(fixture.processes().len(), 2);
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_full_queue_answers_busy_and_an_expired_job_is_not_signed() {
    let mut fixture = Fixture::with_key();
    (fixture.config.sessions, fixture.config.queue) = (1, 1);
    let (tokens, _) = fixture.start().await.unwrap();
    let child = fixture.processes()[0];
    signal(child, Signal::STOP);
    let queue = &tokens.0.routes[&KeyName::new("ca").unwrap()].members()[0].pool.queue;
    let taken = async {
        while queue.len() > 0 {
            tokio::task::yield_now().await;
        }
    };
    let mut first = std::pin::pin!(sign(&tokens, "ca", P256));
    tokio::select! {
        biased;
        _ = &mut first => panic!("a stopped process has answered"),
        () = taken => {}
    }
    let soon = Instant::now() + Duration::from_millis(100);
    let mut second = std::pin::pin!(sign_until(&tokens, "ca", P256, Some(soon)));
    let third = tokio::select! {
        biased;
        _ = &mut second => panic!("a stopped process has answered"),
        third = sign(&tokens, "ca", P256) => third,
    };
    assert!(matches!(third, Err(TokenError::Busy { .. })));
    assert!(matches!(second.await, Err(TokenError::Expired { .. })));
    signal(child, Signal::CONT);
    assert!(first.await.is_ok());
    tokens.clone().shutdown().await;
}

#[tokio::test]
async fn a_wrong_pin_costs_one_try_until_its_file_changes() {
    let fixture = Fixture::with_key();
    let (tokens, _) = fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    fixture.write_pin("0000");
    signal(fixture.processes()[0], Signal::KILL);
    reaches(&mut health, |health| health == Health::Down).await;
    for _ in 0..1000 {
        let error = sign(&tokens, "ca", P256).await.err().unwrap();
        assert!(matches!(error, TokenError::PinRefused { .. }), "{error}");
    }
    // Long enough for the back-off to have tried several times.
    let untouched = health.wait_for(|health| *health != Health::Down);
    assert!(tokio::time::timeout(Duration::from_secs(2), untouched).await.is_err());
    assert_eq!(fixture.processes().len(), 2);
    fixture.write_pin(fixture::PIN);
    reaches(&mut health, |health| health == Health::Ready).await;
    assert!(sign(&tokens, "ca", P256).await.is_ok());
    // Each process logs in once: the right PIN, the wrong one, the right one again.
    assert_eq!(fixture.processes().len(), 3);
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_token_with_other_keys_after_a_restart_signs_nothing() {
    let fixture = Fixture::with_key();
    let (tokens, _) = fixture.start().await.unwrap();
    let mut health = tokens.watch_health(&KeyName::new("ca").unwrap()).unwrap();
    fixture.destroy("ca");
    fixture.generate("ca", "EC:prime256v1");
    signal(fixture.processes()[0], Signal::KILL);
    reaches(&mut health, |health| health == Health::Down).await;
    let error = sign(&tokens, "ca", P256).await.err().unwrap();
    assert!(matches!(error, TokenError::KeyChanged { .. }), "{error}");
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_token_process_has_the_tokens_environment_and_no_other() {
    let fixture = Fixture::with_key();
    let (tokens, _) = fixture.start().await.unwrap();
    let names: Vec<_> = fixture.config.environment.keys().map(String::as_str).collect();
    // What the shell of the wrapper itself sets.
    let by_shell = ["PWD", "OLDPWD", "SHLVL", "_"];
    for line in fixture.environment().lines() {
        let name = line.split('=').next().unwrap();
        assert!(names.contains(&name) || by_shell.contains(&name), "inherited {name}");
    }
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_terminals_interrupt_does_not_end_a_token_process_and_shutdown_does() {
    let fixture = Fixture::with_key();
    let (tokens, _) = fixture.start().await.unwrap();
    let child = fixture.processes()[0];
    for kind in [Signal::INT, Signal::TERM, Signal::HUP] {
        signal(child, kind);
    }
    assert!(sign(&tokens, "ca", P256).await.is_ok());
    assert_eq!(fixture.processes(), [child]);
    let clone = tokens.clone();
    tokens.shutdown().await;
    assert!(rustix::process::test_kill_process(child).is_err(), "the process is gone");
    let error = sign(&clone, "ca", P256).await.err().unwrap();
    assert!(matches!(error, TokenError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn dropping_the_tokens_ends_their_processes() {
    let fixture = Fixture::with_key();
    let (tokens, _) = fixture.start().await.unwrap();
    let child = fixture.processes()[0];
    let supervisors = std::mem::take(&mut *tokens.0.supervisors.lock().unwrap());
    drop(tokens);
    for supervisor in supervisors {
        supervisor.await.unwrap();
    }
    assert!(rustix::process::test_kill_process(child).is_err());
}

/// The faults of a start that must fail, as `at: message`, and no process left.
async fn faults(fixture: &Fixture) -> Vec<String> {
    let faults = fixture.start().await.err().expect("the start must fail");
    for child in fixture.processes() {
        assert!(rustix::process::test_kill_process(child).is_err(), "a process is left");
    }
    faults.into_iter().map(|fault| format!("{}: {}", fault.at, fault.message())).collect()
}

fn mentions(faults: &[String], words: &[&str]) -> bool {
    faults.iter().any(|fault| words.iter().all(|word| fault.contains(word)))
}

#[tokio::test]
async fn reports_the_faults_of_every_key_at_once() {
    let mut fixture = Fixture::new();
    fixture.generate("twice", "EC:prime256v1");
    fixture.generate("twice", "EC:prime256v1");
    fixture.generate("rsa", "rsa:2048");
    fixture.generate_extractable("open", "EC:prime256v1");
    fixture.configure("missing", "mising", P256);
    fixture.configure("ambiguous", "twice", P256);
    fixture.configure("unfit", "rsa", P256);
    fixture.configure("open", "open", P256);
    let faults = faults(&fixture).await;
    assert_eq!(faults.len(), 4, "{faults:#?}");
    assert!(mentions(&faults, &["key.missing", "\"mising\"", "\"rsa\" (id 03)"]), "{faults:#?}");
    assert!(mentions(&faults, &["key.ambiguous", "several", "01", "02"]), "{faults:#?}");
    assert!(mentions(&faults, &["key.unfit", "scheme ecdsa-p256-sha256"]), "{faults:#?}");
    assert!(mentions(&faults, &["key.open", "CKA_EXTRACTABLE true"]), "{faults:#?}");
}

#[tokio::test]
async fn a_token_that_signs_in_one_part_only_says_so_where_a_key_wants_the_pin_each_time() {
    let mut fixture = Fixture::new();
    fixture.generate_always_authenticate("ca");
    fixture.config.limits.writable = vec![fixture.path("tokens")];
    fixture.configure("ca", "ca", P256);
    let (tokens, _) = fixture.start().await.unwrap();
    for _ in 0..3 {
        let error = sign(&tokens, "ca", P256).await.err().unwrap();
        let is_plain = matches!(&error, TokenError::Failed { call, code, .. }
            if call == "C_SignUpdate" && code == "CKR_FUNCTION_NOT_SUPPORTED");
        assert!(is_plain, "{error}");
    }
    assert_eq!(fixture.processes().len(), 1);
    tokens.shutdown().await;
}

#[tokio::test]
async fn an_id_tells_keys_of_one_label_apart() {
    let mut fixture = Fixture::new();
    fixture.generate("twice", "EC:prime256v1");
    fixture.generate("twice", "EC:prime256v1");
    fixture.configure("ca", "twice", P256);
    fixture.keys[0].id = Some(vec![2]);
    let (tokens, keys) = fixture.start().await.unwrap();
    let raw = sign(&tokens, "ca", P256).await.unwrap();
    assert!(verifies(&keys.iter().next().unwrap().public_key, P256, &raw));
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_key_whose_public_half_the_token_does_not_tell_says_what_is_missing() {
    let mut fixture = Fixture::new();
    for (label, kind, scheme) in [("ec", "EC:prime256v1", P256), ("rsa", "rsa:2048", Scheme::RsaPkcs1Sha256)]
    {
        fixture.generate(label, kind);
        fixture.configure(label, label, scheme);
    }
    let kept = fixture.export_public("ec");
    for label in ["ec", "rsa"] {
        fixture.destroy_public(label);
    }
    // An RSA private key tells the public one by itself; one on a curve does not.
    let faults = faults(&fixture).await;
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(
        mentions(&faults, &["key.ec", "no public key object has the private key's CKA_ID"]),
        "{faults:?}"
    );
    // As docs/tokens.md says.
    fixture.import_public("ec", "01", &kept);
    let (tokens, keys) = fixture.start().await.unwrap();
    for (key, scheme) in keys.iter().zip([P256, Scheme::RsaPkcs1Sha256]) {
        let raw = sign(&tokens, key.name.as_str(), scheme).await.unwrap();
        assert!(verifies(&key.public_key, scheme, &raw));
    }
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_key_with_several_public_halves_is_refused() {
    let fixture = Fixture::with_key();
    fixture.generate_twin("twin", "EC:prime256v1");
    let faults = faults(&fixture).await;
    let said = [
        "key.ca",
        "2 public key objects have the private key's CKA_ID 01: ",
        "\"ca\" (SHA256:",
        "\"twin\" (SHA256:",
    ];
    assert!(mentions(&faults, &said), "{faults:?}");
    assert!(mentions(&faults, &["give the other key pairs another CKA_ID"]), "{faults:?}");
}

#[tokio::test]
async fn an_object_that_gives_no_public_key_is_named_beside_those_that_do() {
    let fixture = Fixture::with_key();
    fixture.generate_twin("odd", "EC:secp256k1");
    let said =
        ["key.ca", "2 public key objects have the private key's CKA_ID 01: ", "\"ca\" (SHA256:", "\"odd\" ("];
    let faults = faults(&fixture).await;
    assert!(mentions(&faults, &said), "{faults:?}");
}

#[tokio::test]
async fn keys_that_nothing_tells_apart_are_refused_without_a_choice_between_them() {
    let mut fixture = Fixture::with_key();
    fixture.generate_twin("ca", "EC:prime256v1");
    for id in [None, Some(vec![1])] {
        fixture.keys[0].id = id;
        let faults = faults(&fixture).await;
        let said = ["key.ca", "2 private keys have label \"ca\" and id 01, so that nothing tells them apart"];
        assert!(mentions(&faults, &said), "{faults:?}");
    }
}

#[tokio::test]
async fn a_key_without_an_id_is_no_choice() {
    let fixture = Fixture::with_key();
    fixture.generate_without_id("ca", "EC:prime256v1");
    let faults = faults(&fixture).await;
    assert!(mentions(&faults, &["key.ca", "set `id` to one of: 01; one has no CKA_ID"]), "{faults:?}");
}

#[tokio::test]
async fn refuses_one_key_under_two_names() {
    let mut fixture = Fixture::with_key();
    fixture.configure("other", "ca", P256);
    assert!(mentions(&faults(&fixture).await, &["key.other", "same key as key.ca"]));
}

#[tokio::test]
async fn refuses_a_key_with_another_fingerprint() {
    let mut fixture = Fixture::with_key();
    fixture.keys[0].fingerprint = Some("SHA256:other".to_owned());
    assert!(mentions(&faults(&fixture).await, &["key.ca", "SHA256:other"]));
}

#[tokio::test]
async fn refuses_a_wrong_pin_at_start_after_one_try() {
    let fixture = Fixture::with_key();
    fixture.write_pin("0000");
    assert!(mentions(&faults(&fixture).await, &["token.t.pin_file", "CKR_PIN_INCORRECT"]));
    assert_eq!(fixture.processes().len(), 1);
}

#[tokio::test]
async fn refuses_a_pin_file_that_others_may_read_and_never_shows_it() {
    use std::os::unix::fs::PermissionsExt;

    let fixture = Fixture::with_key();
    std::fs::set_permissions(fixture.path("pin"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let faults = faults(&fixture).await;
    assert!(mentions(&faults, &["token.t", "mode 0644", "chmod 0600"]));
    assert!(!mentions(&faults, &[fixture::PIN]), "the PIN is in {faults:?}");
}

#[tokio::test]
async fn tells_a_missing_module_from_a_missing_token_and_names_those_present() {
    let mut fixture = Fixture::with_key();
    fixture.device().label = "elsewhere".to_owned();
    assert!(mentions(&faults(&fixture).await, &["token.t", "elsewhere", "there are: \"t\""]));
    fixture.device().module = "/nonexistent.so".into();
    assert!(mentions(&faults(&fixture).await, &["token.t", "/nonexistent.so"]));
}

#[tokio::test]
async fn two_tokens_of_one_label_want_a_serial() {
    let mut fixture = Fixture::with_key();
    let right = fixture.serials().pop().unwrap();
    fixture.init_another("t");
    let serials = fixture.serials();
    let [one, two] = &serials[..] else { panic!("{serials:?}") };
    assert_ne!(one, two);
    let found = faults(&fixture).await;
    assert!(
        mentions(&found, &["token.t", "several tokens have label \"t\"", "add `serial`", one, two]),
        "{found:?}"
    );
    fixture.device().serial = Some(right);
    let (tokens, _) = fixture.start().await.unwrap();
    sign(&tokens, "ca", P256).await.unwrap();
    tokens.shutdown().await;
}

/// One that initialises one module twice could not: each section has a process of its own (R22).
#[tokio::test]
async fn two_tokens_of_one_module_are_two_whatever_path_each_section_calls_it_by() {
    let mut fixture = Fixture::with_key();
    fixture.init_another("u");
    fixture.generate_on("u", "other", "EC:prime256v1");
    fixture.configure("other", "other", P256);
    fixture.keys[1].token = TokenName::new("u").unwrap();
    let link = fixture.path("module.so");
    std::os::unix::fs::symlink(&fixture.device().module, &link).unwrap();
    let first = fixture.config.clone();
    fixture.config.name = TokenName::new("u").unwrap();
    *fixture.device() = Pkcs11 { module: link, label: "u".to_owned(), serial: None };
    let (both, state) = ([first, fixture.config.clone()], fixture.path(""));
    let started = Tokens::start_with(fixture.launch(), &both, &fixture.keys, &state, Absent::Fault);
    let (tokens, keys) = started.await.unwrap();
    for key in keys.iter() {
        let raw = sign(&tokens, key.name.as_str(), P256).await.unwrap();
        assert!(verifies(&key.public_key, P256, &raw), "{}", key.name);
    }
    assert_eq!((keys.iter().count(), fixture.processes().len()), (2, 2));
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_key_of_an_unknown_token_is_a_fault() {
    let mut fixture = Fixture::with_key();
    fixture.keys[0].token = TokenName::new("other").unwrap();
    assert!(mentions(&faults(&fixture).await, &["key.ca.token", "[token.other]"]));
}
