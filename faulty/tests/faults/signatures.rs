//! Signatures that are not what they should be.

use countersign_faulty::{Action, Call, On, Script, Token as Like};
use cryptoki::error::RvError;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme as Eddsa};
use cryptoki::object::Attribute;

use crate::place::{code, private_key, sign, verifies};

alone! {
    fn a_wrong_signature_verifies_under_no_key(token) {
        let session = token.log_in();
        let key = private_key(&session, "a");
        token.control.set(&Script::on(On::call(Call::Sign, Action::WrongSignature).after(1).times(1))).unwrap();
        let verified: Vec<_> = (0..3)
            .map(|_| {
                let signature = sign(&session, key).unwrap();
                assert_eq!(signature.len(), 64);
                assert!(!verifies(&session, "b", &signature));
                verifies(&session, "a", &signature)
            })
            .collect();
        assert_eq!(verified, [true, false, true]);
    }
}

alone! {
    fn a_short_signature_lacks_a_byte(token) {
        let session = token.log_in();
        let key = private_key(&session, "a");
        token.control.set(&Script::on(On::call(Call::Sign, Action::ShortSignature))).unwrap();
        assert_eq!(sign(&session, key).unwrap().len(), 63);
        token.control.clear().unwrap();
        assert_eq!(sign(&session, key).unwrap().len(), 64);
    }
}

alone! {
    fn eddsa_wants_its_parameters_and_the_real_module_sees_none(token) {
        let session = token.log_in();
        let curve = Attribute::EcParams(b"\x13\x0cedwards25519".to_vec());
        let pair = session.generate_key_pair(&Mechanism::EccEdwardsKeyPairGen, &[curve], &[Attribute::Sign(true)]);
        let (_, key) = pair.unwrap();
        let sign = |scheme| session.sign(&Mechanism::Eddsa(EddsaParams::new(scheme)), key, b"message");
        let bare = sign(Eddsa::Ed25519).unwrap();
        token.control.set(&Script::token(Like { eddsa_parameters: true, ..Like::default() })).unwrap();
        for refused in [Eddsa::Ed25519, Eddsa::Ed25519ctx(b"context"), Eddsa::Ed25519ph(&[])] {
            assert_eq!(code(sign(refused)), RvError::MechanismParamInvalid, "{refused:?}");
        }
        assert_eq!(sign(Eddsa::Ed25519ctx(&[])).unwrap(), bare);
        token.control.clear().unwrap();
        assert_eq!(sign(Eddsa::Ed25519).unwrap(), bare);
    }
}
