//! The bodies that pass: streamed both ways, never held as a whole.
//!
//! This module must never buffer more than the frame in hand, and never pass trailers: they are
//! header fields that nobody looked at.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::task::JoinSet;

use super::calls::Running;
use super::upstream::Sent;

/// Why a body broke off.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// What a session is answered with.
pub(super) type Given = UnsyncBoxBody<Bytes, BodyError>;

/// A request's body, of at most `longest` bytes.
pub(super) fn bounded(body: Incoming, longest: usize) -> Sent {
    Sent::new(Limited::new(
        Dataful {
            first: None,
            rest: body,
        },
        longest,
    ))
}

/// A request's body of which `first` was read already; `longest` bounds what is left.
pub(super) fn resumed(first: Bytes, rest: Incoming, longest: usize) -> Sent {
    let first = (!first.is_empty()).then_some(first);
    Sent::new(Limited::new(Dataful { first, rest }, longest))
}

/// Whether a body says that it is longer than `longest` bytes.
pub(super) fn says_longer(body: &Incoming, longest: usize) -> bool {
    usize::try_from(body.size_hint().lower()).is_ok_and(|lower| lower > longest)
}

/// A body that is empty.
pub(super) fn empty() -> Given {
    Given::new(http_body_util::Empty::new().map_err(|never| match never {}))
}

/// The data of a body, preceded by what was read of it already.
struct Dataful {
    first: Option<Bytes>,
    rest: Incoming,
}

impl Body for Dataful {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(Frame::data(first)))),
            None => poll_data(&mut self.rest, context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        // In this order: a lower bound above the upper one panics.
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(first));
        }
        hint.set_lower(rest.lower().saturating_add(first));
        hint
    }
}

/// An answer on its way to the session; the call ends with it.
struct Answered {
    body: Incoming,
    running: Running,
    /// What drives the connection that it comes by, where that is not the pool's; ends with it.
    _driver: Option<JoinSet<()>>,
}

/// The body of an answer to a call, and what drives its connection.
pub(super) fn answered(body: Incoming, running: Running, driver: Option<JoinSet<()>>) -> Given {
    Given::new(Answered {
        body,
        running,
        _driver: driver,
    })
}

impl Body for Answered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = poll_data(&mut self.body, context);
        match &polled {
            Poll::Ready(None) => self.running.complete(),
            Poll::Ready(Some(Err(_))) => self.running.broke_off(),
            Poll::Ready(Some(Ok(_))) if self.body.is_end_stream() => self.running.complete(),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The next data frame; whatever else there is, is dropped.
fn poll_data(
    body: &mut Incoming,
    context: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
    loop {
        match Pin::new(&mut *body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) if !frame.is_data() => {}
            polled @ (Poll::Ready(_) | Poll::Pending) => return polled,
        }
    }
}
