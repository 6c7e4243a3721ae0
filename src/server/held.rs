//! What a request took is given back when its answer has left, not when it is ready: who reads nothing cannot have answers pile up.
//!
//! In: an answer, and the [`Share`] that its request took. Out: the same answer, whose body and whose every byte, also in
//! HTTP/2's own buffers, hold the share until they are sent or dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tonic::{Response, Status};

use super::share::Share;

/// Has `response` hold `share`, from here until its client has it.
pub(super) fn hold<T>(mut response: Response<T>, share: Arc<Share>) -> Response<T> {
    response.extensions_mut().insert(share);
    response
}

/// A body that holds what [`hold`] gave its response.
pub(super) struct Held {
    body: tonic::body::Body,
    share: Option<Arc<Share>>,
}

/// Bytes that hold it as well.
struct HeldBytes {
    bytes: Bytes,
    _share: Arc<Share>,
}

impl Held {
    pub(super) fn new(mut response: hyper::Response<tonic::body::Body>) -> hyper::Response<Self> {
        let share = response.extensions_mut().remove();
        response.map(|body| Self { body, share })
    }
}

impl Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        let Some(share) = &self.share else { return frame };
        // A client whose window takes one byte has the whole of a frame handed to HTTP/2, and then the body is at its end.
        let held = |bytes| Bytes::from_owner(HeldBytes { bytes, _share: Arc::clone(share) });
        frame.map_ok(|frame| frame.map_data(held))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use http_body_util::{BodyExt, Full};

    use super::super::share::{ShareLimits, Shares};
    use super::*;
    use crate::caller::Caller;

    #[tokio::test]
    async fn a_share_is_given_back_with_the_last_byte_of_the_answer() {
        let shares = Shares::new(ShareLimits { total: 1, each: 1 });
        let share = shares.take(&Caller::from_uid(1)).unwrap();
        let answer = hold(Response::new(tonic::body::Body::new(Full::from("answer"))), Arc::new(share));
        let (_, body, extensions) = answer.into_parts();
        let mut answer = hyper::Response::new(body);
        *answer.extensions_mut() = extensions;
        let mut body = Held::new(answer).into_body();
        let bytes = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!((&*bytes, shares.taken()), (&b"answer"[..], 1), "they are in HTTP/2's buffer");
        drop(bytes);
        assert_eq!(shares.taken(), 0);
    }
}
