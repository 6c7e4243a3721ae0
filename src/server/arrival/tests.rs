#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use super::*;

/// A request's client, and its body.
type Call = (mpsc::Sender<Sent>, Arriving<StreamBody<ReceiverStream<Sent>>>);
type Sent = Result<Frame<Bytes>, Error>;

/// A message of `length` bytes, of which only `sent` are there.
fn part(length: usize, sent: usize) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(length).unwrap().to_be_bytes());
    bytes.resize(bytes.len() + sent, 0x5a);
    bytes.into()
}

fn call_of(arrivals: &Arrivals, uid: u32) -> Call {
    let (sender, body) = mpsc::channel(4);
    let body = StreamBody::new(ReceiverStream::new(body));
    (sender, arrivals.watch(&Arc::new(Caller::from_uid(uid)), body))
}

async fn send(sender: &mpsc::Sender<Sent>, bytes: Bytes) {
    sender.send(Ok(Frame::data(bytes))).await.unwrap();
}

/// Sends `bytes`, and receives them.
async fn pass((sender, body): &mut Call, bytes: Bytes) -> Result<(), Status> {
    send(sender, bytes.clone()).await;
    match body.frame().await.expect("a frame") {
        Ok(frame) => {
            assert_eq!(frame.into_data().unwrap(), bytes);
            Ok(())
        }
        Err(error) => Err(Status::from_error(error)),
    }
}

#[tokio::test]
async fn messages_that_are_there_in_part_are_bounded_for_each_caller() {
    for (length, most) in [(MAX_REQUEST_BYTES, MAX_PARTIAL.each), (MAX_REQUEST_BYTES + 1, MAX_LONG.each)] {
        let arrivals = Arrivals::default();
        let mut calls: Vec<_> = (0..=most).map(|_| call_of(&arrivals, 7)).collect();
        let (last, first) = calls.split_last_mut().unwrap();
        for call in &mut *first {
            pass(call, part(length, length - 1)).await.unwrap();
        }
        let status = pass(last, part(length, length - 1)).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{length}: {status}");
        pass(&mut call_of(&arrivals, 8), part(length, length - 1)).await.expect("another caller's");
        pass(first.first_mut().unwrap(), Bytes::from_static(b"!")).await.unwrap();
        pass(&mut call_of(&arrivals, 7), part(length, 0)).await.expect("the part of the one that is whole");
    }
}

#[tokio::test]
async fn messages_are_counted_however_they_are_cut() {
    let arrivals = Arrivals::default();
    let mut call = call_of(&arrivals, 7);
    let two = [part(300, 300), part(0, 0), part(70_000, 70_000)].concat();
    for byte in two.iter().take(310) {
        pass(&mut call, Bytes::copy_from_slice(&[*byte])).await.unwrap();
    }
    assert_eq!((arrivals.partial.taken(), arrivals.long.taken()), (0, 0), "two whole ones");
    pass(&mut call, Bytes::copy_from_slice(&two[310..314])).await.unwrap();
    assert_eq!((arrivals.partial.taken(), arrivals.long.taken()), (1, 0), "how long it is, is not there yet");
    pass(&mut call, Bytes::copy_from_slice(&two[314..])).await.unwrap();
    assert_eq!((arrivals.partial.taken(), arrivals.long.taken()), (0, 0));
    pass(&mut call, [&two[..], &two[..320]].concat().into()).await.unwrap();
    assert_eq!((arrivals.partial.taken(), arrivals.long.taken()), (0, 1), "of a long one");
}

/// As usual, but less patient.
fn impatient() -> Arrivals {
    Arrivals { patience: Duration::from_millis(200), ..Arrivals::default() }
}

#[tokio::test]
async fn a_message_whose_rest_does_not_come_is_given_up() {
    let arrivals = impatient();
    let (sender, mut body) = call_of(&arrivals, 7);
    send(&sender, part(100_000, 10)).await;
    body.frame().await.unwrap().unwrap();
    // The server is busy, and does not read: that is not the client's fault.
    tokio::time::sleep(arrivals.patience * 2).await;
    let begin = Instant::now();
    let trickle = tokio::spawn(async move {
        while sender.send(Ok(Frame::data(Bytes::from_static(b".")))).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let status = loop {
        if let Err(error) = body.frame().await.unwrap() {
            break Status::from_error(error);
        }
    };
    assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
    assert!(begin.elapsed() >= arrivals.patience, "{:?}", begin.elapsed());
    drop(body);
    trickle.await.unwrap();
}

#[tokio::test]
async fn a_call_without_a_message_may_wait_as_long_as_it_likes() {
    let arrivals = impatient();
    let mut call = call_of(&arrivals, 7);
    pass(&mut call, part(1, 1)).await.unwrap();
    let quiet = tokio::time::timeout(arrivals.patience * 2, call.1.frame()).await;
    quiet.expect_err("nothing to hear");
}
