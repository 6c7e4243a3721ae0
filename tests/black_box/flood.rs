//! What a peer that says nothing, reads nothing or never ends a message cannot take from the others: places and memory.
//!
//! Its clients are raw HTTP/2, with windows that let no answer in.

use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign_proto::{Client, v1};
use countersign_tbs::signature::Scheme;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rustix::process::{Resource, Rlimit, getrlimit, getuid, setrlimit};
use tokio::net::{TcpSocket, UnixStream};
use tokio::task::JoinSet;
use tokio_stream::StreamExt;

use crate::ca;
use crate::forge::Forgery;
use crate::limits::ca_key;
use crate::site::{Daemon, FRONT_END, PATIENCE, Site, USER_CA, now, request};

/// How many streams a connection may have.
const STREAMS: usize = 128;
/// What the memory of a signer may grow by for one caller who is up to no good.
const ROOM: u64 = 20 << 20;

const LIST_KEYS: &str = "countersign.v1.Signer/ListKeys";
const SIGN: &str = "countersign.v1.Signer/Sign";
const SIGN_STREAM: &str = "countersign.v1.Signer/SignStream";
const LIST_ENTRIES: &str = "countersign.v1.Ledger/ListEntries";

type Sent = BoxBody<Bytes, std::convert::Infallible>;

/// A connection over the Unix socket, on which of each answer no more than a window comes. It is closed when this is dropped.
struct Raw {
    sender: SendRequest<Sent>,
    _connection: JoinSet<hyper::Result<()>>,
}

impl Raw {
    async fn connect(site: &Site, window: u32) -> Self {
        let stream = UnixStream::connect(site.path("signer.sock")).await.unwrap();
        let mut http = Builder::new(TokioExecutor::new());
        let (sender, connection) =
            http.initial_stream_window_size(window).handshake(TokioIo::new(stream)).await.unwrap();
        let raw = Self { sender, _connection: JoinSet::from_iter([connection]) };
        // How many streams there may be is known once the server has said something.
        raw.call(LIST_KEYS, whole(frame(&v1::ListKeysRequest::default()))).await;
        raw
    }

    /// Makes a call, as far as the headers of its answer.
    fn call(&self, method: &str, body: Sent) -> impl Future<Output = Response<Incoming>> + Send + use<> {
        let request = Request::post(format!("http://localhost/{method}"));
        let request = request.header("content-type", "application/grpc").header("te", "trailers");
        let answer = self.sender.clone().send_request(request.body(body).unwrap());
        async { tokio::time::timeout(PATIENCE, answer).await.expect("an answer").unwrap() }
    }
}

/// A message with its length before it.
fn frame(message: &impl Message) -> Vec<u8> {
    let bytes = message.encode_to_vec();
    [&[0], &u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], &bytes].concat()
}

fn whole(bytes: Vec<u8>) -> Sent {
    Full::from(bytes).boxed()
}

/// A body of which no more comes, and not its end either.
fn endless(bytes: Vec<u8>) -> Sent {
    let frames = tokio_stream::iter([Ok(Frame::data(Bytes::from(bytes)))]);
    BodyExt::boxed(StreamBody::new(frames.chain(tokio_stream::pending())))
}

/// Whether the server turned the call away, with RESOURCE_EXHAUSTED.
fn is_refused(answer: &Response<Incoming>) -> bool {
    answer.headers().get("grpc-status").is_some_and(|status| status == "8")
}

/// How much memory the signer has, in bytes, once it has nothing more to do.
async fn memory(daemon: &Daemon) -> u64 {
    let file = |name: &str| {
        std::fs::read_to_string(format!("/proc/{}/{name}", daemon.pid().as_raw_nonzero())).unwrap()
    };
    let ticks = || {
        let stat = file("stat");
        let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
        fields.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>()
    };
    let (begin, mut busy) = (Instant::now(), ticks());
    loop {
        // Nothing outside says that a process is at rest, but that it takes no time.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let now = ticks();
        if now - busy <= 1 {
            break;
        }
        assert!(begin.elapsed() < 4 * PATIENCE, "it never rests");
        busy = now;
    }
    let status = file("status");
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    resident.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Says how much more there is than before, and fails if it is too much.
async fn has_room(daemon: &Daemon, before: u64) {
    let grown = memory(daemon).await.saturating_sub(before);
    assert!(grown < ROOM, "grown by {} MiB", grown >> 20);
}

async fn signs_for_another(site: &Site, daemon: &Daemon, ca_key: &[u8], serial: u64) {
    let tbs = Forgery { serial, ..Forgery::user(ca_key.to_vec(), now()) };
    let client = site.client(daemon, FRONT_END).await;
    client.sign(request("user-ca", tbs.encode())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_say_nothing_keep_no_caller_out() {
    let site = Site::new(USER_CA);
    let mut daemon = site.serve();
    let ca_key = ca_key(&site, &daemon).await;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let mut idle = Vec::new();
    for _ in 0..1200 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        idle.push(socket.connect(daemon.address).await.unwrap());
    }
    let served = signs_for_another(&site, &daemon, &ca_key, 1);
    tokio::time::timeout(Duration::from_secs(5), served).await.expect("a caller is served meanwhile");
    daemon.wait_for("127.0.0.2: handshake slots full (128 of one host, 1024 of all)");
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_streams_that_nobody_reads_do_not_pile_up() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let ca_key = ca_key(&site, &daemon).await;
    signs_for_another(&site, &daemon, &ca_key, 1).await;
    let before = memory(&daemon).await;
    let (mut connections, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let raw = Raw::connect(&site, 0).await;
        for _ in 0..STREAMS {
            let asked = |n: usize| v1::SignRequest {
                key: "user-ca".into(),
                request_id: format!("{n:062}"),
                ..v1::SignRequest::default()
            };
            let asked = (0..256).flat_map(|n| frame(&asked(n))).collect();
            streams.push(raw.call(SIGN_STREAM, whole(asked)).await);
        }
        connections.push(raw);
    }
    has_room(&daemon, before).await;
    assert_eq!(streams.iter().filter(|answer| is_refused(answer)).count(), 2 * STREAMS - 64);
    signs_for_another(&site, &daemon, &ca_key, 2).await;
    drop((streams, connections));
    free_again(&site).await;
}

/// Waits until the caller of this host has its part again.
async fn free_again(site: &Site) {
    let client = Client::connect_unix(&site.path("signer.sock")).await.unwrap();
    let begin = Instant::now();
    loop {
        let error = client.sign(request("user-ca", Vec::new())).await.unwrap_err();
        if error.reason == "KEY_NOT_AVAILABLE" {
            return;
        }
        assert_eq!(error.reason, "TOO_MANY_REQUESTS");
        assert!(begin.elapsed() < PATIENCE, "what nobody has is taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_has_512_answers_that_it_has_not_read() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let (mut connections, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let raw = Raw::connect(&site, 0).await;
        for _ in 0..STREAMS {
            answers.push(raw.call(LIST_KEYS, whole(frame(&v1::ListKeysRequest::default()))).await);
        }
        connections.push(raw);
    }
    assert_eq!(answers.iter().filter(|answer| is_refused(answer)).count(), 5 * STREAMS - 512);
    site.client(&daemon, FRONT_END).await.list_keys().await.expect("another caller's");
    drop((answers, connections));
    free_again(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_the_ledger_that_nobody_reads_are_eight() {
    let site = Site::new(USER_CA);
    let daemon = site.serve();
    let front_end = site.client(&daemon, FRONT_END).await;
    for _ in 0..300 {
        front_end.sign(request("user-ca", vec![0x5a; 4000])).await.unwrap_err();
    }
    let before = memory(&daemon).await;
    // With room for one byte HTTP/2 is handed all of an answer, and its body is at its end.
    let (raw, mut answers) = (Raw::connect(&site, 1).await, Vec::new());
    for _ in 0..STREAMS {
        let asked = v1::ListEntriesRequest { from: 0, limit: 1000 };
        answers.push(raw.call(LIST_ENTRIES, whole(frame(&asked))).await);
    }
    has_room(&daemon, before).await;
    let refused: Vec<_> = answers.iter().map(is_refused).collect();
    assert_eq!(refused.iter().position(|refused| *refused), Some(8), "the ninth");
    assert!(refused.iter().skip(8).all(|refused| *refused));
    answers.truncate(7);
    let again = Client::connect_unix(&site.path("signer.sock")).await.unwrap();
    let begin = Instant::now();
    while again.list_entries(v1::ListEntriesRequest::default()).await.is_err() {
        assert!(begin.elapsed() < PATIENCE, "a place that nobody has is taken");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_that_are_there_in_part_are_eight() {
    let lists = format!(
        "[key.tls-ca.allow.lists]\ncallers = [\"uid:{}\"]\nbudget = \"100/h\"\nsigns = \"crl\"\nmax_entries = 16384\n\
         max_next_update = \"1d\"\n",
        getuid().as_raw()
    );
    let site = ca::site(&format!("{}{lists}", ca::key("tls-ca", Scheme::EcdsaP256Sha256)));
    let daemon = site.serve();
    let before = memory(&daemon).await;
    let (raw, mut calls) = (Raw::connect(&site, 65_535).await, JoinSet::new());
    let length = (1 << 20) + 3000_u32;
    for _ in 0..STREAMS {
        let all_but_a_byte = vec![b'x'; length as usize - 1];
        let message = [&[0], &length.to_be_bytes()[..], &all_but_a_byte].concat();
        calls.spawn(raw.call(SIGN, endless(message)));
    }
    for _ in 0..STREAMS - 8 {
        let answer = calls.join_next().await.unwrap().unwrap();
        assert!(is_refused(&answer), "{answer:?}");
    }
    has_room(&daemon, before).await;
    assert_eq!(calls.len(), 8, "they wait for the rest");
}
