#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

/// Signs whatever reaches it, and counts.
struct Oracle(usize);

impl Session for Oracle {
    fn sign(
        &mut self,
        _: usize,
        input: &Input,
        _: Option<Moment>,
        _: &mut dyn FnMut(Recovery),
    ) -> Result<Vec<u8>, SignError> {
        self.0 += 1;
        Ok(input.block().into_owned())
    }

    fn look(&mut self, _: &mut dyn FnMut(Recovery)) -> Result<(), SignError> {
        Err(SignError::Busy { given: false })
    }
}

#[test]
fn refuses_a_digest_of_the_wrong_length_without_asking_the_token() {
    let mut oracle = Oracle(0);
    let schemes = [Scheme::EcdsaP256Sha256, Scheme::RsaPkcs1Sha512];
    for (key, len) in [(0, 20), (0, 31), (0, 64), (1, 32), (1, 0)] {
        let input = vec![1; len];
        let answer = answer(&mut oracle, &schemes, &Ask { key, until: None, input: &input }, &mut |_| ());
        assert!(matches!(answer, Answer::Failed(_)), "key {key} signed {len} bytes");
    }
    assert_eq!(oracle.0, 0);
}

#[test]
fn refuses_a_key_that_it_was_not_given() {
    let mut oracle = Oracle(0);
    let answer =
        answer(&mut oracle, &[Scheme::Ed25519], &Ask { key: 1, until: None, input: b"message" }, &mut |_| ());
    assert!(matches!(answer, Answer::Failed(_)));
    assert_eq!(oracle.0, 0);
}

#[test]
fn gives_rsa_a_digest_info_and_ed25519_the_message() {
    let schemes = [Scheme::RsaPkcs1Sha256, Scheme::Ed25519];
    for (key, input, len) in [(0, [7; 32].as_slice(), 51), (1, b"message", 7)] {
        let answer = answer(&mut Oracle(0), &schemes, &Ask { key, until: None, input }, &mut |_| ());
        let Answer::Signature(block) = answer else { panic!("key {key} was refused") };
        assert_eq!(block.len(), len);
    }
}

#[test]
fn what_nobody_waits_for_any_more_does_not_reach_the_token() {
    let mut oracle = Oracle(0);
    let (now, hour) = (Moment::now(), Duration::from_secs(3600));
    let mut signs = |until| {
        let ask = Ask { key: 0, until, input: b"message" };
        match answer(&mut oracle, &[Scheme::Ed25519], &ask, &mut |_| ()) {
            Answer::Signature(_) => true,
            Answer::Expired { given: false } => false,
            other => panic!("{other:?}"),
        }
    };
    assert!(!signs(Some(now)));
    assert!(signs(Some(now.after(hour))));
    assert!(signs(None));
    assert_eq!(oracle.0, 2);
}

#[test]
fn a_session_ends_when_the_daemon_hangs_up() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    frame::write(&ours, &Order::Sign(Ask { key: 0, until: None, input: b"message" })).unwrap();
    let session = thread::spawn(move || answer_all(&mut Oracle(0), &[Scheme::Ed25519], &theirs));
    assert!(frame::read(&ours).unwrap().is_some());
    drop(ours);
    session.join().unwrap().unwrap();
}

#[test]
fn a_module_that_hangs_in_finalize_does_not_keep_the_process() {
    let (hang, stuck) = mpsc::channel::<()>();
    finish(Box::new(move || {
        let _ = stuck.recv();
    }));
    drop(hang);
}

/// Takes longer than an answer may wait, then, for the next, until it is told to go on.
struct Slow(mpsc::Receiver<()>, usize);

impl Session for Slow {
    fn sign(
        &mut self,
        _: usize,
        _: &Input,
        _: Option<Moment>,
        _: &mut dyn FnMut(Recovery),
    ) -> Result<Vec<u8>, SignError> {
        self.1 += 1;
        if self.1 == 1 {
            thread::sleep(2 * TOGETHER);
        } else {
            self.0.recv().unwrap();
        }
        Ok(vec![1])
    }

    fn look(&mut self, _: &mut dyn FnMut(Recovery)) -> Result<(), SignError> {
        Ok(())
    }
}

#[test]
fn an_answer_of_a_slow_token_does_not_wait_for_the_rest_of_its_chunk() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (go_on, told) = mpsc::channel();
    let answering = thread::spawn(move || answer_all(&mut Slow(told, 0), &[Scheme::Ed25519], &theirs));
    let mut chunk = Vec::new();
    for _ in 0..2 {
        frame::encode(&Order::Sign(Ask { key: 0, until: None, input: b"message" }), &mut chunk).unwrap();
    }
    ours.write_all(&chunk).unwrap();
    for _ in 0..2 {
        let body = frame::read(&mut ours).unwrap().unwrap();
        let reply: Reply = frame::decode(&body).unwrap();
        assert!(matches!(reply.answer, Answer::Signature(_)));
        go_on.send(()).unwrap();
    }
    drop(ours);
    answering.join().unwrap().unwrap();
}
