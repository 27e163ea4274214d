//! The model's API: the placeholder goes, the real key comes in, and the answer streams.
//!
//! Only what talks to a model passes. It must never let an account be managed with the key.

use holdfast_protocol::call::{Channel, Effect, Manner};
use holdfast_protocol::url::HttpUrl;
use holdfast_protocol::vault::{AnthropicCredential, SecretUse};
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use hyper::{Method, Request, Response, Uri};
use serde_json::json;
use zeroize::Zeroizing;

use super::answer::send;
use super::body::{Given, bounded, says_longer};
use super::connection::Way;
use super::fields::{self, API_KEY, Hidden};
use super::refusal::{Reason, Refusal};
use super::substitute::{self, Shown};
use crate::decide::Asked;
use crate::grant::Granted;

/// Where the API is served at the bridge.
pub(super) const PLACE: &str = "/anthropic/";

/// The largest request, in bytes: twice the API's own limit.
const MAX_REQUEST: usize = 64 * 1024 * 1024;

/// Passes a request for `rest` of the API on.
pub(super) async fn pass(
    way: &Way,
    request: Request<Incoming>,
    rest: &str,
) -> Result<Response<Given>, Refusal> {
    if !talks_to_a_model(request.method(), rest) {
        return Err(Refusal::new(
            Reason::NotServed,
            "of the API there are POST /v1/messages, POST /v1/messages/count_tokens and GET \
             /v1/models here, nothing else",
        ));
    }
    let (granted, base, credential) = shown(way, &request)?;
    if says_longer(request.body(), MAX_REQUEST) {
        return Err(Refusal::new(
            Reason::TooLarge,
            format!("the request is larger than {MAX_REQUEST} bytes"),
        ));
    }
    let target = target(base, rest, request.uri().query())?;
    let mut running = way
        .calls
        .decide(asked(granted, base, request.method(), rest))
        .await?;
    let mut hidden = Hidden::default();
    let value = match substitute::reveal(way, granted).await {
        Ok(secret) => value(credential, &secret, &mut hidden),
        Err(refusal) => Err(refusal),
    };
    let value = value.inspect_err(|refusal| running.failed(refusal))?;
    let (mut head, body) = request.into_parts();
    fields::without_credentials(&mut head.headers);
    fields::to_send(&mut head.headers);
    let name = match credential {
        AnthropicCredential::ApiKey => API_KEY,
        AnthropicCredential::SubscriptionToken => AUTHORIZATION,
    };
    head.headers.insert(name, value);
    let mut request = Request::new(bounded(body, MAX_REQUEST));
    *request.method_mut() = head.method;
    *request.uri_mut() = target;
    *request.headers_mut() = head.headers;
    send(way, running, request, &hidden).await
}

fn talks_to_a_model(method: &Method, rest: &str) -> bool {
    let segments: Vec<&str> = rest.split('/').collect();
    match segments.as_slice() {
        ["v1", "messages"] | ["v1", "messages", "count_tokens"] => method == Method::POST,
        ["v1", "models"] => method == Method::GET,
        ["v1", "models", model] => method == Method::GET && is_plain(model),
        _ => false,
    }
}

fn is_plain(model: &str) -> bool {
    !matches!(model, "" | "." | "..")
        && model
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':' | b'@'))
}

/// The grant whose placeholder the request shows.
fn shown<'a>(
    way: &'a Way,
    request: &Request<Incoming>,
) -> Result<(&'a Granted, &'a HttpUrl, AnthropicCredential), Refusal> {
    way.granted
        .iter()
        .find_map(|granted| match &granted.purpose {
            SecretUse::Anthropic { base, credential } => {
                match substitute::shown_to_api(request.headers(), &granted.placeholder) {
                    Shown::Placeholder => Some((granted, base, *credential)),
                    Shown::Nothing | Shown::Other => None,
                }
            }
            SecretUse::Git { .. } => None,
        })
        .ok_or_else(|| {
            Refusal::new(
                Reason::NotGranted,
                "the request does not show this session's placeholder for a key of the API (hf_…, as \
                 x-api-key or as bearer token). Keys of your own do not work here: the human keeps one \
                 with `holdfast secrets add`",
            )
        })
}

fn asked(granted: &Granted, base: &HttpUrl, method: &Method, rest: &str) -> Asked {
    Asked {
        channel: Channel::Egress,
        tool: "model-api",
        creates: vec![],
        arguments: json!({ "method": method.as_str(), "path": format!("/{rest}") }),
        effects: vec![
            Effect::UsesSecret {
                name: granted.name.to_string(),
            },
            Effect::Reaches {
                host: format!("{}:{}", base.host(), base.port()),
                // A prompt is sent, of course. But the key was kept for this host and for this, so
                // there is nothing left to ask about the host.
                manner: Manner::Fetch,
            },
        ],
    }
}

fn value(
    credential: AnthropicCredential,
    secret: &Zeroizing<String>,
    hidden: &mut Hidden,
) -> Result<hyper::header::HeaderValue, Refusal> {
    match credential {
        AnthropicCredential::ApiKey => substitute::api_key(secret, hidden),
        AnthropicCredential::SubscriptionToken => substitute::bearer(secret, hidden),
    }
}

fn target(base: &HttpUrl, rest: &str, query: Option<&str>) -> Result<Uri, Refusal> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{base}/{rest}{query}")
        .parse()
        .map_err(|_| Refusal::new(Reason::BadRequest, "the request's target is not a URL"))
}
