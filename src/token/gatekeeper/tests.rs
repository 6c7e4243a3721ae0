//! At the gate: a token process, which need not be ours.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;
use std::thread;

use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::*;
use crate::token::latch::Verdict;
use crate::token::pin::Pin;

const SERIAL: &str = "1f2e";
const DEADLINE: Duration = Duration::from_secs(2);

struct Visitor {
    keeper: Arc<Gatekeeper>,
    gate: UnixStream,
    attended: JoinHandle<()>,
    pin: Pin,
}

impl Visitor {
    fn new(state: &Path) -> Self {
        let name = TokenName::new("t").unwrap();
        Self::of(Arc::new(Gatekeeper::new(name.clone(), Latch::new(state, &name), DEADLINE)))
    }

    fn of(keeper: Arc<Gatekeeper>) -> Self {
        let (ours, gate) = UnixStream::pair().unwrap();
        let attended = tokio::spawn(keeper.clone().attend(ours));
        Self { keeper, gate, attended, pin: Pin::hold(Zeroizing::new(b"4711".to_vec())) }
    }

    async fn says(&mut self, knock: &Knock) {
        let mut bytes = Vec::new();
        frame::encode(knock, &mut bytes).unwrap();
        self.gate.write_all(&bytes).await.unwrap();
    }

    async fn hears(&mut self) -> Leave {
        frame::decode(&frame::read_async(&mut self.gate).await.unwrap()).unwrap()
    }

    async fn takes_its_turn(&mut self) {
        self.says(&Knock::Asks { in_service: false }).await;
        assert!(matches!(self.hears().await, Leave::Past(_)));
    }

    /// Has its PIN noted, and its end.
    async fn tries(&mut self, end: Knock) {
        self.takes_its_turn().await;
        self.says(&Knock::Tries(self.pin.mark(SERIAL).unwrap())).await;
        assert!(matches!(self.hears().await, Leave::Noted));
        self.says(&end).await;
        assert!(matches!(self.hears().await, Leave::Noted));
    }

    fn judged(&self) -> Verdict {
        self.keeper.latch.past().unwrap().judge(&self.pin, SERIAL)
    }
}

#[tokio::test]
async fn what_a_process_says_of_a_refusal_is_cut_and_shown_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut visitor = Visitor::new(dir.path());
    visitor.tries(Knock::Refused(format!("\u{1b}[2J{}", "x".repeat(1 << 20)))).await;
    let note: serde_json::Value =
        serde_json::from_slice(&fs::read(visitor.keeper.latch.path()).unwrap()).unwrap();
    let message = note["message"].as_str().unwrap();
    assert!(message.starts_with("\\u{1b}[2Jx") && message.ends_with(" (cut)"), "{message:.40}");
    assert!(message.len() < 4096, "{}", message.len());
}

#[tokio::test]
async fn no_pin_is_tried_again_that_was_not_noted_before() {
    let dir = tempfile::tempdir().unwrap();
    let mut visitor = Visitor::new(dir.path());
    visitor.takes_its_turn().await;
    visitor.says(&Knock::TriesAgain).await;
    let left = tokio::time::timeout(Duration::from_secs(10), visitor.attended).await;
    assert!(left.is_ok(), "it is served");
    assert!(frame::read_async(&mut visitor.gate).await.is_err());
}

#[tokio::test]
async fn a_login_whose_end_is_unknown_stays_noted() {
    let dir = tempfile::tempdir().unwrap();
    let mut visitor = Visitor::new(dir.path());
    visitor.tries(Knock::Unknown).await;
    assert!(matches!(visitor.judged(), Verdict::Doubtful(_)));
    visitor.tries(Knock::Accepted).await;
    assert_eq!(visitor.judged(), Verdict::Untried);
    // Also where it was only for a signature, and nothing was noted before.
    visitor.takes_its_turn().await;
    visitor.says(&Knock::TriesAgain).await;
    visitor.says(&Knock::Unknown).await;
    assert!(matches!(visitor.hears().await, Leave::Noted));
    assert!(matches!(visitor.judged(), Verdict::Doubtful(_)));
}

#[tokio::test]
async fn who_waits_for_a_login_that_hangs_is_sent_away_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let mut hung = Visitor::new(dir.path());
    let mut other = Visitor::of(hung.keeper.clone());
    hung.takes_its_turn().await;
    let since = Instant::now();
    for _ in 0..3 {
        other.says(&Knock::Asks { in_service: true }).await;
        assert!(matches!(other.hears().await, Leave::Busy));
    }
    assert!(since.elapsed() < DEADLINE, "{:?}", since.elapsed());
    drop(hung.gate);
    hung.attended.await.unwrap();
    other.says(&Knock::Asks { in_service: true }).await;
    assert!(matches!(other.hears().await, Leave::Past(_)));
}

/// Under the load that killed one in its login the next would be killed as well, and two are too many.
#[tokio::test]
async fn a_pin_that_a_process_died_with_is_left_to_one_that_starts() {
    let dir = tempfile::tempdir().unwrap();
    let mut serving = Visitor::new(dir.path());
    serving.tries(Knock::Accepted).await;
    let mut dying = Visitor::of(serving.keeper.clone());
    dying.tries(Knock::Accepted).await;
    dying.takes_its_turn().await;
    dying.says(&Knock::TriesAgain).await;
    drop(dying.gate);
    dying.attended.await.unwrap();
    for _ in 0..2 {
        serving.says(&Knock::Asks { in_service: true }).await;
        assert!(matches!(serving.hears().await, Leave::Busy));
    }
    // One that dies before its turn has found nothing out.
    drop(Visitor::of(serving.keeper.clone()));
    serving.says(&Knock::Asks { in_service: true }).await;
    assert!(matches!(serving.hears().await, Leave::Busy));
    let mut starting = Visitor::of(serving.keeper.clone());
    starting.tries(Knock::Accepted).await;
    serving.keeper.at_rest().await;
    serving.says(&Knock::Asks { in_service: true }).await;
    assert!(matches!(serving.hears().await, Leave::Past(past) if past.tried().is_empty()));
}

#[tokio::test]
async fn a_pin_that_no_start_finds_out_about_is_tried_in_service_after_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let mut serving = Visitor::new(dir.path());
    serving.tries(Knock::Accepted).await;
    let mut dying = Visitor::of(serving.keeper.clone());
    dying.takes_its_turn().await;
    dying.says(&Knock::Tries(dying.pin.mark(SERIAL).unwrap())).await;
    assert!(matches!(dying.hears().await, Leave::Noted));
    drop(dying.gate);
    dying.attended.await.unwrap();
    serving.says(&Knock::Asks { in_service: true }).await;
    assert!(matches!(serving.hears().await, Leave::Busy));
    let long_ago = Instant::now().checked_sub(serving.keeper.left_for);
    assert!(serving.keeper.died.send_replace(long_ago).is_some());
    serving.says(&Knock::Asks { in_service: true }).await;
    assert!(matches!(serving.hears().await, Leave::Past(past) if !past.tried().is_empty()));
}

#[tokio::test]
async fn a_pin_that_another_call_refuses_is_noted_whoever_is_in_a_login() {
    let dir = tempfile::tempdir().unwrap();
    let mut visitor = Visitor::new(dir.path());
    visitor.tries(Knock::Accepted).await;
    let mut hung = Visitor::of(visitor.keeper.clone());
    hung.takes_its_turn().await;
    hung.says(&Knock::Tries(hung.pin.mark(SERIAL).unwrap())).await;
    assert!(matches!(hung.hears().await, Leave::Noted));
    visitor.says(&Knock::Refused("no longer".to_owned())).await;
    assert!(matches!(visitor.hears().await, Leave::Noted));
    // Each has a mark of its own of it.
    assert!(matches!(visitor.judged(), Verdict::Barred(_)));
    // Of a PIN that it never tried nothing can be noted.
    let mut other = Visitor::of(visitor.keeper.clone());
    other.says(&Knock::Refused("no".to_owned())).await;
    assert!(frame::read_async(&mut other.gate).await.is_err());
}

#[tokio::test]
async fn a_pin_that_is_refused_while_another_process_is_about_to_try_it_is_not_tried() {
    let dir = tempfile::tempdir().unwrap();
    let mut visitor = Visitor::new(dir.path());
    visitor.tries(Knock::Accepted).await;
    let mut other = Visitor::of(visitor.keeper.clone());
    other.takes_its_turn().await;
    visitor.says(&Knock::Refused("no longer".to_owned())).await;
    assert!(matches!(visitor.hears().await, Leave::Noted));
    other.says(&Knock::Tries(other.pin.mark(SERIAL).unwrap())).await;
    assert!(matches!(other.hears().await, Leave::No(why) if why == CHANGED));
    assert!(matches!(visitor.judged(), Verdict::Barred(_)));
}

#[tokio::test]
async fn a_disk_that_does_not_answer_holds_up_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut visitor = Visitor::new(dir.path());
    let note = visitor.keeper.latch.path().to_owned();
    // Whoever reads it waits until somebody writes.
    mkfifoat(CWD, &note, Mode::RUSR | Mode::WUSR).unwrap();
    let (done, is_done) = std::sync::mpsc::channel();
    let writer = thread::spawn(move || {
        let is_in_time = is_done.recv_timeout(Duration::from_secs(10)).is_ok();
        fs::write(note, r#"{"message":"from before"}"#).unwrap();
        is_in_time
    });
    visitor.says(&Knock::Asks { in_service: false }).await;
    // On this test's one thread.
    tokio::time::sleep(Duration::from_millis(50)).await;
    done.send(()).unwrap();
    assert!(matches!(visitor.hears().await, Leave::Past(_)));
    assert!(writer.join().unwrap());
}
