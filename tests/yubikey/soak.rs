//! A soak of one card: it is pulled, reset by others, taken by others, and its pcscd killed, in turn and under load.
//!
//! One round of all faults, 20 seconds at most, or as many as `COUNTERSIGN_SOAK_SECONDS` has room for. As in `tests/soak/`: no
//! signature without an entry, none that does not verify, one daemon from begin to end; and here also when service is back.

use std::time::{Duration, Instant};

use crate::Place;
use crate::desk::PIN;
use crate::load::{Caller, Load, settled};
use crate::others::Holder;
use crate::site::PATIENCE;

/// How long a fault lasts.
const FAULT: Duration = Duration::from_millis(1500);
/// What service may take to be back: where the process finds the card again, and where another process has to.
const FOUND_AGAIN: Duration = Duration::from_secs(2);
const REPLACED: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
enum Fault {
    Removed,
    ResetByOthers,
    PcscdKilled,
    TakenByAnother,
}

const FAULTS: [Fault; 4] = [Fault::Removed, Fault::ResetByOthers, Fault::PcscdKilled, Fault::TakenByAnother];

impl Fault {
    /// Breaks, lasts, and heals.
    fn pass(self, place: &mut Place) {
        match self {
            Self::Removed => {
                place.desk.card.remove();
                std::thread::sleep(FAULT);
                place.desk.put_back();
            }
            Self::ResetByOthers => {
                let end = Instant::now() + FAULT;
                let mut verified = 0;
                while Instant::now() < end || verified == 0 {
                    // It lets go of the card with a reset. So does a process of the daemon that ends, which fails it in turn.
                    let verify = ["--reader=", "--action=verify-pin", &format!("--pin={PIN}")];
                    let answer = place.desk.client("yubico-piv-tool").args(verify).output().unwrap();
                    verified += usize::from(answer.status.success());
                    assert!(verified > 0 || end + PATIENCE > Instant::now(), "{answer:?}");
                }
            }
            Self::PcscdKilled => {
                place.desk.pcscd.kill();
                std::thread::sleep(FAULT);
                place.desk.start_pcscd();
            }
            Self::TakenByAnother => {
                let holder = take(place);
                std::thread::sleep(FAULT);
                assert_eq!(holder.end(), "selected");
            }
        }
    }
}

/// Another program gets the card before the daemon does, which also tries: once it is put back, or the next time.
fn take(place: &mut Place) -> Holder {
    loop {
        place.desk.card.remove();
        let mut holder = Holder::begin(place, "exclusive-at-last");
        place.desk.put_back();
        if holder.has_it() {
            return holder;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_wrong_is_released_and_service_is_back_in_time_whatever_happens_to_the_card() {
    let mut place = Place::new();
    let daemon = place.site.serve();
    let probe = Caller::new(&place.site, &daemon, "user-ca").await;
    let load = Load::start(vec![Caller::new(&place.site, &daemon, "user-ca").await], 8);
    load.progress(1).await;
    let soak = std::env::var("COUNTERSIGN_SOAK_SECONDS")
        .map_or(Duration::ZERO, |seconds| Duration::from_secs(seconds.parse().expect("whole seconds")));
    let (since, mut probed) = (Instant::now(), 0);
    loop {
        for fault in FAULTS {
            let process = daemon.token_processes();
            tokio::task::block_in_place(|| fault.pass(&mut place));
            let (all, first) = tokio::join!(load.progress(1), probe.sign_at_last());
            probed += 1;
            let found_again = daemon.token_processes() == process;
            let limit = if found_again { FOUND_AGAIN } else { REPLACED };
            let how = if found_again { "the same process" } else { "another process" };
            println!("{fault:?}: first {first:?}, all {all:?}, {how}");
            assert!(first <= limit && all <= limit, "{fault:?}, {how}: first {first:?}, all {all:?}");
        }
        if since.elapsed() >= soak {
            break;
        }
    }
    let tally = load.stop().await;
    assert!(daemon.stop().0.success());
    let settled = settled(&place.site);
    println!("{tally:?}\n{settled:?}");
    assert_eq!(tally.wrong, 0, "wrong signatures were released");
    assert_eq!(
        settled.signed,
        tally.signed + probed,
        "signatures that were released, and entries that say so"
    );
    assert_eq!(place.desk.card.counts().wrong_pins, 0);
}
