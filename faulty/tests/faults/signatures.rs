//! Signatures that are not what they should be.

use countersign_faulty::{Action, Call, On, Script};

use crate::place::{private_key, sign, verifies};

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
