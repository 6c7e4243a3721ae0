//! Objects: found unasked, with attributes missing, under other handles than before.

use countersign_faulty::{Renumber, Script, Token as Like};
use cryptoki::error::RvError;
use cryptoki::object::{Attribute, AttributeType, ObjectClass};
use cryptoki_sys::{CK_ATTRIBUTE, CK_UNAVAILABLE_INFORMATION, CKA_ID, CKR_ATTRIBUTE_TYPE_INVALID, CKR_OK};

use crate::place::{code, functions, log_in, open_in_c, private_key, sign, verifies};

alone! {
    fn a_template_is_ignored(token) {
        let session = token.log_in();
        let wanted = [Attribute::Class(ObjectClass::PRIVATE_KEY), Attribute::Label(b"a".to_vec())];
        assert_eq!(session.find_objects(&wanted).unwrap().len(), 1);
        token.control.set(&Script::token(Like { ignore_template: true, ..Like::default() })).unwrap();
        assert_eq!(session.find_objects(&wanted).unwrap().len(), 4, "two key pairs");
        token.control.clear().unwrap();
        assert_eq!(session.find_objects(&wanted).unwrap().len(), 1);
    }
}

alone! {
    fn attributes_are_not_known(token) {
        const ASKED: [AttributeType; 3] = [AttributeType::Label, AttributeType::Id, AttributeType::Local];
        let session = token.log_in();
        let key = private_key(&session, "a");
        let attribute_invalid = vec![AttributeType::Id.into(), AttributeType::Local.into()];
        token.control.set(&Script::token(Like { attribute_invalid, ..Like::default() })).unwrap();
        let told = session.get_attributes(key, &ASKED).unwrap();
        assert!(matches!(&told[..], [Attribute::Label(_)]), "{told:?}");
        token.control.clear().unwrap();
        assert_eq!(session.get_attributes(key, &ASKED).unwrap().len(), 3);
    }
}

alone! {
    fn an_attribute_that_is_not_known_has_the_standards_code_and_length(token) {
        token.initialize();
        let functions = functions();
        let session = open_in_c(&functions, token.slot().id());
        let (begin, next) = (functions.C_FindObjectsInit.unwrap(), functions.C_FindObjects.unwrap());
        let (mut object, mut count) = (0, 0);
        // SAFETY: the arguments are as the standard wants them; there is a place for one object.
        unsafe {
            assert_eq!(begin(session, std::ptr::null_mut(), 0), CKR_OK);
            assert_eq!(next(session, &raw mut object, 1, &raw mut count), CKR_OK);
        }
        let length = || {
            let get = functions.C_GetAttributeValue.unwrap();
            let mut asked = CK_ATTRIBUTE { type_: CKA_ID, pValue: std::ptr::null_mut(), ulValueLen: 0 };
            // SAFETY: the arguments are as the standard wants them: without a value, a length is asked for.
            let code = unsafe { get(session, object, &raw mut asked, 1) };
            (code, asked.ulValueLen)
        };
        assert_eq!(length(), (CKR_OK, 1));
        let like = Like { attribute_invalid: vec![CKA_ID], ..Like::default() };
        token.control.set(&Script::token(like)).unwrap();
        assert_eq!(length(), (CKR_ATTRIBUTE_TYPE_INVALID, CK_UNAVAILABLE_INFORMATION));
        token.control.clear().unwrap();
        assert_eq!(length(), (CKR_OK, 1));
    }
}

alone! {
    fn a_handle_of_before_initialisation_denotes_nothing(token) {
        token.control.set(&Script::token(Like { renumber: Some(Renumber::Invalid), ..Like::default() })).unwrap();
        let session = token.log_in();
        let stale = private_key(&session, "a");
        sign(&session, stale).unwrap();
        token.finalize();
        let session = token.log_in();
        let fresh = private_key(&session, "a");
        assert_ne!(fresh, stale);
        assert!(matches!(code(sign(&session, stale)), RvError::KeyHandleInvalid | RvError::ObjectHandleInvalid));
        assert!(verifies(&session, "a", &sign(&session, fresh).unwrap()));
        token.control.clear().unwrap();
        sign(&session, fresh).expect("nothing changes before the next initialisation");
    }
}

alone! {
    fn a_handle_of_before_initialisation_denotes_another_key(token) {
        token.control.set(&Script::token(Like { renumber: Some(Renumber::OtherKey), ..Like::default() })).unwrap();
        let session = token.log_in();
        let stale = private_key(&session, "a");
        assert!(verifies(&session, "a", &sign(&session, stale).unwrap()));
        token.finalize();
        token.initialize();
        let session = token.open().unwrap();
        log_in(&session).unwrap();
        let signature = sign(&session, stale).expect("without having looked for any key");
        assert!(verifies(&session, "b", &signature));
        let fresh = private_key(&session, "a");
        assert!(verifies(&session, "a", &sign(&session, fresh).unwrap()));
        token.finalize();
        token.control.clear().unwrap();
        let (first, again) = {
            let session = token.log_in();
            let first = private_key(&session, "a");
            token.finalize();
            let session = token.log_in();
            (first, sign(&session, private_key(&session, "a")).map(|_| private_key(&session, "a")).unwrap())
        };
        assert_eq!(first, again, "without a script, SoftHSM2's own handles");
    }
}
