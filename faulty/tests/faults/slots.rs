//! Slots: under other numbers than before.

use countersign_faulty::{Script, Token as Like};
use cryptoki::error::RvError;

use crate::place::code;

alone! {
    fn a_slot_of_before_an_initialisation_is_none_after_it(token) {
        token.control.set(&Script::token(Like { renumber_slots: true, ..Like::default() })).unwrap();
        let (mut stale, mut first) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            token.initialize();
            for slot in &stale {
                assert_eq!(code(token.module.get_token_info(*slot)), RvError::SlotIdInvalid);
                assert_eq!(code(token.module.open_ro_session(*slot)), RvError::SlotIdInvalid);
            }
            let slots = token.module.get_slots_with_token().unwrap();
            first.push(token.module.get_token_info(slots[0]).unwrap().label().trim().to_owned());
            let session = token.module.open_ro_session(token.slot()).unwrap();
            assert_eq!(session.get_session_info().unwrap().slot_id(), token.slot());
            drop(session);
            stale.extend(slots);
            token.finalize();
        }
        assert!(first.windows(2).all(|two| two[0] != two[1]), "the first is another: {first:?}");
    }
}
