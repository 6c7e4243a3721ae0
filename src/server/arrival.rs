//! Requests on their way in: how many of a caller's messages may be there in part, and for how long.
//!
//! In: the body of a request. Out: the same bytes, or the end of the call: gRPC keeps what there is of a message until the rest
//! comes, so that who never sends the last byte of many would fill the memory. Long ones, which only those may send who have
//! CRLs signed, are counted by themselves. What a message waits for because the server does not read counts for nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use super::MAX_REQUEST_BYTES;
use super::share::{Share, ShareLimits, Shares};
use super::status::{Fault, Rejection};
use crate::caller::Caller;

/// How many messages may be there in part.
const MAX_PARTIAL: ShareLimits = ShareLimits { total: 2048, each: 512 };
/// How many of them may be longer than [`MAX_REQUEST_BYTES`].
const MAX_LONG: ShareLimits = ShareLimits { total: 64, each: 8 };
const PATIENCE: Duration = Duration::from_secs(30);
/// The length of what precedes a message: whether it is compressed, and its length (gRPC over HTTP2, "Length-Prefixed-Message").
const PREFIX: u8 = 5;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What there is for the messages of one door's callers.
#[derive(Clone)]
pub(super) struct Arrivals {
    partial: Shares,
    long: Shares,
    /// How long the server waits for the rest of a message, all in all.
    patience: Duration,
}

/// The body of a request of `caller`'s.
pub(super) struct Arriving<B = Incoming> {
    body: B,
    caller: Arc<Caller>,
    arrivals: Arrivals,
    message: Message,
    share: Held,
    /// What is left of the patience for this message.
    left: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// How much of a message there is.
#[derive(Default)]
struct Message {
    /// How many bytes of its prefix are there.
    prefix: u8,
    /// Its length, once its prefix is there.
    length: usize,
    /// How many bytes of it are to come.
    missing: usize,
}

/// What a message took.
enum Held {
    Nothing,
    Partial { _share: Share },
    Long { _share: Share },
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { partial: Shares::new(MAX_PARTIAL), long: Shares::new(MAX_LONG), patience: PATIENCE }
    }
}

impl Arrivals {
    pub(super) fn watch<B>(&self, caller: &Arc<Caller>, body: B) -> Arriving<B> {
        let (arrivals, caller) = (self.clone(), Arc::clone(caller));
        let (message, left) = (Message::default(), arrivals.patience);
        Arriving { body, caller, arrivals, message, share: Held::Nothing, left, waiting: None }
    }
}

impl<B> Arriving<B> {
    /// Counts what has come.
    fn arrived(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if let Some((since, _)) = self.waiting.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        if self.message.add(bytes) {
            (self.share, self.left) = (Held::Nothing, self.arrivals.patience);
        }
        let held = match (&self.share, self.message.is_long()) {
            _ if !self.message.is_partial() => Held::Nothing,
            (Held::Partial { .. }, false) | (Held::Long { .. }, _) => return Ok(()),
            (_, false) => Held::Partial { _share: self.take(&self.arrivals.partial)? },
            (_, true) => Held::Long { _share: self.take(&self.arrivals.long)? },
        };
        self.share = held;
        Ok(())
    }

    fn take(&self, shares: &Shares) -> Result<Share, Fault> {
        shares.take(&self.caller).ok_or(Fault::TooManyRequests)
    }

    /// Returns once the rest of a message is too late.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Fault> {
        if !self.message.is_partial() {
            return Poll::Pending;
        }
        let left = self.left;
        let (_, sleep) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        sleep.as_mut().poll(context).map(|()| Fault::RequestTooSlow)
    }
}

impl<B: Body<Data = Bytes, Error: Into<Error>> + Unpin> Body for Arriving<B> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            let fault = ready!(this.poll_late(context));
            return Poll::Ready(Some(Err(refusal(fault))));
        };
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref(),
            Some(Err(_)) | None => None,
        };
        Poll::Ready(match this.arrived(bytes.map_or(&[], |bytes| bytes)) {
            Ok(()) => frame.map(|frame| frame.map_err(Into::into)),
            Err(fault) => Some(Err(refusal(fault))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A status as the body's error is the call's answer.
fn refusal(fault: Fault) -> Error {
    Status::from(Rejection::from(fault)).into()
}

impl Message {
    /// Adds what has come of it, and of those after it. Whether it, at least, is whole.
    fn add(&mut self, mut bytes: &[u8]) -> bool {
        let mut is_whole = false;
        while let Some((first, rest)) = bytes.split_first() {
            if self.prefix < PREFIX {
                // The first byte says whether the message is compressed; four later ones shift it out.
                self.length = (self.length << 8 | usize::from(*first)) & 0xffff_ffff;
                (self.prefix, self.missing, bytes) = (self.prefix + 1, self.length, rest);
            } else {
                let some = self.missing.min(bytes.len());
                bytes = bytes.get(some..).unwrap_or_default();
                self.missing -= some;
            }
            if self.prefix == PREFIX && self.missing == 0 {
                *self = Self::default();
                is_whole = true;
            }
        }
        is_whole
    }

    fn is_partial(&self) -> bool {
        self.prefix > 0
    }

    fn is_long(&self) -> bool {
        self.prefix == PREFIX && self.length > MAX_REQUEST_BYTES
    }
}

#[cfg(test)]
mod tests;
