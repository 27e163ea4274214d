//! The model's API: what reaches it, what comes back, what does not pass.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use holdfast_issue_credentials::bridge::Upstream;
use holdfast_protocol::call::{Channel, Effect, Manner};
use holdfast_protocol::vault::AnthropicCredential::{ApiKey, SubscriptionToken};
use hyper::StatusCode;
use hyper::ext::ReasonPhrase;
use hyper::header::HeaderValue;
use rustls::RootCertStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::support::clock;

use super::servers::{Server, streamed, text};
use super::world::{KEY, Rule, World, assert_refused, head, http, model, plain};

const MESSAGES: &str = "/anthropic/v1/messages?beta=true";

fn post(target: &str, fields: &[&str], body: &str) -> String {
    let length = format!("Content-Length: {}", body.len());
    let fields = [fields, &[&length]].concat();
    head("POST", target, &fields) + body
}

#[tokio::test]
async fn the_key_goes_in_and_the_placeholder_stays() {
    let server = Server::start(|_| text("hello")).await;
    let world = World::allowing(vec![model(&http(server.address), ApiKey)]).await;
    let shown = format!(
        "Authorization: Bearer {}",
        world.granted[0].placeholder.as_str()
    );
    let fields = [
        shown.as_str(),
        "anthropic-version: 2023-06-01",
        "Cookie: a=b",
    ];
    let answer = world.raw(post(MESSAGES, &fields, "{}")).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");

    let seen = server.seen().pop().unwrap();
    assert_eq!(seen.uri(), "/v1/messages?beta=true");
    assert_eq!(seen.body(), "{}");
    let fields = seen.headers();
    assert_eq!(fields["x-api-key"], KEY);
    assert_eq!(fields["anthropic-version"], "2023-06-01");
    assert_eq!(fields["host"], server.address.to_string());
    assert!(!fields.contains_key("authorization") && !fields.contains_key("cookie"));
    assert!(!format!("{seen:?}").contains("hf_"));

    let asked = world.asked().pop().unwrap();
    assert_eq!((asked.channel, asked.tool), (Channel::Egress, "model-api"));
    let effects = vec![
        Effect::UsesSecret {
            name: "model".to_owned(),
        },
        Effect::Reaches {
            host: server.address.to_string(),
            manner: Manner::Fetch,
        },
    ];
    assert_eq!(asked.effects, effects);
    assert_eq!(asked.arguments["path"], "/v1/messages");
    assert_eq!(world.end().await, [("HTTP 200".to_owned(), effects)]);
}

#[tokio::test]
async fn a_subscription_is_a_bearer_token() {
    let server = Server::start(|_| text("hello")).await;
    let world = World::allowing(vec![model(&http(server.address), SubscriptionToken)]).await;
    let shown = format!("x-api-key: {}", world.granted[0].placeholder.as_str());
    world.raw(post(MESSAGES, &[&shown], "{}")).await;
    let seen = server.seen().pop().unwrap();
    assert_eq!(seen.headers()["authorization"], format!("Bearer {KEY}"));
    assert!(!seen.headers().contains_key("x-api-key"));
}

#[tokio::test]
async fn the_base_may_have_a_path() {
    let server = Server::start(|_| text("hello")).await;
    let base = format!("http://{}/gateway/anthropic", server.address);
    let world = World::allowing(vec![model(&base, ApiKey)]).await;
    let shown = format!("x-api-key: {}", world.granted[0].placeholder.as_str());
    world.get("/anthropic/v1/models/claude-x", &[&shown]).await;
    assert_eq!(
        server.seen()[0].uri(),
        "/gateway/anthropic/v1/models/claude-x"
    );
}

#[tokio::test]
async fn only_this_sessions_placeholder_is_taken() {
    let server = Server::start(|_| text("hello")).await;
    let world = World::allowing(vec![model(&http(server.address), ApiKey)]).await;
    let own = world.granted[0].placeholder.as_str();
    let other = super::world::git("other", "https://git.example").placeholder;
    for fields in [
        vec![],
        vec![format!("x-api-key: {}", other.as_str())],
        vec![format!("x-api-key: {}", own.get(..own.len() - 1).unwrap())],
        vec![format!("x-api-key: {own}x")],
        vec![format!("x-api-key: {KEY}")],
        vec![format!("Authorization: Basic {own}")],
        vec![format!("Authorization: Bearer{own}")],
        vec![format!("Cookie: {own}")],
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        assert_refused(
            &world.get("/anthropic/v1/models", &fields).await,
            403,
            "not-granted",
        );
    }
    assert!(server.seen().is_empty() && world.asked().is_empty());
}

#[tokio::test]
async fn only_what_talks_to_a_model_passes() {
    let server = Server::start(|_| text("hello")).await;
    let world = World::allowing(vec![model(&http(server.address), ApiKey)]).await;
    let shown = format!("x-api-key: {}", world.granted[0].placeholder.as_str());
    for target in [
        "/anthropic/v1/messages",
        "/anthropic/v1/files",
        "/anthropic/v1/organizations/api_keys",
        "/anthropic/v1/messages/batches",
        "/anthropic/v1/models/",
        "/anthropic/v1/models/..",
        "/anthropic/v1/models/../files",
        "/anthropic/v1/models/%2e%2e",
        "/anthropic/v1/models/x%0d%0aX:y",
        "/anthropic//v1/models",
        "/anthropic/x/../v1/models",
        "/anthropic/",
        "/anthropic/api/oauth/claude_cli/create_api_key",
    ] {
        assert_refused(&world.get(target, &[&shown]).await, 403, "not-served");
    }
    let answer = world
        .raw(head("DELETE", "/anthropic/v1/models/x", &[&shown]))
        .await;
    assert_refused(&answer, 403, "not-served");
    assert!(server.seen().is_empty() && world.asked().is_empty());
}

#[tokio::test]
async fn events_are_passed_on_as_they_come() {
    let (events, body) = streamed();
    let body = Arc::new(Mutex::new(Some(body)));
    let server = Server::start(move |_| {
        let mut response = hyper::Response::new(body.lock().unwrap().take().unwrap());
        let kind = HeaderValue::from_static("text/event-stream");
        response.headers_mut().insert("content-type", kind);
        response
    })
    .await;
    let world = World::allowing(vec![model(&http(server.address), ApiKey)]).await;
    let shown = format!("x-api-key: {}", world.granted[0].placeholder.as_str());
    let mut stream = world.connect().await;
    stream
        .write_all(post(MESSAGES, &[&shown], "{}").as_bytes())
        .await
        .unwrap();
    let mut got = String::new();
    let mut slowest = Duration::ZERO;
    for event in ["event: one\n\n", "event: two\n\n", "event: three\n\n"] {
        let sent = Instant::now();
        events.send(event).unwrap();
        // The next event is not sent before this one is here, so that nothing can be held back.
        while !got.contains(event) {
            let mut bytes = [0; 4096];
            let read = timeout(Duration::from_secs(30), stream.read(&mut bytes)).await;
            let count = read.expect("an event is not held back").unwrap();
            assert!(count > 0, "{got}");
            got.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
        slowest = slowest.max(sent.elapsed());
    }
    println!("slowest event: {slowest:?}");
    assert!(got.contains("content-type: text/event-stream\r\n"), "{got}");
    // The program goes away in the middle, and that is what is told.
    drop(stream);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.end().await[0].0, "HTTP 200, not read to its end");
}

#[tokio::test]
async fn a_head_that_repeats_the_secret_does_not_come_back() {
    let server = Server::start(|request| {
        let mut response = text("hello");
        let key = request.headers()["x-api-key"].clone();
        let fields = response.headers_mut();
        fields.insert("x-echo", key.clone());
        fields.insert(
            "x-part",
            format!("a {} b", key.to_str().unwrap()).parse().unwrap(),
        );
        fields.insert("set-cookie", HeaderValue::from_static("session=1"));
        fields.insert("holdfast-reason", HeaderValue::from_static("denied"));
        fields.insert("connection", HeaderValue::from_static("x-hop"));
        fields.insert("x-hop", HeaderValue::from_static("1"));
        fields.insert("x-fine", HeaderValue::from_static("1"));
        let phrase = ReasonPhrase::try_from(key.as_bytes()).unwrap();
        response.extensions_mut().insert(phrase);
        response
    })
    .await;
    let world = World::allowing(vec![model(&http(server.address), ApiKey)]).await;
    let shown = format!("x-api-key: {}", world.granted[0].placeholder.as_str());
    let answer = world.get("/anthropic/v1/models", &[&shown]).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("x-fine: 1\r\n"), "{answer}");
    for gone in [
        KEY,
        "x-echo",
        "x-part",
        "set-cookie",
        "holdfast-reason",
        "x-hop",
    ] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }
}

#[tokio::test]
async fn a_redirect_is_passed_on_and_not_followed() {
    let elsewhere = Server::start(|_| text("caught")).await;
    let location = HeaderValue::from_str(&http(elsewhere.address)).unwrap();
    let server = Server::start(move |_| {
        let mut response = text("");
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        response.headers_mut().insert("location", location.clone());
        response
    })
    .await;
    let world = World::allowing(vec![model(&http(server.address), ApiKey)]).await;
    let shown = format!("x-api-key: {}", world.granted[0].placeholder.as_str());
    let answer = world.get("/anthropic/v1/models", &[&shown]).await;
    assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    assert!(
        answer.contains(&format!("location: {}", http(elsewhere.address))),
        "{answer}"
    );
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_denial_says_why_and_nothing_leaves() {
    let server = Server::start(|_| text("hello")).await;
    let granted = vec![model(&http(server.address), ApiKey)];
    let world = World::start(granted, plain(), |_| Rule::Deny("the human\r\nsaid no")).await;
    let shown = format!("x-api-key: {}", world.granted[0].placeholder.as_str());
    let answer = world.get("/anthropic/v1/models", &[&shown]).await;
    assert_refused(&answer, 403, "denied");
    assert!(
        answer.ends_with("holdfast: the human  said no\n"),
        "{answer}"
    );
    assert!(server.seen().is_empty());
    assert!(world.end().await.is_empty());
}

#[tokio::test]
async fn a_request_is_bounded() {
    let server = Server::start(|_| text("hello")).await;
    let world = World::allowing(vec![model(&http(server.address), ApiKey)]).await;
    let shown = format!("x-api-key: {}", world.granted[0].placeholder.as_str());
    let fields = [shown.as_str(), "Content-Length: 67108865"];
    let answer = world
        .raw(head("POST", "/anthropic/v1/messages", &fields))
        .await;
    assert_refused(&answer, 413, "too-large");
    // What does not say how long it is, is cut.
    let mut stream = world.connect().await;
    let fields = [shown.as_str(), "Transfer-Encoding: chunked"];
    let request = head("POST", "/anthropic/v1/messages", &fields);
    stream.write_all(request.as_bytes()).await.unwrap();
    let chunk = [b"100000\r\n".as_slice(), &[b'x'; 0x10_0000], b"\r\n"].concat();
    for _ in 0..65 {
        if stream.write_all(&chunk).await.is_err() {
            break;
        }
    }
    let answer = super::world::rest(&mut stream).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn tls_is_verified() {
    let (server, certificate) = Server::with_tls(|_| text("hello")).await;
    let base = format!("https://localhost:{}", server.address.port());
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let upstream = Upstream::trusting(roots, &clock()).unwrap();
    let world = World::start(vec![model(&base, ApiKey)], upstream, |_| Rule::Allow).await;
    let shown = format!("x-api-key: {}", world.granted[0].placeholder.as_str());
    let answer = world.get("/anthropic/v1/models", &[&shown]).await;
    assert!(answer.ends_with("hello"), "{answer}");

    let world = World::allowing(vec![model(&base, ApiKey)]).await;
    let answer = world.get("/anthropic/v1/models", &[&shown]).await;
    assert_refused(&answer, 502, "unreachable");
    assert!(answer.contains("UnknownIssuer"), "{answer}");
    assert_eq!(server.seen().len(), 1);
    assert_eq!(world.end().await[0].0, "not done: unreachable");
}
