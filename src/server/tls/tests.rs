#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

use std::future::Future;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use countersign_proto::Client;
use countersign_proto::client::{CallError, ConnectError, Tls};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tonic::Code;
use tonic::service::Routes;

use super::super::tests::{Pair, Pki, issue, issue_nameless, issuer};
use super::*;

const SOON: Duration = Duration::from_secs(20);

/// A server without services: whoever gets in is answered UNIMPLEMENTED.
struct Server {
    address: SocketAddr,
    reload: Reload,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(pki: &Pki, connections: usize, grace: Duration) -> Self {
        let config = pki.config();
        let listener = TcpListener::bind(config.listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door::new(listener, Reload::new(load(&config).unwrap(), config));
        let (reload, (stop, stopping)) = (door.reload.clone(), watch::channel(false));
        let limits = connection::Limits { connections, grace };
        let task = tokio::spawn(connection::serve(door, |_: &Caller| Routes::default(), limits, stopping));
        Self { address, reload, stop, task }
    }

    async fn of(pki: &Pki) -> Self {
        Self::start(pki, 8, Duration::from_secs(5)).await
    }

    async fn connect(&self, pki: &Pki, pair: &Pair) -> Result<Client, ConnectError> {
        let tls =
            Tls::from_pem(pair.certificate.as_bytes(), pair.key.as_bytes(), pki.ca.pem().as_bytes()).unwrap();
        Client::connect(&format!("https://{}", self.address), &tls).await
    }

    /// Makes a connection and asks something.
    async fn ask(&self, pki: &Pki, pair: &Pair) -> Result<(), String> {
        let client = self.connect(pki, pair).await.map_err(|error| error.to_string())?;
        is_served(&client.list_keys().await.unwrap_err())
    }
}

fn is_served(error: &CallError) -> Result<(), String> {
    if error.code == Code::Unimplemented { Ok(()) } else { Err(error.to_string()) }
}

fn client(pki: &Pki) -> Pair {
    issue(&pki.ca, "frontend.example.org", 2099)
}

/// A client that tests can bend.
fn client_config(pki: &Pki, pair: Option<&Pair>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(pki.ca.der().clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match pair {
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).collect::<Result<_, _>>();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain.unwrap(), key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

type ClientStream = tokio_rustls::client::TlsStream<TcpStream>;

async fn handshake(server: &Server, config: ClientConfig) -> io::Result<ClientStream> {
    let stream = TcpStream::connect(server.address).await?;
    TlsConnector::from(Arc::new(config)).connect("127.0.0.1".try_into().unwrap(), stream).await
}

/// Reads until the server has said something. In TLS 1.3 that is the first that a refused client hears.
async fn first_byte(server: &Server, config: ClientConfig) -> io::Result<u8> {
    let mut stream = handshake(server, config).await?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    stream.read_u8().await
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.expect("it to happen soon")
}

#[tokio::test]
async fn serves_client_of_the_right_ca() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    soon(server.ask(&pki, &client(&pki))).await.unwrap();
}

#[tokio::test]
async fn refuses_client_without_certificate() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    let error = soon(first_byte(&server, client_config(&pki, None))).await.unwrap_err();
    assert!(error.to_string().contains("CertificateRequired"), "{error}");
}

#[tokio::test]
async fn refuses_client_of_another_ca() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    let stranger = issue(&issuer("another"), "frontend.example.org", 2099);
    let error = soon(first_byte(&server, client_config(&pki, Some(&stranger)))).await.unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
    let namesake = issue(&issuer("ca"), "frontend.example.org", 2099);
    let error = soon(first_byte(&server, client_config(&pki, Some(&namesake)))).await.unwrap_err();
    assert!(error.to_string().contains("alert"), "{error}");
}

#[tokio::test]
async fn refuses_client_whose_certificate_has_expired() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    let late = issue(&pki.ca, "frontend.example.org", 2020);
    let error = soon(first_byte(&server, client_config(&pki, Some(&late)))).await.unwrap_err();
    assert!(error.to_string().contains("CertificateExpired"), "{error}");
}

#[tokio::test]
async fn refuses_client_whose_certificate_names_nobody() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    let nameless = issue_nameless(&pki.ca);
    let error = soon(first_byte(&server, client_config(&pki, Some(&nameless)))).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
}

#[tokio::test]
async fn refuses_client_that_does_not_ask_for_http2() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    let mut config = client_config(&pki, Some(&client(&pki)));
    config.alpn_protocols.clear();
    let error = soon(first_byte(&server, config)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refuses_tls_1_2() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    pki.write("client.pem", &client(&pki).certificate);
    // rustls is built without TLS 1.2, so OpenSSL plays the old client.
    let try_version = |version: &str| {
        let output = Command::new("openssl")
            .args(["s_client", "-brief", "-alpn", "h2", version, "-connect", &server.address.to_string()])
            .arg("-CAfile")
            .arg(pki.path("ca.pem"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let old = try_version("-tls1_2");
    assert!(old.contains("alert protocol version"), "{old}");
    let new = try_version("-tls1_3");
    assert!(new.contains("TLSv1.3"), "{new}");
}

#[tokio::test]
async fn gives_no_session_tickets() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    let mut stream = soon(handshake(&server, client_config(&pki, Some(&client(&pki))))).await.unwrap();
    soon(stream.read_u8()).await.expect("the server's HTTP/2 settings, which come after any tickets");
    assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
}

#[tokio::test]
async fn stalled_handshake_holds_up_nobody() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut garbage = TcpStream::connect(server.address).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    soon(server.ask(&pki, &client(&pki))).await.unwrap();
}

#[tokio::test]
async fn one_connection_too_many_is_closed_until_another_ends() {
    let pki = Pki::new();
    let server = Server::start(&pki, 1, Duration::from_secs(5)).await;
    let pair = client(&pki);
    let first = soon(server.connect(&pki, &pair)).await.unwrap();
    is_served(&first.list_keys().await.unwrap_err()).unwrap();
    soon(server.ask(&pki, &pair)).await.unwrap_err();
    drop(first);
    // The server learns of the end when it reads it, which nobody here is told.
    soon(async { while server.ask(&pki, &pair).await.is_err() {} }).await;
}

#[tokio::test]
async fn idle_client_does_not_hold_up_a_shutdown() {
    let pki = Pki::new();
    let server = Server::start(&pki, 8, Duration::from_secs(3600)).await;
    let client = soon(server.connect(&pki, &client(&pki))).await.unwrap();
    is_served(&client.list_keys().await.unwrap_err()).unwrap();
    server.stop.send_replace(true);
    soon(server.task).await.unwrap();
}

#[tokio::test]
async fn client_that_ignores_goaway_is_cut_off() {
    let pki = Pki::new();
    let server = Server::start(&pki, 8, Duration::from_millis(50)).await;
    let mut deaf = soon(handshake(&server, client_config(&pki, Some(&client(&pki))))).await.unwrap();
    soon(deaf.read_u8()).await.unwrap();
    server.stop.send_replace(true);
    soon(server.task).await.unwrap();
}

#[tokio::test]
async fn stopped_server_does_not_listen() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    server.stop.send_replace(true);
    soon(server.task).await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test]
async fn reload_replaces_certificate_and_client_ca() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    let (old_client, other_ca) = (client(&pki), issuer("other"));
    let new_client = issue(&other_ca, "frontend.example.org", 2099);
    assert!(soon(server.ask(&pki, &new_client)).await.is_err());

    let renewed = pki.server();
    pki.install(&renewed);
    pki.write("ca.pem", &other_ca.pem());
    server.reload.reload().unwrap();

    soon(server.ask(&pki, &new_client)).await.unwrap();
    assert!(soon(server.ask(&pki, &old_client)).await.is_err());
    let stream = soon(handshake(&server, client_config(&pki, Some(&new_client)))).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(shown, [CertificateDer::from_pem_slice(renewed.certificate.as_bytes()).unwrap()]);
}

#[tokio::test]
async fn failed_reload_keeps_what_is_in_use() {
    let pki = Pki::new();
    let server = Server::of(&pki).await;
    pki.write("server.pem", &pki.server().certificate);
    let faults = server.reload.reload().unwrap_err();
    assert_eq!(faults[0].at, "server.tls_key");
    soon(server.ask(&pki, &client(&pki))).await.unwrap();
}
