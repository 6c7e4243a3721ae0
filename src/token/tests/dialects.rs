//! Modules that differ: in what attributes they know, what they find, and what they want of a mechanism (R18, R24, R25).

use countersign_faulty::{Action, Call, On, Script, Token};

use super::faulty::{Broken, signs};
use super::*;

const RSA: Scheme = Scheme::RsaPkcs1Sha256;

/// Keys `ec` and `rsa`, nothing of which is accepted: whatever is accepted is not asked for.
fn with_strict_keys() -> Broken {
    let mut broken = Broken::new();
    broken.fixture.keys.clear();
    for (label, kind, scheme) in [("ec", "EC:prime256v1", P256), ("rsa", "rsa:2048", RSA)] {
        broken.fixture.generate_to_sign(label, kind);
        broken.fixture.configure(label, label, scheme);
    }
    broken.fixture.keys.iter_mut().for_each(|key| key.accept.clear());
    broken
}

#[tokio::test]
async fn a_token_that_knows_no_optional_attribute_signs() {
    let mut broken = with_strict_keys();
    // CKA_DECRYPT and CKA_UNWRAP, which are asked of RSA keys alone, and true of this one.
    let of_rsa = [0x105, 0x107];
    // CKA_ALWAYS_AUTHENTICATE, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_LOCAL, CKA_DERIVE (R25).
    let of_all = [0x202, 0x165, 0x164, 0x163, 0x10C];
    for unknown in of_all.iter().map(std::slice::from_ref).chain([&of_all[..], &[]]) {
        let attribute_invalid = [&of_rsa, unknown].concat();
        broken.set(&Script::token(Token { attribute_invalid, ..Token::default() }));
        let (tokens, keys) = broken.fixture.start().await.unwrap();
        for (label, scheme) in [("ec", P256), ("rsa", RSA)] {
            let raw = sign(&tokens, label, scheme).await.unwrap();
            let key = keys.get(&KeyName::new(label).unwrap()).unwrap();
            assert!(verifies(&key.public_key, scheme, &raw), "{label}");
        }
        tokens.shutdown().await;
    }
    // What a key is now, every token can say: CKA_EXTRACTABLE and CKA_SENSITIVE.
    broken.fixture.keys.retain(|key| key.label == "ec");
    for (attribute, name) in [(0x162, "CKA_EXTRACTABLE"), (0x103, "CKA_SENSITIVE")] {
        broken.set(&Script::token(Token { attribute_invalid: vec![attribute], ..Token::default() }));
        let faults = faults(&broken.fixture).await;
        assert!(mentions(&faults, &["key.ec", &format!("no readable {name}")]), "{faults:?}");
    }
}

/// What a key without one attribute is: it signs, or this is wrong with it.
type Without = Option<&'static str>;

const NO_KEY: Without = Some("no private key has label");
const NO_PUBLIC: Without = Some("does not tell the public key");

/// Every attribute that is asked for of keys on a curve and of RSA keys, and what they are where the module does not know it.
const ASKED: [(u64, Without, Without); 18] = [
    (0x000, NO_KEY, NO_KEY),       // CKA_CLASS
    (0x003, NO_KEY, NO_KEY),       // CKA_LABEL
    (0x100, NO_PUBLIC, NO_PUBLIC), // CKA_KEY_TYPE
    (0x102, NO_PUBLIC, None),      // CKA_ID: an RSA private key tells the public one by itself
    (0x103, Some("no readable CKA_SENSITIVE"), Some("no readable CKA_SENSITIVE")),
    (0x105, None, None), // CKA_DECRYPT
    (0x107, None, None), // CKA_UNWRAP
    (0x108, Some("no readable CKA_SIGN"), Some("no readable CKA_SIGN")),
    (0x10C, None, None),      // CKA_DERIVE
    (0x120, None, NO_PUBLIC), // CKA_MODULUS
    (0x122, None, NO_PUBLIC), // CKA_PUBLIC_EXPONENT
    (0x162, Some("no readable CKA_EXTRACTABLE"), Some("no readable CKA_EXTRACTABLE")),
    (0x163, None, None),      // CKA_LOCAL
    (0x164, None, None),      // CKA_NEVER_EXTRACTABLE
    (0x165, None, None),      // CKA_ALWAYS_SENSITIVE
    (0x180, NO_PUBLIC, None), // CKA_EC_PARAMS
    (0x181, NO_PUBLIC, None), // CKA_EC_POINT
    (0x202, None, None),      // CKA_ALWAYS_AUTHENTICATE
];

/// In turn: no module knows them all, and none fails a whole template for one (R25). ML-DSA keys, which SoftHSM2 has none of, are asked for
/// CKA_PARAMETER_SET, CKA_VALUE and CKA_PUBLIC_KEY_INFO as well.
#[tokio::test]
async fn whichever_attribute_a_module_does_not_know_its_keys_sign_or_the_fault_says_what_is_missing() {
    let broken = with_strict_keys();
    for (attribute, ec, rsa) in ASKED {
        // Both are true of this RSA key, which would be a fault of its own.
        let attribute_invalid = vec![0x105, 0x107, attribute];
        broken.set(&Script::token(Token { attribute_invalid, ..Token::default() }));
        let wrong = [("key.ec", ec), ("key.rsa", rsa)];
        let wrong: Vec<_> = wrong.into_iter().filter_map(|(key, without)| Some((key, without?))).collect();
        match broken.fixture.start().await {
            Ok((tokens, _)) => {
                assert!(wrong.is_empty(), "{attribute:#x}: {wrong:?}");
                for (label, scheme) in [("ec", P256), ("rsa", RSA)] {
                    sign(&tokens, label, scheme).await.unwrap();
                }
                tokens.shutdown().await;
            }
            Err(faults) => {
                let faults: Vec<_> =
                    faults.iter().map(|fault| (fault.at.as_str(), fault.message())).collect();
                let is_said = |((at, message), (key, said)): (&(&str, String), &(&str, &str))| {
                    at == key && message.contains(said)
                };
                let are_said = faults.iter().zip(&wrong).all(is_said) && faults.len() == wrong.len();
                assert!(are_said, "{attribute:#x}: {faults:?}, not {wrong:?}");
            }
        }
    }
    let asked = ASKED.map(|(attribute, ..)| attribute);
    assert_eq!(
        broken.control.attributes(),
        asked.into(),
        "the table has every one that is asked for, and no other"
    );
}

#[tokio::test]
async fn public_key_objects_that_give_no_key_are_named_with_what_they_lack() {
    let mut broken = with_strict_keys();
    broken.fixture.keys.retain(|key| key.label == "ec");
    // CKA_EC_POINT, CKA_KEY_TYPE.
    for (unknown, lacks) in [(0x181, "CKA_EC_PARAMS and CKA_EC_POINT"), (0x100, "CKA_KEY_TYPE")] {
        broken.set(&Script::token(Token { attribute_invalid: vec![unknown], ..Token::default() }));
        let faults = faults(&broken.fixture).await;
        let said = format!("give none: \"ec\" (no readable {lacks})");
        assert!(mentions(&faults, &["key.ec", "does not tell the public key", &said]), "{faults:?}");
    }
}

#[tokio::test]
async fn an_optional_attribute_that_tells_of_a_flaw_is_heard() {
    let broken = with_strict_keys();
    broken.set(&Script::token(Token { attribute_true: vec![0x10C], ..Token::default() }));
    let faults = faults(&broken.fixture).await;
    assert!(mentions(&faults, &["key.ec", "CKA_DERIVE true"]), "{faults:?}");
    assert!(mentions(&faults, &["key.rsa", "CKA_DECRYPT true, CKA_UNWRAP true"]), "{faults:?}");
}

/// A token with an Ed25519 key, `ed`, whose module wants parameters of EdDSA.
fn wants_parameters(like: &Token) -> Broken {
    let mut broken = Broken::with(Token { eddsa_parameters: true, ..like.clone() });
    broken.fixture.generate("ed", "EC:edwards25519");
    broken.fixture.configure("ed", "ed", Scheme::Ed25519);
    broken
}

/// How often the module was asked to sign for so many signatures, each of which verifies.
async fn asked_for(broken: &Broken, tokens: &Tokens, keys: &Keys, signatures: usize) -> u64 {
    let before = broken.control.calls(Call::SignInit);
    for _ in 0..signatures {
        let raw = sign(tokens, "ed", Scheme::Ed25519).await.unwrap();
        let key = keys.get(&KeyName::new("ed").unwrap()).unwrap();
        assert!(verifies(&key.public_key, Scheme::Ed25519, &raw));
    }
    broken.control.calls(Call::SignInit) - before
}

#[tokio::test]
async fn a_module_that_wants_parameters_of_eddsa_gets_them_from_the_second_call_on() {
    for like in [Token::default(), Token { always_authenticate: true, ..Token::default() }] {
        let broken = wants_parameters(&like);
        let (tokens, keys) = broken.fixture.start().await.unwrap();
        assert_eq!(asked_for(&broken, &tokens, &keys, 5).await, 6, "once without");
        tokens.shutdown().await;
        // One that wants none is not asked twice.
        broken.set(&Script::token(like));
        let (tokens, keys) = broken.fixture.start().await.unwrap();
        assert_eq!(asked_for(&broken, &tokens, &keys, 5).await, 5);
        tokens.shutdown().await;
    }
}

/// As where a module takes the parameters for those of Ed25519ctx, as the standard does.
#[tokio::test]
async fn parameters_by_which_a_module_signs_something_else_are_not_kept() {
    let broken = wants_parameters(&Token::default());
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let mut script = Script::on(On::call(Call::Sign, Action::WrongSignature).times(1));
    script.token.eddsa_parameters = true;
    broken.set(&script);
    let error = sign(&tokens, "ed", Scheme::Ed25519).await.err().unwrap();
    let TokenError::Failed { call, code, .. } = &error else { panic!("{error}") };
    assert!(call == "C_SignInit" && code.contains("no Ed25519 signature with them"), "{error}");
    assert_eq!(asked_for(&broken, &tokens, &keys, 5).await, 6, "found out anew");
    assert_eq!(broken.fixture.processes().len(), 1, "the token is well");
    tokens.shutdown().await;
}

#[tokio::test]
async fn a_module_that_ignores_what_it_is_asked_for_is_seen_through() {
    let broken = Broken::new();
    let (tokens, sound) = broken.fixture.start().await.unwrap();
    tokens.shutdown().await;
    // Every object comes back then, `other` and all public keys among them (R18).
    broken.set(&Script::token(Token { ignore_template: true, ..Token::default() }));
    let (tokens, keys) = broken.fixture.start().await.unwrap();
    let public = |keys: &Keys| keys.get(&KeyName::new("ca").unwrap()).unwrap().public_key.clone();
    assert_eq!(public(&keys), public(&sound));
    signs(&tokens, &keys).await;
    tokens.shutdown().await;
}
