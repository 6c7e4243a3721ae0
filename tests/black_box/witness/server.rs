//! A witness for tests (C2SP tlog-witness), that checks what it is sent and misbehaves as a test tells it to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64ct::{Base64, Encoding};
use countersign::ledger::checkpoint::Checkpoint;
use countersign::ledger::merkle::check_consistency;
use countersign::ledger::note::{SignerName, VerifierKey};

use crate::site::now;

/// What it does instead of what it should.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Fault {
    /// Signs something else.
    BadSignature,
    /// Signs with a time so far from now, in seconds.
    Time(i64),
    /// Sends a body without end.
    Huge,
    /// Never answers.
    Silent,
    /// Answers with this status.
    Status(u16),
    /// Says that it knows so many entries.
    Knows(u64),
}

/// What it knows.
#[derive(Default)]
struct State {
    /// The newest checkpoint that it cosigned: size, root and note.
    newest: Option<(u64, [u8; 32], String)>,
    fault: Option<Fault>,
    /// The old sizes that it was sent.
    asked: Vec<u64>,
    /// The newest request that continues a tree, as it came.
    continuing: Option<String>,
    /// Whether it shows nothing, and whether it answers nobody at all.
    hidden: bool,
    muted: bool,
    /// Connections of a witness that does not answer.
    held: Vec<TcpStream>,
}

/// A witness that listens until the test ends.
pub struct Witness {
    pub port: u16,
    pub key: VerifierKey,
    state: Arc<Mutex<State>>,
}

/// Who it is, in its thread.
struct Signer {
    pair: Ed25519KeyPair,
    key: VerifierKey,
    log_key: Arc<Mutex<Option<VerifierKey>>>,
}

impl Witness {
    /// Trusts the key of the log that `trusted` comes to hold; speaks TLS by `tls`.
    pub fn start(
        name: &str,
        trusted: &Arc<Mutex<Option<VerifierKey>>>,
        tls: Option<Arc<rustls::ServerConfig>>,
    ) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        let key = VerifierKey::cosigner(SignerName::new(name).unwrap(), public).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, state) = (listener.local_addr().unwrap().port(), Arc::<Mutex<State>>::default());
        let signer = Signer { pair, key: key.clone(), log_key: Arc::clone(trusted) };
        let kept = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                // A client that goes away is no concern of the test's.
                let _ = match &tls {
                    None => signer.serve(stream.try_clone().unwrap(), &stream, &kept),
                    Some(tls) => {
                        let session = rustls::ServerConnection::new(Arc::clone(tls)).unwrap();
                        signer.serve(
                            rustls::StreamOwned::new(session, stream.try_clone().unwrap()),
                            &stream,
                            &kept,
                        )
                    }
                };
            }
        });
        Self { port, key, state }
    }

    pub fn fault(&self, fault: impl Into<Option<Fault>>) {
        self.state.lock().unwrap().fault = fault.into();
    }

    /// How many entries it has cosigned.
    pub fn size(&self) -> u64 {
        self.state.lock().unwrap().newest.as_ref().map_or(0, |(size, ..)| *size)
    }

    /// Has it show this as the newest.
    pub fn show(&self, note: &str) {
        if let Some((.., newest)) = &mut self.state.lock().unwrap().newest {
            note.clone_into(newest);
        }
    }

    /// Whether it has no checkpoint to show.
    pub fn hide(&self, hidden: bool) {
        self.state.lock().unwrap().hidden = hidden;
    }

    /// Has it answer nothing any more.
    pub fn mute(&self) {
        self.state.lock().unwrap().muted = true;
    }

    /// The old sizes that it was sent.
    pub fn asked(&self) -> Vec<u64> {
        self.state.lock().unwrap().asked.clone()
    }

    /// The newest request that continues a tree, as it came.
    pub fn continuing(&self) -> Option<String> {
        self.state.lock().unwrap().continuing.clone()
    }
}

impl Signer {
    fn serve(
        &self,
        mut stream: impl Read + Write,
        raw: &TcpStream,
        state: &Mutex<State>,
    ) -> std::io::Result<()> {
        let mut reader = BufReader::new(&mut stream);
        let (mut first, mut length) = (String::new(), 0);
        reader.read_line(&mut first)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut state = state.lock().unwrap();
        if state.muted {
            state.held.push(raw.try_clone()?);
            return Ok(());
        }
        let (status, content_type, body) = if first.starts_with("GET /newest ") {
            state
                .newest
                .as_ref()
                .filter(|_| !state.hidden)
                .map_or((404, "", String::new()), |(.., note)| (200, "text/plain", note.clone()))
        } else {
            assert!(first.starts_with("POST /w/add-checkpoint "), "{first}");
            match state.fault.clone() {
                Some(Fault::Silent) => {
                    state.held.push(raw.try_clone()?);
                    return Ok(());
                }
                Some(Fault::Huge) => {
                    drop(state);
                    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
                    stream.write_all(head.as_bytes())?;
                    // Until the client has had enough of it.
                    while stream.write_all(&[b'x'; 4096]).is_ok() {}
                    return Ok(());
                }
                Some(Fault::Status(status)) => (status, "", String::new()),
                Some(Fault::Knows(size)) => (409, "text/x.tlog.size", format!("{size}\n")),
                fault => self.add(&String::from_utf8(body).unwrap(), &mut state, fault.as_ref()),
            }
        };
        drop(state);
        let head = format!(
            "HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        stream.flush()?;
        raw.shutdown(Shutdown::Write)
    }

    /// As the specification wants it.
    fn add(&self, body: &str, state: &mut State, fault: Option<&Fault>) -> (u16, &'static str, String) {
        let (head, note) = body.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let old: u64 = lines.next().unwrap().strip_prefix("old ").unwrap().parse().unwrap();
        let proof: Vec<[u8; 32]> =
            lines.map(|line| Base64::decode_vec(line).unwrap().try_into().unwrap()).collect();
        state.asked.push(old);
        if old > 0 {
            state.continuing = Some(body.to_owned());
        }
        let origin = note.lines().next().unwrap();
        let Some(log_key) = self.log_key.lock().unwrap().clone() else { return (404, "", String::new()) };
        let Ok((checkpoint, signed)) = Checkpoint::open(note.as_bytes(), origin, &log_key) else {
            return (403, "", String::new());
        };
        let (size, root) = (checkpoint.size(), *checkpoint.root());
        let (known, known_root) = state.newest.as_ref().map_or((0, root), |(size, root, _)| (*size, *root));
        if old > size {
            return (400, "", String::new());
        }
        if old != known || (old == size && known_root != root) {
            return (409, "text/x.tlog.size", format!("{known}\n"));
        }
        let is_consistent = if old == 0 {
            proof.is_empty()
        } else {
            check_consistency((old, &known_root), (size, &root), &proof).is_ok()
        };
        if !is_consistent {
            return (422, "", String::new());
        }
        state.newest = Some((size, root, note.to_owned()));
        let (time, text) = match fault {
            Some(Fault::Time(seconds)) => {
                (now().checked_add_signed(*seconds).unwrap(), signed.text().to_owned())
            }
            Some(Fault::BadSignature) => (now(), "something else\n".to_owned()),
            _ => (now(), signed.text().to_owned()),
        };
        let signature = self.pair.sign(format!("cosignature/v1\ntime {time}\n{text}").as_bytes());
        let bytes = [&self.key.id().0[..], &time.to_be_bytes(), signature.as_ref()].concat();
        (200, "text/plain", format!("\u{2014} {} {}\n", self.key.name(), Base64::encode_string(&bytes)))
    }
}
