//! An HTTP/1.1 server on 127.0.0.1 for stand-ins of services that a test must not reach.
//!
//! It must never listen elsewhere, and never outlive its test.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};

use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// More than any test sends; a client that runs wild does not take the machine's memory.
const MAX_BODY: usize = 64 << 20;

/// What a server answers: each chunk is a write of its own.
pub(super) type Answer = Response<Chunks>;

/// A body in pieces.
pub(super) struct Chunks(VecDeque<Bytes>);

/// A running server. Dropping it closes every connection.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one that answers with `handler`, which may block.
    ///
    /// # Panics
    /// When nothing can listen on 127.0.0.1.
    pub fn start(handler: impl Fn(Request<Bytes>) -> Answer + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let address = listener.local_addr().expect("a bound listener");
        let (stop, stopped) = oneshot::channel();
        let handler = Arc::new(handler);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    () = accept(listener, handler) => {}
                    _ = stopped => {}
                }
            });
            // A handler that still blocks has nobody left to answer.
            runtime.shutdown_background();
        });
        Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

/// An answer with these chunks.
pub(super) fn answer(
    status: u16,
    headers: &[(&str, &str)],
    chunks: impl IntoIterator<Item = impl Into<Bytes>>,
) -> Answer {
    let chunks = Chunks(chunks.into_iter().map(Into::into).collect());
    headers
        .iter()
        .fold(
            Response::builder().status(status),
            |answer, (name, value)| answer.header(*name, *value),
        )
        .body(chunks)
        .expect("an answer that HTTP can say")
}

async fn accept<H>(listener: TcpListener, handler: Arc<H>)
where
    H: Fn(Request<Bytes>) -> Answer + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        while connections.try_join_next().is_some() {}
        let handler = Arc::clone(&handler);
        let service = service_fn(move |request| serve(request, Arc::clone(&handler)));
        connections.spawn(async move {
            // A client that goes away is no failure of the test; what it did not get, it will miss.
            hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await
                .ok();
        });
    }
}

async fn serve<H>(request: Request<Incoming>, handler: Arc<H>) -> Result<Answer, Infallible>
where
    H: Fn(Request<Bytes>) -> Answer + Send + Sync + 'static,
{
    let (head, body) = request.into_parts();
    let Some(body) = collect(body).await else {
        return Ok(answer(413, &[], ["the body broke off, or is too large"]));
    };
    let answered =
        tokio::task::spawn_blocking(move || handler(Request::from_parts(head, body))).await;
    Ok(answered.unwrap_or_else(|panic| answer(500, &[], [panic.to_string()])))
}

/// The whole body; `None` when it breaks off or is larger than a test's.
async fn collect(mut body: Incoming) -> Option<Bytes> {
    let mut whole = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            whole.extend_from_slice(&data);
        }
        if whole.len() > MAX_BODY {
            return None;
        }
    }
    Some(whole.into())
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}
