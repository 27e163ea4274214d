//! One request: told apart by its target, answered, or refused in words.
//!
//! It must never pass an answer's header fields on unlooked at.

use hyper::body::Incoming;
use hyper::{HeaderMap, Method, Request, Response};
use tokio::task::JoinSet;

use super::body::{Given, answered};
use super::calls::Running;
use super::connection::{TunnelSlot, Way};
use super::fields::{self, Hidden};
use super::refusal::{Reason, Refusal};
use super::upstream::Sent;
use super::{git, model, proxy, tunnel};

/// Answers a request; whatever goes wrong is an answer.
pub(super) async fn answer(
    way: &Way,
    slot: &TunnelSlot,
    request: Request<Incoming>,
) -> Response<Given> {
    told_apart(way, slot, request)
        .await
        .unwrap_or_else(Refusal::into_response)
}

async fn told_apart(
    way: &Way,
    slot: &TunnelSlot,
    request: Request<Incoming>,
) -> Result<Response<Given>, Refusal> {
    fields::unambiguous(request.headers())?;
    if request.method() == Method::CONNECT {
        return tunnel::open(way, slot, request).await;
    }
    if request.uri().authority().is_some() {
        return proxy::pass(way, request).await;
    }
    let path = request.uri().path();
    if let Some(rest) = path.strip_prefix(model::PLACE) {
        let rest = rest.to_owned();
        return model::pass(way, request, &rest).await;
    }
    if let Some(rest) = path.strip_prefix(git::PLACE) {
        let rest = rest.to_owned();
        return git::pass(way, request, &rest).await;
    }
    Err(Refusal::new(
        Reason::NotServed,
        "this is the session's way out, not a web server. It serves the model API below /anthropic/, \
         git remotes below /git/<secret>/, and is an HTTP proxy for the rest (HTTPS_PROXY)",
    ))
}

/// Sends a request with a secret, or to where one is good, and passes the answer on.
pub(super) async fn send(
    way: &Way,
    mut running: Running,
    request: Request<Sent>,
    hidden: &Hidden,
) -> Result<Response<Given>, Refusal> {
    running.sending();
    match way.upstream.send(request).await {
        Ok(mut response) => {
            fields::hide(response.headers_mut(), hidden);
            Ok(relay(response, running, None))
        }
        Err(refusal) => {
            running.failed(&refusal);
            Err(refusal)
        }
    }
}

/// An answer as the session gets it, streamed; `driver` keeps its connection going.
pub(super) fn relay(
    response: Response<Incoming>,
    mut running: Running,
    driver: Option<JoinSet<()>>,
) -> Response<Given> {
    let (head, body) = response.into_parts();
    running.answering(head.status);
    let mut fields: HeaderMap = head.headers;
    fields::end_to_end(&mut fields);
    fields::not_ours(&mut fields);
    // A new head: the reason phrase and other extras of the server's own stay behind.
    let mut response = Response::new(answered(body, running, driver));
    *response.status_mut() = head.status;
    *response.headers_mut() = fields;
    response
}
