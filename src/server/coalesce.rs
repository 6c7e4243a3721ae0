//! Many answers in one write: a busy connection costs system calls by the wake-up, not by the request.
//!
//! In: a connection's future and its stream. Out: the same, run later and written from one buffer. Nothing waits for a time:
//! what is late by this is late by what was ready to run before it. Measured in docs/performance.md.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Each time it is woken, `future` first lets run what is ready to run: the answers of many requests then leave in one write.
/// Without this, tokio runs a connection right after each task that has something for it, and each answer costs a system call.
pub(super) async fn after_others<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let mut is_its_turn = false;
    poll_fn(|context| {
        is_its_turn = !is_its_turn;
        if is_its_turn {
            // A task that wakes itself goes to the end of the queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        future.as_mut().poll(context)
    })
    .await
}

/// A stream that says it cannot write from several buffers at once, so that HTTP/2 copies frames of up to 1 KiB into one: it
/// writes each body of 256 bytes and more by itself otherwise, with a TLS record and a system call for each answer.
pub(super) struct Unvectored<S>(pub(super) S);

impl<S: AsyncRead + Unpin> AsyncRead for Unvectored<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unvectored<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::pin::pin;
    use std::sync::{Arc, Mutex};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_connection_runs_once_what_was_ready_has_run() {
        let order = Arc::new(Mutex::new(Vec::new()));
        let ready = order.clone();
        tokio::spawn(async move { ready.lock().unwrap().push("request") });
        let connection = pin!(async { order.lock().unwrap().push("connection") });
        after_others(connection).await;
        assert_eq!(*order.lock().unwrap(), ["request", "connection"]);
    }

    #[tokio::test]
    async fn a_stream_is_written_from_one_buffer() {
        let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
        assert!(ours.is_write_vectored(), "else there is nothing to hide");
        let mut stream = Unvectored(ours);
        assert!(!stream.is_write_vectored());
        stream.write_all(b"there").await.unwrap();
        theirs.write_all(b"back").await.unwrap();
        stream.shutdown().await.unwrap();
        let mut there = String::new();
        theirs.read_to_string(&mut there).await.unwrap();
        drop(theirs);
        let mut back = String::new();
        stream.read_to_string(&mut back).await.unwrap();
        assert_eq!((&*there, &*back), ("there", "back"));
    }
}
