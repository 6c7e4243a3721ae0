//! One connection after another: who it is, then HTTP/2 until it ends, ages, or the server stops.
//!
//! In: a [`Door`]. Out: each request, with the [`Caller`] in its extensions, to the gRPC routes. The HTTP/2 loop is ours
//! and not tonic's: tonic's would leave connections running after a shutdown's grace, and would answer a passed deadline
//! with CANCELLED before the request has been recorded.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::service::Routes;
use tracing::{debug, warn};

use super::arrival::Arrivals;
use super::coalesce::{Unvectored, after_others};
use super::handshake::{Crowd, Handshakes, Source};
use super::held::Held;
use super::notices::Notices;
use super::share::{ShareLimits, Shares};
use crate::caller::{Caller, CallerError};

/// How many requests at once on one connection. Each may hold a message that is not all there yet.
const MAX_STREAMS: u32 = 128;
/// How many connections of one caller.
const MAX_PER_CALLER: usize = 64;
/// How much of one request's body may wait unread, in bytes; less than a connection's, so that a SignStream that is
/// held back does not hold back the connection's other requests.
const STREAM_WINDOW: u32 = 64 * 1024;
/// As [`STREAM_WINDOW`], for all requests of a connection together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// How much of an answer HTTP/2 takes before its client reads, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// The most headers that a request may have, in bytes.
const MAX_HEADERS: u32 = 16 * 1024;
/// How often a client is asked for a sign of life, and how long that may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));
/// How old a connection may get before the client is asked to make another, whose certificate is verified anew.
const MAX_AGE: Duration = Duration::from_secs(3600);
/// How long to wait after a failed accept: out of file descriptors, trying at once again would only burn the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A way in: where connections come from, and how one learns who is at the other end.
pub(super) trait Door: Send + Sync + 'static {
    /// A connection that nobody has vouched for yet.
    type Knock: Send + 'static;
    /// A connection to a known caller.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Waits for the next connection. Cancel-safe.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Knock>> + Send;

    /// The host that it comes from, unless who it is needs no handshake.
    fn source(knock: &Self::Knock) -> Option<Source>;

    /// Finds out who it is, if that takes no longer than `patience`.
    fn identify(
        knock: Self::Knock,
        patience: Duration,
    ) -> impl Future<Output = Result<(Self::Stream, Caller), Rejected>> + Send;
}

/// Why a connection was closed without a word.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejected {
    /// The peer is no client of ours, or speaks no TLS 1.3.
    #[error("{peer}: {source}")]
    Handshake { peer: String, source: io::Error },
    /// The peer did not finish the handshake in time.
    #[error("{peer}: the TLS handshake took too long")]
    Slow { peer: String },
    /// gRPC needs HTTP/2, and a client that does not say so may be somebody's cross-protocol trick.
    #[error("{peer}: the client did not ask for HTTP/2 (ALPN \"h2\")")]
    NotHttp2 { peer: String },
    /// Too many strangers at once.
    #[error(transparent)]
    Crowd(#[from] Crowd),
    /// One caller has its part of the connections, or there are as many as the configuration allows.
    #[error("{caller}: too many connections")]
    TooMany { caller: Caller },
    /// A certificate of the right CA that names nobody: somebody has to issue a better one.
    #[error("{peer}: {source}")]
    Nameless { peer: String, source: CallerError },
}

/// What a configuration may choose.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// How many connections at once.
    pub(super) connections: usize,
    /// How long a connection may take to end once it should.
    pub(super) grace: Duration,
}

/// Serves every connection that comes in by `door` until `stopping`, then waits for the last of them. `routes` has the
/// methods for each caller.
pub(super) async fn serve<D: Door>(
    door: D,
    routes: impl Fn(&Caller) -> Routes + Clone + Send + 'static,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let (handshakes, arrivals) = (Handshakes::default(), Arrivals::default());
    let shares = Shares::new(ShareLimits { total: limits.connections, each: MAX_PER_CALLER });
    let (notices, mut connections) = (Arc::new(Notices::default()), JoinSet::new());
    loop {
        tokio::select! {
            () = stopped(&mut stopping) => break,
            Some(_) = connections.join_next() => {}
            knock = accept(&door) => {
                // Closed at once: left in the kernel's backlog, it would keep callers from being heard at all.
                let handshake = match handshakes.begin(D::source(&knock)) {
                    Ok(handshake) => handshake,
                    Err(crowd) => {
                        notices.tell(&crowd.into());
                        continue;
                    }
                };
                let (routes, stopping, shares) = (routes.clone(), stopping.clone(), shares.clone());
                let (notices, arrivals) = (Arc::clone(&notices), arrivals.clone());
                connections.spawn(async move {
                    let known = D::identify(knock, handshake.patience).await;
                    let known = known.and_then(|(stream, caller)| match shares.take(&caller) {
                        Some(share) => Ok((stream, caller, share)),
                        None => Err(Rejected::TooMany { caller }),
                    });
                    drop(handshake);
                    match known {
                        Ok((stream, caller, _share)) => {
                            let routes = TowerToHyperService::new(routes(&caller));
                            let caller = Arc::new(caller);
                            let service = service_fn(move |request| answer(&routes, &arrivals, &caller, request));
                            converse(stream, service, limits.grace, stopping).await;
                        }
                        Err(rejected) => notices.tell(&rejected),
                    }
                });
            }
        }
    }
    // Whoever is still in the backlog is told at once to go elsewhere.
    drop(door);
    while connections.join_next().await.is_some() {}
}

async fn accept<D: Door>(door: &D) -> D::Knock {
    loop {
        match door.accept().await {
            Ok(knock) => return knock,
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Has one request of `caller`'s answered, whose message is counted as it comes, and whose answer as it leaves.
fn answer(
    routes: &TowerToHyperService<Routes>,
    arrivals: &Arrivals,
    caller: &Arc<Caller>,
    mut request: hyper::Request<Incoming>,
) -> impl Future<Output = Result<hyper::Response<Held>, Infallible>> + Send + use<> {
    request.extensions_mut().insert(Arc::clone(caller));
    let answer = routes.call(request.map(|body| arrivals.watch(caller, body)));
    async move { answer.await.map(Held::new) }
}

/// Speaks HTTP/2 with one caller.
async fn converse<F>(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    service: impl Service<
        hyper::Request<Incoming>,
        Response = hyper::Response<Held>,
        Error = Infallible,
        Future = F,
    >,
    grace: Duration,
    mut stopping: watch::Receiver<bool>,
) where
    F: Future<Output = Result<hyper::Response<Held>, Infallible>> + Send + 'static,
{
    let mut connection = pin!(http().serve_connection(TokioIo::new(Unvectored(stream)), service));
    tokio::select! {
        result = after_others(connection.as_mut()) => return ended(result),
        () = stopped(&mut stopping) => {}
        () = tokio::time::sleep(MAX_AGE) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(result) = tokio::time::timeout(grace, after_others(connection)).await {
        ended(result);
    } else {
        debug!("cut a connection that did not end within {grace:?} of being asked to");
    }
}

fn ended(result: hyper::Result<()>) {
    if let Err(error) = result {
        debug!("a connection broke: {error}");
    }
}

fn http() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(MAX_HEADERS)
        .keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1);
    http
}

/// Returns once the server is to stop.
pub(super) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // The sender is only dropped by a server that has stopped.
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
