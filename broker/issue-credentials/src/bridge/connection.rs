//! One connection from the session: HTTP/1.1 until it ends or becomes a tunnel.
//!
//! Heads are bounded in size, number of fields and time by the parser. This module must never leave a
//! task behind: a tunnel runs in its connection's own.

use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_protocol::id::SessionId;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tracing::debug;

use super::answer::answer;
use super::body::Given;
use super::calls::Calls;
use super::tunnel::Tunnel;
use super::upstream::Upstream;
use crate::grant::{Granted, Reveal};

/// How long a request's head may take, the wait for a kept connection's next one included.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// How much of a head is waited for, in bytes, and how much of a body is read at once. A head of up to
/// twice that passes where its end came with the same read.
const MAX_HEAD: usize = 64 * 1024;

/// The most header fields of one request.
const MAX_FIELDS: usize = 100;

/// The answer to a connection on top of the most that there may be.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    content-type: text/plain; charset=utf-8\r\n\
    holdfast-reason: too-many-connections\r\n\
    connection: close\r\n\r\n\
    holdfast: the session has 64 connections open; end some of them\n";

/// What the connections of one session share.
pub(super) struct Way {
    pub(super) session: SessionId,
    pub(super) granted: Vec<Granted>,
    pub(super) reveal: Arc<dyn Reveal>,
    pub(super) calls: Calls,
    pub(super) upstream: Upstream,
}

/// Where a request leaves the tunnel that its connection becomes.
pub(super) type TunnelSlot = Arc<Mutex<Option<Tunnel>>>;

pub(super) async fn serve_connection(way: Arc<Way>, stream: TcpStream) {
    // Without it a small event of a stream would wait for the one after it.
    let _ = stream.set_nodelay(true);
    let slot = TunnelSlot::default();
    let service = service_fn(|request: Request<Incoming>| {
        let (way, slot) = (way.clone(), slot.clone());
        answered(async move { answer(&way, &slot, request).await })
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_FIELDS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        debug!(session = %way.session, %error, "a connection of the session's way out ended early");
    }
    let tunnel = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(tunnel) = tunnel {
        tunnel.run().await;
    }
}

/// Tells a connection that there are too many, as far as that goes without waiting.
pub(super) fn turn_away(stream: &TcpStream) {
    debug!("a session has too many connections");
    let _ = stream.try_write(FULL);
}

async fn answered(
    answer: impl Future<Output = Response<Given>>,
) -> Result<Response<Given>, Infallible> {
    Ok(answer.await)
}
