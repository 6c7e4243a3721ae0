//! Clients that do not keep to the protocol.

use super::*;
use crate::forge::Forgery;
use crate::site::now;

#[path = "../../fuzz_smoke/mutate.rs"]
mod mutate;

/// FAILURE, as a frame.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];

fn connect(agent: &Agent) -> UnixStream {
    let stream = UnixStream::connect(&agent.socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn frame(message: &[u8]) -> Vec<u8> {
    [&u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

fn sign_request(key: &[u8], data: &[u8], flags: u32) -> Vec<u8> {
    frame(&[&[13], &frame(key)[..], &frame(data), &flags.to_be_bytes()].concat())
}

/// Sends bytes and reads one FAILURE.
fn fails(stream: &mut UnixStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, FAILURE, "{:?}", &bytes[..bytes.len().min(16)]);
}

/// The agent is done with this client.
fn is_closed(stream: &mut UnixStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(len) => len == 0,
        // It had not read all that was sent.
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// The CA's key in its wire form.
fn ca_key(site: &Site) -> Vec<u8> {
    let line = std::fs::read_to_string(site.path("ca.pub")).unwrap();
    let countersign_tbs::ssh::SubjectKey::Plain(key) =
        countersign_tbs::ssh::SubjectKey::from_openssh_line(&line).unwrap()
    else {
        panic!("{line}")
    };
    key.to_ssh_wire().unwrap()
}

#[test]
fn a_frame_that_makes_no_sense_ends_its_connection_alone() {
    let site = site("ed25519");
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    for (bytes, said) in [
        (&[0, 0, 0, 0][..], "a frame announces 0 bytes"),
        (&[0, 4, 0, 1, 11], "a frame announces 262145 bytes"),
        (&[0xff; 8], "a frame announces 4294967295 bytes"),
    ] {
        let mut stream = connect(&agent);
        fails(&mut stream, bytes);
        assert!(is_closed(&mut stream));
        agent.log.wait_for(said);
    }
    // The longest frame is a frame: its message is at fault, and the client may go on.
    let mut stream = connect(&agent);
    fails(&mut stream, &frame(&vec![13; 256 * 1024]));
    fails(&mut stream, &frame(&[11, 0]));

    let mut half = connect(&agent);
    half.write_all(&[0, 0, 0, 9, 11]).unwrap();
    half.shutdown(std::net::Shutdown::Write).unwrap();
    agent.log.wait_for("the connection ended within a message");

    let mut slow = connect(&agent);
    slow.write_all(&[0, 0, 0, 9, 11]).unwrap();
    fails(&mut slow, &[]);
    assert!(is_closed(&mut slow));
    agent.log.wait_for("a message was not whole 5s after its first byte");
    assert!(agent.ok("ssh-add", &["-l"]).contains("user-ca"));
}

#[test]
fn every_other_message_is_answered_with_failure_and_the_client_may_go_on() {
    let site = site("ed25519");
    let daemon = site.serve();
    let before = site.entries().len();
    let agent = Agent::start(&site, &daemon, FRONT_END);
    let mut stream = connect(&agent);
    for number in (0..=255).filter(|number| ![11, 13].contains(number)) {
        fails(&mut stream, &frame(&[number]));
        fails(&mut stream, &frame(&[number, 0, 0, 0, 1, b'x']));
    }
    let whole = sign_request(&ca_key(&site), b"data", 0);
    for len in 5..whole.len() {
        fails(&mut stream, &frame(&whole[4..len]));
    }
    assert!(
        site.entries().len() <= before + 1,
        "nothing of this reaches the signer; the self-test's outcome may come"
    );
    stream.write_all(&frame(&[11])).unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[4], 12, "the keys");
}

#[test]
fn a_request_to_sign_is_refused_by_its_key_its_flags_its_length_or_the_signer() {
    let site = site("ed25519");
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    let key = ca_key(&site);
    let mut other = key.clone();
    *other.last_mut().unwrap() ^= 1;
    let login = [&frame(&[7; 32])[..], &[50], &frame(b"root")].concat();
    let large = vec![0; 32 * 1024 + 1];
    let mut stream = connect(&agent);
    for (request, said) in [
        (sign_request(&other, b"data", 0), "there is no SSH CA key that is asked to sign (SHA256:"),
        (sign_request(b"not a key", b"data", 0), "asked to sign (an unreadable key)"),
        (sign_request(&key, b"data", 2), "the flags are 0, and the client asks with 2"),
        (
            sign_request(&key, &large, 0),
            "32769 bytes for key user-ca are more than the 32768 of any certificate",
        ),
    ] {
        fails(&mut stream, &request);
        agent.log.wait_for(said);
    }
    for (data, what) in [
        (&login[..], "a login"),
        (&[1; 32], "what may be a digest"),
        (b"", "what is no certificate"),
        (&large[1..], "what is no certificate"),
    ] {
        fails(&mut stream, &sign_request(&key, data, 0));
        let line = agent.log.wait_for("FAILURE");
        assert!(line.contains(&format!("the signer refused {what} for key user-ca: ")), "{line}");
        assert!(line.contains("recorded as entry "), "{line}");
    }
}

#[test]
fn a_client_that_takes_no_answers_is_closed() {
    let site = site("ed25519");
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    let mut stream = connect(&agent);
    // More answers than a socket holds; the requests fit, so that writing them does not block for ever.
    stream.write_all(&frame(&[0]).repeat(10_000)).unwrap();
    agent.log.wait_for("a client did not take its answer within 5s");
    assert!(agent.ok("ssh-add", &["-l"]).contains("user-ca"));
}

#[test]
fn a_client_too_many_is_closed_and_comes_in_once_another_has_gone() {
    let site = site("ed25519");
    let daemon = site.serve();
    let mut agent = Agent::start(&site, &daemon, FRONT_END);
    let mut idle: Vec<_> = (0..128).map(|_| connect(&agent)).collect();
    // An answer shows that it has its place.
    for stream in &mut idle {
        fails(stream, &frame(&[0]));
    }
    assert!(is_closed(&mut connect(&agent)));
    agent.log.wait_for("there are 128 clients already");

    idle.pop();
    let served = |stream: &mut UnixStream| {
        let sent = stream.write_all(&frame(&[0]));
        sent.is_ok() && stream.read(&mut [0; 5]).is_ok_and(|len| len == 5)
    };
    // The agent learns of the end of a connection when it gets to it.
    let begun = std::time::Instant::now();
    while !served(&mut connect(&agent)) {
        assert!(begun.elapsed() < PATIENCE, "no place came free");
    }
}

#[test]
fn a_thousand_mutated_frames_get_no_signature_and_do_not_stop_it() {
    let site = site("ed25519");
    let daemon = site.serve();
    let agent = Agent::start(&site, &daemon, FRONT_END);
    let key = ca_key(&site);
    // Refused as it is, so that no change to its nonce or key id has it signed.
    let root = Forgery { principals: vec![b"root".to_vec()], ..Forgery::user(key.clone(), now()) }.encode();
    let seeds = [
        frame(&[11]),
        frame(&[27, 0, 0, 0, 5, b'q', b'u', b'e', b'r', b'y']),
        sign_request(&key, &root, 0),
        sign_request(&key, b"data", 4),
        [sign_request(&key, &root, 0), frame(&[11])].concat(),
    ];
    let mut random = mutate::Random::new(8);
    for number in 0..1000 {
        let bytes = mutate::mutant(&mut random, &seeds);
        let mut stream = connect(&agent);
        // The agent may have closed it already, at a length that is none.
        let _ = stream.write_all(&bytes).and_then(|()| stream.shutdown(std::net::Shutdown::Write));
        for kind in answers(&mut stream) {
            assert!([5, 12].contains(&kind), "{number}: an answer of type {kind} to {bytes:02x?}");
        }
    }
    let entries = site.entries();
    assert!(!entries.iter().any(|entry| matches!(entry, Entry::Intent { .. })), "nothing is signed");
    let refused = entries.iter().filter(|entry| matches!(entry, Entry::Refusal { .. })).count();
    assert!(refused > 40, "the signer itself saw few of them: {refused}");
    agent.ok("ssh-keygen", &["-Us", "ca.pub", "-I", "x", "-z", "1", "-n", "alice", "-V", "+5m", "id.pub"]);
}

/// The type of each answer until the connection ends.
fn answers(stream: &mut UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset ends it, too.
    let _ = stream.read_to_end(&mut bytes);
    let (mut kinds, mut rest) = (Vec::new(), &bytes[..]);
    while let [a, b, c, d, kind, ..] = rest {
        kinds.push(*kind);
        rest = &rest[4 + u32::from_be_bytes([*a, *b, *c, *d]) as usize..];
    }
    kinds
}
