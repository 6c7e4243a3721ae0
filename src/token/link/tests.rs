#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use super::super::gate::Knock;
use super::super::latch::Latch;
use super::super::queue::Ticket;
use super::*;
use crate::sign::Priority;

const DEADLINE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// Nobody logs in.
fn keeper() -> Gatekeeper {
    Gatekeeper::new(name(), Latch::new(std::path::Path::new("/nonexistent"), &name()), DEADLINE)
}

fn name() -> TokenName {
    TokenName::new("t").unwrap()
}

/// A queue with `jobs` jobs, a session that serves it, and the token process's end of the socket.
fn session(jobs: u16) -> (Arc<Queue>, Vec<Ticket>, tokio::task::JoinHandle<End>, UnixStream) {
    let queue = Arc::new(Queue::new(name(), 100));
    let mut tickets = Vec::new();
    for key in 0..jobs {
        tickets.push(ask(&queue, key));
    }
    let (served, theirs) = Serving::default().on(&queue);
    (queue, tickets, served, theirs)
}

/// How a session serves.
struct Serving {
    sessions: usize,
    keeper: Arc<Gatekeeper>,
    longest_login: Duration,
    deadline: Duration,
    keepalive: Duration,
    lost: watch::Sender<bool>,
}

impl Default for Serving {
    fn default() -> Self {
        let lost = watch::Sender::new(false);
        Self {
            sessions: 1,
            keeper: Arc::new(keeper()),
            longest_login: LONGEST,
            deadline: DEADLINE,
            keepalive: LONGEST,
            lost,
        }
    }
}

impl Serving {
    /// One that serves the queue, and the token process's end of its socket.
    fn on(self, queue: &Arc<Queue>) -> (tokio::task::JoinHandle<End>, UnixStream) {
        let (queue, (ours, theirs)) = (queue.clone(), UnixStream::pair().unwrap());
        let served = tokio::spawn(async move {
            let Self { sessions, keeper, longest_login, deadline, keepalive, lost } = self;
            let (token, looking, is_gone) = (name(), Mutex::new(()), AtomicBool::new(false));
            let (token, queue, keeper, lost) = (&token, &*queue, &*keeper, &lost);
            let (looking, is_gone) = (&looking, &is_gone);
            let link = Link {
                token,
                queue,
                deadline,
                keepalive,
                sessions,
                keeper,
                longest_login,
                lost,
                looking,
                is_gone,
            };
            link.serve(ours).await
        });
        (served, theirs)
    }
}

/// Puts a job into the queue.
fn ask(queue: &Queue, key: u16) -> Ticket {
    let (job, ticket) = Job::new(key, vec![0; 32], None);
    queue.push(job, Priority::Bulk).unwrap();
    ticket
}

async fn asked(child: &mut UnixStream) -> u16 {
    let body = frame::read_async(child).await.unwrap();
    let Order::Sign(ask) = frame::decode(&body).unwrap() else { panic!("it is to look") };
    ask.key
}

async fn reply(child: &mut UnixStream, answer: Answer) {
    reply_after(child, 0, answer).await;
}

async fn reply_after(child: &mut UnixStream, took_us: u32, answer: Answer) {
    let mut bytes = Vec::new();
    frame::encode(&Reply { recovered: None, took_us, answer }, &mut bytes).unwrap();
    child.write_all(&bytes).await.unwrap();
}

fn failure() -> CallFailure {
    CallFailure { call: "C_Sign".to_owned(), code: "CKR_DEVICE_ERROR".to_owned() }
}

#[tokio::test]
async fn each_caller_gets_the_answer_to_its_own_job() {
    let (queue, tickets, served, mut child) = session(20);
    let process = tokio::spawn(async move {
        for _ in 0..20 {
            let key = asked(&mut child).await;
            reply(&mut child, Answer::Signature(key.to_le_bytes().to_vec())).await;
        }
        child
    });
    for (key, ticket) in (0_u16..).zip(tickets) {
        assert_eq!(ticket.wait(&name()).await.ok().unwrap().as_bytes(), key.to_le_bytes());
    }
    queue.close(&TokenError::Unavailable { token: name() });
    assert!(matches!(served.await.unwrap(), End::Closed));
    drop(process.await.unwrap());
}

/// How many jobs come at once after an answer that took the token so long.
async fn next_chunk(took_us: u32) -> usize {
    let (_queue, _tickets, _served, mut child) = session(20);
    asked(&mut child).await;
    reply_after(&mut child, took_us, Answer::Signature(vec![1])).await;
    let first = frame_len(&mut child).await;
    // The whole chunk is written at once: what is there is the chunk.
    let mut rest = vec![0; 64 * 1024];
    let more = child.try_read(&mut rest).unwrap_or(0);
    1 + more / first
}

/// Reads one frame; how long it is on the wire.
async fn frame_len(child: &mut UnixStream) -> usize {
    let mut bytes = Vec::new();
    let until = Some(Moment::now().after(DEADLINE));
    frame::encode(&Order::Sign(Ask { key: 1, until, input: &[0; 32] }), &mut bytes).unwrap();
    let len = bytes.len();
    asked(child).await;
    len
}

#[tokio::test]
async fn what_the_token_took_and_not_what_the_daemon_waited_makes_a_chunk() {
    assert_eq!(next_chunk(5_000).await, 1);
    assert_eq!(next_chunk(100).await, 10);
    assert_eq!(next_chunk(0).await, CHUNK);
}

#[tokio::test]
async fn one_failed_request_does_not_end_the_session() {
    let (_queue, mut tickets, served, mut child) = session(2);
    let second = tickets.pop().unwrap();
    asked(&mut child).await;
    reply(&mut child, Answer::Failed(failure())).await;
    let error = tickets.pop().unwrap().wait(&name()).await.err().unwrap();
    assert!(matches!(error, TokenError::Failed { code, .. } if code == "CKR_DEVICE_ERROR"));
    asked(&mut child).await;
    reply(&mut child, Answer::Signature(vec![1])).await;
    assert!(second.wait(&name()).await.is_ok());
    assert!(!served.is_finished());
}

#[tokio::test]
async fn what_no_caller_bounds_is_bounded_by_what_the_token_may_take_and_goes_on_to_another() {
    let (_queue, mut tickets, served, mut child) = session(1);
    let body = frame::read_async(&mut child).await.unwrap();
    let Order::Sign(ask) = frame::decode(&body).unwrap() else { panic!("it is to look") };
    let until = ask.until.unwrap();
    assert!(!until.is_past() && until <= Moment::now().after(DEADLINE));
    reply(&mut child, Answer::Expired { given: false }).await;
    let error = tickets.pop().unwrap().wait(&name()).await.err().unwrap();
    assert!(matches!(error, TokenError::Busy { given: false, .. }), "nobody's deadline has passed: {error}");
    assert!(!served.is_finished());
}

#[tokio::test]
async fn who_is_sent_away_from_a_login_takes_nothing_before_that_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Arc::new(Gatekeeper::new(name(), Latch::new(dir.path(), &name()), Duration::from_secs(60)));
    let (mut hung, gate) = UnixStream::pair().unwrap();
    let attended = tokio::spawn(keeper.clone().attend(gate));
    let mut asks = Vec::new();
    frame::encode(&Knock::Asks { in_service: false }, &mut asks).unwrap();
    hung.write_all(&asks).await.unwrap();
    frame::read_async(&mut hung).await.unwrap();

    let queue = Arc::new(Queue::new(name(), 100));
    let first = ask(&queue, 0);
    let (_served, mut child) = Serving { keeper, ..Serving::default() }.on(&queue);
    asked(&mut child).await;
    let _second = ask(&queue, 1);
    reply(&mut child, Answer::Busy { given: true }).await;
    let error = first.wait(&name()).await.err().unwrap();
    assert!(matches!(error, TokenError::Busy { given: true, .. }), "{error}");
    // Whoever would take it has had its turn.
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(queue.len(), 1, "it would be sent back as well");
    drop(hung);
    attended.await.unwrap();
    assert_eq!(asked(&mut child).await, 1);
}

#[tokio::test]
async fn a_session_that_waits_for_a_login_which_does_not_end_gives_its_process_up() {
    let queue = Arc::new(Queue::new(name(), 100));
    let (served, mut child) = Serving { longest_login: Duration::ZERO, ..Serving::default() }.on(&queue);
    let busy = || Answer::Busy { given: false };
    // What is signed in between tells that it is no such login.
    for answer in [busy(), Answer::Signature(vec![1]), busy(), busy()] {
        let ticket = ask(&queue, 0);
        asked(&mut child).await;
        reply(&mut child, answer).await;
        let _ = ticket.wait(&name()).await;
    }
    // One that goes on for all that ends here, and says so.
    queue.close(&TokenError::Unavailable { token: name() });
    assert!(matches!(served.await.unwrap(), End::Broken(failure) if failure.code == BUSY));
}

#[tokio::test]
async fn what_a_token_process_says_of_a_failure_reaches_nobody_as_it_is() {
    let (_queue, mut tickets, served, mut child) = session(1);
    asked(&mut child).await;
    let code = "\nERROR all is well\r".repeat(64 * 1024);
    let process = tokio::spawn(async move {
        reply(&mut child, Answer::Failed(CallFailure { call: "C_Sign\n".to_owned(), code })).await;
        child
    });
    let error = tickets.pop().unwrap().wait(&name()).await.err().unwrap();
    let TokenError::Failed { call, code, .. } = &error else { panic!("{error}") };
    assert!(call == "C_Sign\\n" && code.ends_with(" (cut)") && code.len() < 4096, "{code}");
    assert!(!error.to_string().contains(char::is_control), "{error}");
    assert!(!served.is_finished(), "it may sign the next one");
    drop(process.await.unwrap());
}

#[tokio::test]
async fn a_broken_token_process_ends_the_session() {
    let (_queue, mut tickets, served, mut child) = session(1);
    asked(&mut child).await;
    reply(&mut child, Answer::Broken(failure())).await;
    let error = tickets.pop().unwrap().wait(&name()).await.err().unwrap();
    assert!(matches!(error, TokenError::Unavailable { .. }));
    assert!(matches!(served.await.unwrap(), End::Broken(_)));
}

#[tokio::test]
async fn no_answer_within_the_deadline_ends_the_session() {
    let (_queue, mut tickets, served, child) = session(1);
    let error = tickets.pop().unwrap().wait(&name()).await.err().unwrap();
    assert!(matches!(error, TokenError::TimedOut { after: DEADLINE, .. }));
    assert!(matches!(served.await.unwrap(), End::TimedOut));
    drop(child);
}

#[tokio::test]
async fn a_process_that_hangs_up_or_babbles_ends_the_session() {
    let (_queue, mut tickets, served, mut child) = session(1);
    asked(&mut child).await;
    drop(child);
    let error = tickets.pop().unwrap().wait(&name()).await.err().unwrap();
    assert!(matches!(error, TokenError::Unavailable { .. }));
    assert!(matches!(served.await.unwrap(), End::Gone(_)));

    let (_queue, mut tickets, served, mut child) = session(1);
    asked(&mut child).await;
    child.write_all(&[0xff; 64]).await.unwrap();
    assert!(tickets.pop().unwrap().wait(&name()).await.is_err());
    assert!(matches!(served.await.unwrap(), End::Gone(_)));
}

#[tokio::test]
async fn what_a_lost_process_had_is_taken_by_none_of_its_other_sessions() {
    let queue = Arc::new(Queue::new(name(), 100));
    let lost = watch::Sender::new(false);
    let serve = |lost| Serving { sessions: 2, lost, ..Serving::default() }.on(&queue);
    let ((first, mut dies), (second, survives)) = (serve(lost.clone()), serve(lost));
    // Both wait for work, and the first has it.
    tokio::task::yield_now().await;
    let ticket = ask(&queue, 0);
    asked(&mut dies).await;
    drop(dies);
    assert!(matches!(ticket.wait(&name()).await, Err(TokenError::Unavailable { .. })));
    let _again = ask(&queue, 1);
    assert!(matches!(first.await.unwrap(), End::Gone(_)));
    // Whoever would take it has had its turn.
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
    assert_eq!(queue.len(), 1, "a session of the lost process took it");
    let (_other, mut another) = Serving::default().on(&queue);
    assert_eq!(asked(&mut another).await, 1);
    assert!(!second.is_finished(), "it has no reason to tell");
    assert!(survives.try_read(&mut [0]).is_err(), "it was asked for nothing");
}

#[test]
fn a_slow_token_gets_one_job_at_a_time_and_a_fast_one_many() {
    assert_eq!(chunk_size(Duration::from_millis(5), 1), 1);
    assert_eq!(chunk_size(Duration::from_millis(80), 16), 1);
    assert_eq!(chunk_size(Duration::from_micros(100), 1), 10);
    assert_eq!(chunk_size(Duration::from_micros(10), 1), CHUNK);
    assert_eq!(chunk_size(Duration::ZERO, 1), CHUNK);
}

/// A session that has nothing to do looks after so long.
const SOON: Duration = Duration::from_millis(20);

/// A session with an empty queue, which is to look by now.
async fn looking(deadline: Duration) -> (Arc<Queue>, tokio::task::JoinHandle<End>, UnixStream) {
    let queue = Arc::new(Queue::new(name(), 100));
    let (served, mut child) = Serving { deadline, keepalive: SOON, ..Serving::default() }.on(&queue);
    is_to_look(&mut child).await;
    (queue, served, child)
}

async fn is_to_look(child: &mut UnixStream) {
    let body = tokio::time::timeout(Duration::from_secs(10), frame::read_async(child)).await;
    let body = body.unwrap().unwrap();
    assert!(matches!(frame::decode(&body).unwrap(), Order::Look));
}

#[tokio::test]
async fn a_session_without_work_has_the_token_looked_at_again_and_again() {
    let (queue, served, mut child) = looking(LONGEST).await;
    for answer in [Answer::Present, Answer::Failed(failure()), Answer::Busy { given: false }] {
        reply(&mut child, answer).await;
        is_to_look(&mut child).await;
    }
    let ticket = ask(&queue, 7);
    reply(&mut child, Answer::Present).await;
    assert_eq!(asked(&mut child).await, 7);
    reply(&mut child, Answer::Signature(vec![1])).await;
    assert!(ticket.wait(&name()).await.is_ok());
    drop(child);
    assert!(matches!(served.await.unwrap(), End::Gone(_)));
}

#[tokio::test]
async fn a_token_that_is_not_there_is_known_before_anybody_asks() {
    let (_queue, served, mut child) = looking(LONGEST).await;
    reply(&mut child, Answer::Broken(failure())).await;
    assert!(matches!(served.await.unwrap(), End::Broken(_)));
    // Not even an answer.
    let (_queue, served, _child) = looking(DEADLINE).await;
    assert!(matches!(served.await.unwrap(), End::TimedOut));
}
