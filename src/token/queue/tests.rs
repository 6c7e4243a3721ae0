#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;

fn name() -> TokenName {
    TokenName::new("t").unwrap()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(50)
}

fn push(queue: &Queue, key: u16, priority: Priority) -> Result<Ticket, TokenError> {
    let (job, ticket) = Job::new(key, vec![0; 32], None);
    queue.push(job, priority).map(|()| ticket)
}

async fn take_keys(queue: &Queue, most: usize) -> Vec<u16> {
    queue.take(most, 1).await.unwrap().iter().map(|job| job.key).collect()
}

#[tokio::test]
async fn answers_busy_when_full_whatever_the_lane() {
    let queue = Queue::new(name(), 2);
    let _first = push(&queue, 0, Priority::Bulk).unwrap();
    let _second = push(&queue, 1, Priority::Interactive).unwrap();
    for priority in [Priority::Bulk, Priority::Interactive] {
        assert!(matches!(push(&queue, 2, priority), Err(TokenError::Busy { .. })));
    }
}

#[tokio::test]
async fn bulk_keeps_no_interactive_job_out() {
    for (capacity, bulk) in [(1, 1), (2, 1), (7, 6), (64, 56), (1024, 896)] {
        let queue = Queue::new(name(), capacity);
        let mut tickets = Vec::new();
        let mut fill = |priority| {
            while let Ok(ticket) = push(&queue, 0, priority) {
                tickets.push(ticket);
            }
            tickets.len()
        };
        assert_eq!(fill(Priority::Bulk), bulk, "of {capacity}");
        assert_eq!(fill(Priority::Interactive), capacity);
    }
    let queue = Queue::new(name(), 8);
    let _tickets: Vec<_> = (0..8).map(|_| push(&queue, 0, Priority::Interactive).unwrap()).collect();
    assert!(push(&queue, 0, Priority::Bulk).is_err(), "no place is bulk's alone");
}

#[tokio::test]
async fn what_nobody_waits_for_keeps_nobody_out() {
    let queue = Queue::new(name(), 8);
    let _live = push(&queue, 1, Priority::Bulk).unwrap();
    let now = Instant::now();
    let expired = |priority| {
        let (job, ticket) = Job::new(0, Vec::new(), Some(now));
        queue.push(job, priority).map(|()| ticket)
    };
    let given_up = expired(Priority::Bulk).unwrap();
    assert!(given_up.claim.take());
    let _ended = [(); 5].map(|()| expired(Priority::Bulk).unwrap());
    let ended = expired(Priority::Interactive).unwrap();
    let _second = push(&queue, 2, Priority::Bulk).expect("seven places are dead jobs'");
    assert_eq!(queue.len(), 2);
    assert!(matches!(ended.wait(&name()).await, Err(TokenError::Expired { .. })));
    assert_eq!(take_keys(&queue, 10).await, [1, 2]);
}

#[tokio::test]
async fn interactive_goes_first_and_bulk_is_never_starved() {
    let queue = Queue::new(name(), 100);
    let _bulk: Vec<_> = (0..2).map(|_| push(&queue, 1, Priority::Bulk).unwrap()).collect();
    let _interactive: Vec<_> = (0..20).map(|_| push(&queue, 0, Priority::Interactive).unwrap()).collect();
    let order = take_keys(&queue, 22).await;
    let bulk: Vec<_> = order.iter().enumerate().filter(|(_, key)| **key == 1).map(|(at, _)| at).collect();
    assert_eq!(bulk, [7, 15], "bulk has every eighth turn, and no other, while interactive jobs wait");
}

#[tokio::test]
async fn a_chunk_is_one_sessions_share() {
    let queue = Queue::new(name(), 100);
    let _tickets: Vec<_> = (0..8).map(|key| push(&queue, key, Priority::Bulk).unwrap()).collect();
    assert_eq!(queue.take(16, 4).await.unwrap().len(), 2);
    assert_eq!(queue.take(1, 1).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_chunk_of_long_messages_ends_at_the_byte_limit() {
    let queue = Queue::new(name(), 100);
    for _ in 0..4 {
        let (job, _) = Job::new(0, vec![0; CHUNK_BYTES / 2], None);
        queue.push(job, Priority::Bulk).unwrap();
    }
    assert_eq!(queue.take(16, 1).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_expired_job_never_reaches_a_session() {
    let queue = Queue::new(name(), 10);
    let (job, ticket) = Job::new(0, Vec::new(), Some(Instant::now()));
    queue.push(job, Priority::Interactive).unwrap();
    let _live = push(&queue, 1, Priority::Bulk).unwrap();
    assert_eq!(take_keys(&queue, 10).await, [1]);
    assert!(matches!(ticket.wait(&name()).await, Err(TokenError::Expired { .. })));
}

#[tokio::test]
async fn a_job_that_its_caller_has_given_up_never_reaches_a_session() {
    let queue = Queue::new(name(), 10);
    let given_up = push(&queue, 0, Priority::Interactive).unwrap();
    assert!(given_up.claim.take());
    let _live = push(&queue, 1, Priority::Bulk).unwrap();
    assert_eq!(take_keys(&queue, 10).await, [1]);
}

#[tokio::test]
async fn a_caller_whose_deadline_passes_in_the_queue_is_answered_without_a_session() {
    let queue = Queue::new(name(), 10);
    let (job, ticket) = Job::new(0, Vec::new(), Some(soon()));
    queue.push(job, Priority::Interactive).unwrap();
    assert!(matches!(ticket.wait(&name()).await, Err(TokenError::Expired { .. })));
    let _live = push(&queue, 1, Priority::Bulk).unwrap();
    assert_eq!(take_keys(&queue, 10).await, [1], "what was given up is not signed");
}

#[tokio::test]
async fn a_job_in_a_session_is_waited_for_past_the_deadline() {
    let queue = Queue::new(name(), 10);
    let deadline = soon();
    let (job, ticket) = Job::new(0, Vec::new(), Some(deadline));
    queue.push(job, Priority::Interactive).unwrap();
    let mut chunk = queue.take(1, 1).await.unwrap();
    let token = name();
    let mut waiting = std::pin::pin!(ticket.wait(&token));
    let past = deadline + Duration::from_millis(50);
    assert!(tokio::time::timeout_at(past.into(), &mut waiting).await.is_err(), "the token may be signing it");
    chunk.remove(0).answer(Ok(RawSignature(vec![1])));
    assert_eq!(waiting.await.ok().unwrap().as_bytes(), [1]);
}

#[tokio::test]
async fn closing_answers_what_waits_and_refuses_the_rest_until_opened() {
    let queue = Queue::new(name(), 10);
    let ticket = push(&queue, 0, Priority::Bulk).unwrap();
    queue.close(&TokenError::PinRefused { token: name(), given: false });
    assert!(matches!(ticket.wait(&name()).await, Err(TokenError::PinRefused { .. })));
    assert!(matches!(push(&queue, 0, Priority::Bulk), Err(TokenError::PinRefused { .. })));
    assert!(queue.take(1, 1).await.is_none());
    queue.open();
    let _ticket = push(&queue, 0, Priority::Bulk).unwrap();
    assert_eq!(queue.len(), 1);
}

#[tokio::test]
async fn a_job_that_is_dropped_unanswered_counts_as_unavailable() {
    let queue = Queue::new(name(), 10);
    let ticket = push(&queue, 0, Priority::Bulk).unwrap();
    drop(queue.take(1, 1).await);
    assert!(matches!(ticket.wait(&name()).await, Err(TokenError::Unavailable { .. })));
}

#[tokio::test]
async fn every_waiting_session_wakes_for_work() {
    let queue = Arc::new(Queue::new(name(), 10));
    let sessions: Vec<_> = (0..3)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move { queue.take(1, 1).await.map(|chunk| chunk.len()) })
        })
        .collect();
    let _tickets: Vec<_> = (0..3).map(|key| push(&queue, key, Priority::Bulk).unwrap()).collect();
    for session in sessions {
        assert_eq!(session.await.unwrap(), Some(1));
    }
}

/// How often a session that is woken is polled before it has its job: it lets others push first.
const POLLS: usize = 2;

#[tokio::test]
async fn a_session_that_ends_wherever_it_is_leaves_its_wake_up_to_another() {
    for polls in 0..POLLS {
        let queue = Queue::new(name(), 10);
        let mut context = Context::from_waker(Waker::noop());
        let (mut ends, mut stays) = (Box::pin(queue.take(1, 1)), pin!(queue.take(1, 1)));
        assert!(
            ends.as_mut().poll(&mut context).is_pending() && stays.as_mut().poll(&mut context).is_pending()
        );
        let _ticket = push(&queue, 7, Priority::Bulk).unwrap();
        for _ in 0..polls {
            assert!(ends.as_mut().poll(&mut context).is_pending(), "it has the wake-up, and has not looked");
        }
        drop(ends);
        let _ = stays.as_mut().poll(&mut context);
        let Poll::Ready(Some(chunk)) = stays.as_mut().poll(&mut context) else {
            panic!("nobody was woken for what waits, after {polls} polls")
        };
        assert_eq!(chunk[0].key, 7);
    }
}
