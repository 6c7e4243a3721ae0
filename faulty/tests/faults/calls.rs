//! What happens at calls: counted, hanging, failing, slow, crashing.

use std::os::unix::process::ExitStatusExt;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use countersign_faulty::{Action, CONTROL_VARIABLE, Call, Code, On, Script};
use cryptoki::error::RvError;
use rustix::process::Signal;

use crate::place::{self, PATIENCE, code, private_key, sign, verifies};

alone! {
    fn without_a_script_it_only_forwards_and_counts(token) {
        let session = token.log_in();
        let key = private_key(&session, "a");
        for _ in 0..3 {
            assert!(verifies(&session, "a", &sign(&session, key).unwrap()));
        }
        let control = &token.control;
        assert_eq!(control.calls(Call::Login), 1);
        assert_eq!(control.calls(Call::SignInit), 3);
        assert_eq!(control.calls(Call::Sign) - control.length_queries(), 3);
        assert_eq!(control.calls(Call::Verify), 3);
        assert_eq!(control.violations(), 0);
    }
}

#[test]
fn without_a_control_file_it_only_forwards() {
    let name = concat!(module_path!(), "::without_a_control_file_it_only_forwards");
    let outside = place::outside(name, |token| {
        let session = token.log_in();
        sign(&session, private_key(&session, "a")).unwrap();
        assert_eq!(token.control.calls(Call::Sign), 0, "nobody controls it");
    });
    if let Some(place) = outside {
        place.control.set(&Script::on(On::call(Call::Sign, Action::Crash))).unwrap();
        place::passed(place.run_with(|command| command.env_remove(CONTROL_VARIABLE)));
    }
}

#[test]
fn a_script_by_hand_is_followed_and_one_with_a_mistake_ends_the_process() {
    let name =
        concat!(module_path!(), "::a_script_by_hand_is_followed_and_one_with_a_mistake_ends_the_process");
    let outside = place::outside(name, |token| {
        let session = token.log_in();
        assert_eq!(code(sign(&session, private_key(&session, "a"))), RvError::DeviceMemory);
    });
    if let Some(place) = outside {
        let write = |code: &str| {
            let text = format!("[[on]]\ncall = \"C_Sign\"\naction = {{ fail = \"{code}\" }}\n");
            std::fs::write(place::script(place.dir.path()), text).unwrap();
        };
        write("CKR_DEVICE_MEMORY");
        place.run_ok();
        write("CKR_DEVICE_MEMROY");
        let output = place.run();
        assert_eq!(output.status.signal(), Some(Signal::ABORT.as_raw()));
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("script.toml") && told.contains("CKR_DEVICE_MEMROY"), "{told}");
    }
}

alone! {
    fn a_call_hangs_until_the_script_changes(token) {
        let session = token.log_in();
        let other = token.open().unwrap();
        let key = private_key(&session, "a");
        token.control.set(&Script::on(On::call(Call::Sign, Action::Hang).times(1))).unwrap();
        std::thread::scope(|scope| {
            let hanging = scope.spawn(move || sign(&session, key));
            assert!(token.control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) == 1));
            sign(&other, key).expect("another session signs meanwhile");
            assert!(!hanging.is_finished());
            token.control.clear().unwrap();
            hanging.join().unwrap().expect("it goes on where it hung");
        });
    }
}

alone! {
    fn finalize_hangs_too(token) {
        drop(token.log_in());
        token.control.set(&Script::on(On::call(Call::Finalize, Action::Hang))).unwrap();
        std::thread::scope(|scope| {
            let hanging = scope.spawn(|| token.module.clone().finalize());
            assert!(token.control.wait_until(PATIENCE, |control| control.hangs(Call::Finalize) == 1));
            assert!(!hanging.is_finished());
            token.control.clear().unwrap();
            hanging.join().unwrap().unwrap();
        });
    }
}

alone! {
    fn a_hanging_call_does_what_the_next_script_says(token) {
        let session = token.log_in();
        let key = private_key(&session, "a");
        token.control.set(&Script::on(On::call(Call::Sign, Action::Hang))).unwrap();
        std::thread::scope(|scope| {
            let hanging = scope.spawn(move || sign(&session, key));
            assert!(token.control.wait_until(PATIENCE, |control| control.hangs(Call::Sign) == 1));
            let fail = Action::Fail(Code::CKR_DEVICE_REMOVED);
            token.control.set(&Script::on(On::call(Call::Sign, fail))).unwrap();
            assert_eq!(code(hanging.join().unwrap()), RvError::DeviceRemoved);
        });
    }
}

alone! {
    fn a_call_fails_after_so_many_and_so_often_with_any_code(token) {
        let session = token.log_in();
        let key = private_key(&session, "a");
        let fail = Action::Fail(Code::new(0x8000_0042));
        let script = Script::on(On::call(Call::Sign, fail).after(2).times(2));
        token.control.set(&script).unwrap();
        let failed: Vec<_> = (0..6).map(|_| sign(&session, key).is_err()).collect();
        assert_eq!(failed, [false, false, true, true, false, false]);
        assert_eq!(token.control.struck(&script).unwrap(), [2]);

        let fail = Action::Fail(Code::CKR_DEVICE_ERROR);
        let script = Script::on(On::call(Call::SignInit, fail)).and(On::call(Call::Login, fail));
        token.control.set(&script).unwrap();
        assert_eq!(code(sign(&session, key)), RvError::DeviceError);
        assert_eq!(code(sign(&session, key)), RvError::DeviceError);
        assert_eq!(token.control.struck(&script).unwrap(), [2, 0], "nobody logged in");
        token.control.clear().unwrap();
        sign(&session, key).unwrap();
        assert_eq!(token.control.violations(), 0, "a signature that failed has ended");
    }
}

#[test]
fn a_failure_that_comes_once_comes_once_in_all_processes() {
    let name = concat!(module_path!(), "::a_failure_that_comes_once_comes_once_in_all_processes");
    let outside = place::outside(name, |token| {
        let session = token.log_in();
        let key = private_key(&session, "a");
        assert_eq!(sign(&session, key).is_err(), token.run() == 0);
    });
    if let Some(place) = outside {
        let fail = Action::Fail(Code::CKR_DEVICE_ERROR);
        place.control.set(&Script::on(On::call(Call::Sign, fail).times(1))).unwrap();
        place.run_ok();
        place.run_ok();
    }
}

#[test]
fn a_call_crashes_the_process() {
    let name = concat!(module_path!(), "::a_call_crashes_the_process");
    let outside = place::outside(name, |token| {
        let session = token.log_in();
        sign(&session, private_key(&session, "a")).unwrap();
    });
    if let Some(place) = outside {
        place.control.set(&Script::on(On::call(Call::Sign, Action::Crash))).unwrap();
        assert_eq!(place.run().status.signal(), Some(Signal::SEGV.as_raw()));
        place.control.clear().unwrap();
        place.run_ok();
    }
}

alone! {
    fn sixteen_slow_sessions_sign_side_by_side(token) {
        const SESSIONS: u32 = 16;
        const EACH: u32 = 40;
        let first = token.log_in();
        let key = private_key(&first, "a");
        let delay = Duration::from_millis(5);
        token.control.set(&Script::on(On::call(Call::Sign, Action::DelayMicros(5_000)))).unwrap();
        let start = Barrier::new(16);
        let mut took = Vec::new();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..SESSIONS)
                .map(|_| {
                    let session = token.open().unwrap();
                    let start = &start;
                    scope.spawn(move || {
                        start.wait();
                        let began = Instant::now();
                        (0..EACH).for_each(|_| drop(sign(&session, key).unwrap()));
                        began.elapsed()
                    })
                })
                .collect();
            took.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
        });
        assert!(took.iter().all(|took| *took >= delay * EACH), "{took:?}");
        // One after another would take sixteen times as long.
        assert!(took.iter().all(|took| *took < delay * EACH * 8), "{took:?}");
        assert_eq!(token.control.violations(), 0);

        token.control.clear().unwrap();
        let began = Instant::now();
        (0..EACH).for_each(|_| drop(sign(&first, key).unwrap()));
        assert!(began.elapsed() < delay * EACH, "{:?}", began.elapsed());
    }
}
