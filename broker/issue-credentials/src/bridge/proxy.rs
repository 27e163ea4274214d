//! Plain HTTP for everything else, in absolute form (RFC 9112 §3.2.2): passed on as it is.
//!
//! No secret goes here: a placeholder in such a request is sent as the worthless text that it is.
//! This module must never reach what [`super::target`] refuses.

use holdfast_protocol::call::{Channel, Effect, Manner};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::http::uri::{PathAndQuery, Scheme};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::answer::relay;
use super::body::{Given, bounded};
use super::calls::Running;
use super::connection::Way;
use super::fields;
use super::refusal::{Reason, Refusal};
use super::target::Target;
use super::upstream::{Sent, THINK};
use crate::decide::Asked;

/// The largest request, in bytes.
const MAX_REQUEST: usize = 4 * 1024 * 1024 * 1024;

/// Passes a request on to where its target says.
pub(super) async fn pass(
    way: &Way,
    request: Request<Incoming>,
) -> Result<Response<Given>, Refusal> {
    let (target, request) = readdressed(request)?;
    if let Err(refusal) = target.judge_name(&way.upstream) {
        let asked = asked(&target, &request);
        return Err(way.calls.refused(asked, refusal).await);
    }
    let mut running = way
        .calls
        .decide(asked(&target, &request))
        .await
        .map_err(|refusal| target.advise(refusal))?;
    match exchange(way, &target, request, &mut running).await {
        Ok((response, driver)) => Ok(relay(response, running, Some(driver))),
        Err(refusal) => {
            running.failed(&refusal);
            Err(refusal)
        }
    }
}

/// The target, and the request as its server wants it: origin form, one `Host`.
fn readdressed(request: Request<Incoming>) -> Result<(Target, Request<Sent>), Refusal> {
    let (mut head, body) = request.into_parts();
    let uri = head.uri.into_parts();
    let bad = |words| Refusal::new(Reason::BadRequest, words);
    if uri.scheme != Some(Scheme::HTTP) {
        return Err(bad(
            "only http:// URLs are proxied this way; for https, use CONNECT (HTTPS_PROXY does)",
        ));
    }
    let authority = uri
        .authority
        .ok_or_else(|| bad("the request names no host"))?;
    let target = Target::read(&authority, Some(80))?;
    fields::to_send(&mut head.headers);
    let host = authority
        .as_str()
        .parse()
        .map_err(|_| bad("the request's host is not one"))?;
    head.headers.insert(HOST, host);
    let mut request = Request::new(bounded(body, MAX_REQUEST));
    *request.method_mut() = head.method;
    *request.uri_mut() = Uri::from(uri.path_and_query.unwrap_or(PathAndQuery::from_static("/")));
    *request.headers_mut() = head.headers;
    Ok((target, request))
}

fn asked(target: &Target, request: &Request<Sent>) -> Asked {
    Asked {
        channel: Channel::Egress,
        tool: "http",
        creates: vec![],
        // Without the query, where programs like to put what nobody should read.
        arguments: json!({
            "method": request.method().as_str(),
            "host": target.shown(),
            "path": request.uri().path(),
            "given_by": target.flag(),
        }),
        effects: vec![Effect::Reaches {
            host: target.shown(),
            manner: manner(request.method()),
        }],
    }
}

fn manner(method: &Method) -> Manner {
    if matches!(*method, Method::GET | Method::HEAD) {
        Manner::Fetch
    } else {
        Manner::Send
    }
}

async fn exchange(
    way: &Way,
    target: &Target,
    request: Request<Sent>,
    running: &mut Running,
) -> Result<(Response<Incoming>, JoinSet<()>), Refusal> {
    let name = target.shown();
    running.sending();
    let stream = target.connect(&way.upstream).await?;
    let (mut sender, driver) = handshake(&name, stream).await?;
    let response = timeout(THINK, sender.send_request(request))
        .await
        .map_err(|_| {
            let words = format!("`{name}` did not answer in {} s", THINK.as_secs());
            Refusal::new(Reason::TooSlow, words)
        })?
        .map_err(|error| Refusal::unreachable(&name, &error))?;
    Ok((response, driver))
}

async fn handshake(
    name: &str,
    stream: TcpStream,
) -> Result<(http1::SendRequest<Sent>, JoinSet<()>), Refusal> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Refusal::unreachable(name, &error))?;
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        if let Err(error) = connection.await {
            debug!(%error, "a proxied connection ended early");
        }
    });
    Ok((sender, driver))
}
