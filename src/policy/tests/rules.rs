//! One request per rule: the permitted one, changed in one place.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
use super::*;

/// What was changed, why it is refused, and by which rule: one of `key.user-ca.allow.staff` if it has no dots.
#[rustfmt::skip]
pub(super) fn refused() -> Vec<(Wish, Reason, &'static str)> {
    let ok = Wish::default;
    vec![
        (Wish { caller: "dns:nobody", ..ok() }, Reason::KeyNotAvailable, "built-in.key_available"),
        (Wish { deadline: Some(Duration::ZERO), ..ok() }, Reason::RequestExpired, "built-in.deadline"),
        (Wish { kind: TbsKind::X509Certificate, ..ok() }, Reason::TbsKindNotAllowed, "built-in.tbs_kind"),
        (Wish { ca: PublicKey::Ed25519([3; 32]), ..ok() }, Reason::CaKeyMismatch, "built-in.ca_key"),
        (Wish { ca: HOST_CA, ..ok() }, Reason::CaKeyMismatch, "built-in.ca_key"),
        (Wish { certificate_type: CertificateType::Host, ..ok() }, Reason::CertificateTypeNotAllowed, "built-in.certificate_type"),
        (Wish { certificate_type: CertificateType::User, ..Wish::host() }, Reason::CertificateTypeNotAllowed, "built-in.certificate_type"),
        (Wish { serial: 0, ..ok() }, Reason::SerialZero, "built-in.serial"),
        (Wish { key_id: String::new(), ..ok() }, Reason::KeyIdEmpty, "built-in.key_id"),
        (Wish { before: u64::MAX, ..ok() }, Reason::ValidForever, "built-in.validity"),
        (Wish { after: NOW - 30, before: NOW, ..ok() }, Reason::CertificateExpired, "built-in.validity"),
        (Wish { subject: SubjectKey::Plain(USER_CA), ..ok() }, Reason::SubjectKeyIsCaKey, "built-in.subject_key"),
        (Wish { subject: SubjectKey::Plain(HOST_CA), ..ok() }, Reason::SubjectKeyIsCaKey, "built-in.subject_key"),
        (Wish { subject: security_key([1; 32]), ..ok() }, Reason::SubjectKeyIsCaKey, "built-in.subject_key"),
        (Wish { subject: SubjectKey::Plain(BLOCKED), ..ok() }, Reason::SubjectKeyBlocked, "built-in.subject_key"),
        (Wish { subject: SubjectKey::SkEd25519 { key: [11; 32], application: "ssh:".to_owned() }, ..ok() }, Reason::SubjectKeyBlocked, "built-in.subject_key"),
        (Wish { subject: p256(false), ..ok() }, Reason::SubjectKeyInvalid, "built-in.subject_key"),
        (Wish { subject: rsa(2047, 65_537), ..ok() }, Reason::SubjectKeyInvalid, "built-in.subject_key"),
        (Wish { subject: rsa(8193, 65_537), ..ok() }, Reason::SubjectKeyInvalid, "built-in.subject_key"),
        (Wish { subject: rsa(4096, 3), ..ok() }, Reason::SubjectKeyInvalid, "built-in.subject_key"),
        (Wish { subject: rsa(4096, 65_535), ..ok() }, Reason::SubjectKeyInvalid, "built-in.subject_key"),
        (Wish { subject: SubjectKey::Plain(PublicKey::Ed25519([0; 32])), ..ok() }, Reason::SubjectKeyInvalid, "built-in.subject_key"),
        (Wish { subject: security_key([0; 32]), ..ok() }, Reason::SubjectKeyInvalid, "built-in.subject_key"),
        (Wish { subject: rsa_of(vec![0xff; 384]), ..ok() }, Reason::SubjectKeySmallFactor, "built-in.subject_key"),
        (Wish { subject: rsa_of(hex(include_str!("../weak_key/close-primes.hex"))), ..ok() }, Reason::SubjectKeyClosePrimes, "built-in.subject_key"),
        (Wish { subject: rsa_of(hex(include_str!("../weak_key/roca.hex"))), ..ok() }, Reason::SubjectKeyRoca, "built-in.subject_key"),
        (Wish { subject: rsa(3071, 65_537), ..ok() }, Reason::SubjectKeyTooShort, "min_rsa_bits"),
        (Wish { subject: rsa(4096, 65_537), ..Wish::of_many("alice", 60) }, Reason::SubjectKeyNotAllowed, "key.user-ca.allow.m1-short.subject_keys"),
        (Wish { principals: names(["alice", "deploy-a", "deploy-b"]), ..ok() }, Reason::PrincipalsAboveLimit, "max_principals"),
        (Wish { principals: names(["root"]), ..ok() }, Reason::PrincipalNotAllowed, "principals"),
        (Wish { principals: names(["alice", "root"]), ..ok() }, Reason::PrincipalNotAllowed, "principals"),
        (Wish { principals: names(["deploy-x.y"]), ..ok() }, Reason::PrincipalNotAllowed, "principals"),
        (Wish { key_id: "alice".to_owned(), ..ok() }, Reason::KeyIdNotAllowed, "key_id"),
        (Wish { after: NOW - 61, ..ok() }, Reason::BackdatedTooFar, "backdating"),
        (Wish { after: 0, ..ok() }, Reason::BackdatedTooFar, "backdating"),
        (Wish { after: NOW + 61, ..ok() }, Reason::StartsTooLate, "start_within"),
        (Wish { before: NOW + 59, ..ok() }, Reason::LifetimeTooShort, "min_lifetime"),
        (Wish { before: NOW + HOUR + 1, ..ok() }, Reason::LifetimeTooLong, "max_lifetime"),
        (Wish { after: NOW - 60, before: NOW + HOUR + 1, ..ok() }, Reason::LifetimeTooLong, "max_lifetime"),
        (Wish { after: NOW + 60, before: NOW + 60 + HOUR + 1, ..ok() }, Reason::LifetimeTooLong, "max_lifetime"),
        (Wish { before: u64::MAX - 1, ..ok() }, Reason::LifetimeTooLong, "max_lifetime"),
        (Wish { critical: Vec::new(), ..ok() }, Reason::CriticalOptionMissing, "require_critical_options"),
        (critical("new@example.org", None), Reason::CriticalOptionNotAllowed, "critical_options"),
        (critical("permit-pty", None), Reason::CriticalOptionNotAllowed, "critical_options"),
        (critical("force-command", Some("rm -rf")), Reason::CriticalOptionValueNotAllowed, "critical_options"),
        (Wish { critical: vec![("source-address", Some("0.0.0.0/0"))], ..ok() }, Reason::CriticalOptionValueNotAllowed, "critical_options"),
        (Wish { critical: vec![("source-address", Some("10.0.0.1,192.0.2.1"))], ..ok() }, Reason::CriticalOptionValueNotAllowed, "critical_options"),
        (extension("permit-port-forwarding", None), Reason::ExtensionNotAllowed, "extensions"),
        (extension("force-command", Some("run x")), Reason::ExtensionNotAllowed, "extensions"),
        (extension("login@example.org", Some("a b")), Reason::ExtensionValueNotAllowed, "extensions"),
        (extension("login@example.org", None), Reason::ExtensionValueNotAllowed, "extensions"),
        (Wish { extensions: vec![("permit-pty", None)], ..Wish::host() }, Reason::ExtensionNotAllowed, "key.host-ca.allow.fleet.extensions"),
    ]
}

#[test]
fn each_rule_refuses_what_breaks_it_and_names_itself() {
    for (wish, reason, rule) in refused() {
        let rule =
            if rule.contains('.') { rule.to_owned() } else { format!("key.user-ca.allow.staff.{rule}") };
        let refusal = wish.refused_for();
        assert_eq!((refusal.reason, &refusal.rule), (reason, &rule), "{}", refusal.message);
    }
}

#[test]
fn every_reason_of_policy_has_a_case() {
    let ssh = refused().into_iter().map(|(_, reason, _)| reason);
    let x509 = x509::refused().into_iter().map(|(_, reason, _)| reason);
    let crl = crl::refused().into_iter().map(|(_, reason, _)| reason);
    let ocsp = ocsp::refused().into_iter().map(|(_, reason, _)| reason);
    let tested: BTreeSet<&str> = ssh
        .chain(x509)
        .chain(crl)
        .chain(ocsp)
        .chain(own::refused().into_iter().map(|(_, reason, _)| reason))
        .chain([Reason::PrincipalInvalid, Reason::CertificateAwaited])
        .map(Reason::code_word)
        .collect();
    // The ledger gives those that are about earlier requests, and what was revoked.
    let of_policy = Reason::ALL.iter().filter(|reason| match reason.class() {
        ReasonClass::Denied
            if matches!(
                reason,
                Reason::SubjectKeyRevoked | Reason::CertificateRevoked | Reason::RevokedNotListed
            ) =>
        {
            false
        }
        ReasonClass::Taken
        | ReasonClass::TooFar
        | ReasonClass::Pending
        | ReasonClass::Spent
        | ReasonClass::Frozen
        // Tests of the turn have these.
        | ReasonClass::Turn => false,
        ReasonClass::Malformed | ReasonClass::Denied | ReasonClass::NotFound | ReasonClass::Expired => true,
    });
    assert_eq!(tested, of_policy.map(|reason| reason.code_word()).collect());
}

#[test]
fn messages_are_one_short_line_whatever_the_request_says() {
    let hostile = "\u{202e}\"\\\u{feff}".repeat(20);
    let mut wishes: Vec<Wish> = refused().into_iter().map(|(wish, ..)| wish).collect();
    wishes.push(Wish { principals: vec![hostile], ..Wish::default() });
    wishes.push(Wish { key_id: "\"\\".repeat(200), ..Wish::default() });
    for wish in wishes {
        let message = wish.refused_for().message;
        assert!(
            message.len() <= 2000 && message.chars().all(|c| !c.is_control() && c != '\u{202e}'),
            "{message}"
        );
    }
}

/// Durations as a configuration has them, and times that nobody has to convert.
#[test]
fn messages_have_times_and_durations_as_people_write_them() {
    let ok = Wish::default;
    for (wish, says) in [
        (
            Wish { before: NOW + 24 * HOUR, ..ok() },
            "the certificate could be used for 1d; profile staff allows 1h",
        ),
        (
            Wish { before: NOW + 59, ..ok() },
            "the certificate could be used for 59s; profile staff wants 1m at least",
        ),
        (Wish { after: NOW - 90, ..ok() }, "valid_after is 1m 30s ago; profile staff allows 1m"),
        (
            Wish { after: NOW - 30, before: NOW, ..ok() },
            "valid_before 2046-01-19T18:40:00Z is over; it is 2046-01-19T18:40:00Z now",
        ),
    ] {
        assert_eq!(wish.refused_for().message, says);
    }
}

#[test]
fn message_names_the_value_the_profile_and_what_it_allows() {
    let refusal = Wish { principals: names(["root"]), ..Wish::default() }.refused_for();
    assert_eq!(
        refusal.message,
        r#"principal "root" is not among the patterns of profile staff: alice, deploy-*"#
    );
}

#[test]
fn refuses_principals_that_some_reader_takes_for_a_list_or_a_pattern() {
    for bad in [
        "a,root", "*", "ro?t", "!root", "a b", " ", "a\u{a0}b", "älice", "a;b", "$(id)", "a'b", "a\\b",
        "a|b", "#a", "~",
    ] {
        let refusal = Wish { principals: names([bad]), ..Wish::default() }.refused_for();
        assert_eq!(
            (refusal.reason, &*refusal.rule),
            (Reason::PrincipalInvalid, "built-in.principals"),
            "{bad:?}"
        );
    }
}

#[test]
fn permits_every_bound_exactly() {
    let ok = Wish::default;
    let permitted = [
        Wish { after: NOW - 60, before: NOW + HOUR, ..ok() },
        Wish { after: NOW + 60, before: NOW + 60 + HOUR, ..ok() },
        Wish { after: NOW - 1, before: NOW + 60, ..ok() },
        Wish { subject: p256(true), ..ok() },
        Wish { subject: security_key([7; 32]), ..ok() },
        Wish { subject: rsa(3072, 65_537), ..ok() },
        Wish { subject: rsa(8192, 65_539), ..ok() },
        Wish { deadline: Some(Duration::from_secs(61)), ..ok() },
        Wish { extensions: Vec::new(), ..ok() },
        Wish { critical: vec![("source-address", Some("10.0.0.0/8,10.2.3.4"))], ..ok() },
        critical("force-command", Some("run nightly")),
        critical("verify-required", None),
    ];
    for wish in permitted {
        assert_eq!(wish.permitted_by(), "key.user-ca.allow.staff");
    }
}

fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

/// The permitted request with one more critical option.
fn critical(name: &'static str, value: Option<&'static str>) -> Wish {
    let mut wish = Wish::default();
    wish.critical.push((name, value));
    wish
}

/// The permitted request with one extension instead of its own.
fn extension(name: &'static str, value: Option<&'static str>) -> Wish {
    Wish { extensions: vec![(name, value)], ..Wish::default() }
}

fn security_key(key: [u8; 32]) -> SubjectKey {
    SubjectKey::SkEd25519 { key, application: "ssh:".to_owned() }
}

/// A point on P-256, or one beside the curve.
fn p256(valid: bool) -> SubjectKey {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let mut point = pair.public_key().as_ref().to_vec();
    if !valid {
        *point.last_mut().unwrap() ^= 1;
    }
    SubjectKey::Plain(PublicKey::Ecdsa(EcPoint::new(Curve::P256, point).unwrap()))
}

pub(super) fn p256_key() -> PublicKey {
    let SubjectKey::Plain(key) = p256(true) else { unreachable!("it is a plain key") };
    key
}

pub(super) fn rsa_key(bits: usize) -> PublicKey {
    let SubjectKey::Plain(key) = rsa(bits, 65_537) else { unreachable!("it is a plain key") };
    key
}

/// An RSA key of this many bits, in which the checks find no weakness.
fn rsa(bits: usize, exponent: u32) -> SubjectKey {
    let mut modulus = vec![0xff; bits.div_ceil(8)];
    modulus[0] >>= modulus.len() * 8 - bits;
    for low in (1..=0xff).step_by(2) {
        *modulus.last_mut().unwrap() = low;
        if weak_key::of_rsa(&modulus).is_none() {
            break;
        }
    }
    let exponent = exponent.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
    SubjectKey::Plain(PublicKey::Rsa(RsaPublicKey::new(modulus, exponent).unwrap()))
}

fn rsa_of(modulus: Vec<u8>) -> SubjectKey {
    SubjectKey::Plain(PublicKey::Rsa(RsaPublicKey::new(modulus, vec![1, 0, 1]).unwrap()))
}

fn hex(text: &str) -> Vec<u8> {
    let (pairs, _) = text.trim().as_bytes().as_chunks::<2>();
    pairs.iter().map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
