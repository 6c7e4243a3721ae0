//! One client: reads its messages one after another and writes their answers.
//!
//! In: a connection. Out: the answers of [`Agent`]. Promised: a message that has begun is whole soon or its connection is
//! closed, no more memory is taken than a client has sent bytes, and after a frame that makes no sense nothing more is read.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use super::codec::{Answer, MessageError, message_len};
use super::{Agent, Peer};

/// How long a message may take from its first byte to its last, and an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no next message.
#[derive(Debug, thiserror::Error)]
enum FrameError {
    #[error(transparent)]
    Message(#[from] MessageError),
    #[error("a message was not whole {PATIENCE:?} after its first byte")]
    Slow,
    #[error("the connection ended within a message")]
    Half,
    #[error(transparent)]
    Broken(#[from] io::Error),
}

/// Answers a client until it goes, breaks the protocol, or the agent stops.
pub(super) async fn converse(
    mut stream: UnixStream,
    peer: Peer,
    agent: &Agent,
    mut stopping: watch::Receiver<bool>,
) {
    loop {
        let message = tokio::select! {
            // The sender is only dropped by an agent that has stopped.
            _ = stopping.wait_for(|stopping| *stopping) => return,
            message = next_message(&mut stream) => message,
        };
        let (answer, is_last) = match message {
            Ok(Some(message)) => (agent.answer(peer, &message).await, false),
            Ok(None) => return,
            Err(error) => {
                warn!(client = %peer, "closed a connection: {error}");
                (Answer::Failure, true)
            }
        };
        match timeout(PATIENCE, stream.write_all(&answer.frame())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return warn!(client = %peer, "a client was gone before its answer: {error}"),
            Err(_) => return warn!(client = %peer, "a client did not take its answer within {PATIENCE:?}"),
        }
        if is_last {
            return;
        }
    }
}

/// The next message, without its header; none if the client is done. Waits for its first byte as long as it takes.
async fn next_message(stream: &mut UnixStream) -> Result<Option<Vec<u8>>, FrameError> {
    let mut first = [0];
    if stream.read(&mut first).await? == 0 {
        return Ok(None);
    }
    let whole = async {
        let mut rest = [0; 3];
        stream.read_exact(&mut rest).await.map_err(ended)?;
        let ([a], [b, c, d]) = (first, rest);
        let len = message_len([a, b, c, d])?;
        let limit = u64::try_from(len).unwrap_or(u64::MAX);
        let mut message = Vec::new();
        stream.take(limit).read_to_end(&mut message).await?;
        if message.len() == len { Ok(Some(message)) } else { Err(FrameError::Half) }
    };
    timeout(PATIENCE, whole).await.unwrap_or(Err(FrameError::Slow))
}

fn ended(error: io::Error) -> FrameError {
    if error.kind() == io::ErrorKind::UnexpectedEof { FrameError::Half } else { error.into() }
}
