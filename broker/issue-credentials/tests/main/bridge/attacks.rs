//! Requests that were made to be misread.

use holdfast_issue_credentials::bridge::MAX_CONNECTIONS;
use holdfast_protocol::vault::AnthropicCredential::ApiKey;
use tokio::io::AsyncWriteExt;

use super::servers::{Server, text};
use super::world::{World, assert_refused, git, http, model, rest};

async fn world() -> (World, Server) {
    let server = Server::start(|_| text("hello")).await;
    let granted = vec![
        model(&http(server.address), ApiKey),
        git("mine", &format!("http://{}/org", server.address)),
    ];
    (World::allowing(granted).await, server)
}

#[tokio::test]
async fn a_request_hidden_in_anothers_body_is_not_served() {
    let (world, server) = world().await;
    let key = world.granted[0].placeholder.as_str();
    let hidden = format!("GET /anthropic/v1/models/hidden HTTP/1.1\r\nx-api-key: {key}\r\n\r\n");
    for framing in [
        // Chunked wins and the connection ends (RFC 9112 §6.1, §6.3), whatever the length says.
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!(
            "Transfer-Encoding: chunked\r\nContent-Length: {}\r\n\r\n0\r\n\r\n",
            hidden.len()
        ),
    ] {
        let request = format!(
            "POST /anthropic/v1/messages HTTP/1.1\r\nx-api-key: {key}\r\n{framing}{hidden}"
        );
        let answer = world.raw(request).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    }
    for seen in server.seen() {
        assert_eq!((seen.uri().path(), seen.body().len()), ("/v1/messages", 0));
        assert!(
            !seen.headers().contains_key("content-length")
                || seen.headers()["content-length"] == "0"
        );
    }
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused() {
    let (world, server) = world().await;
    let key = world.granted[0].placeholder.as_str();
    for (target, fields) in [
        (
            "/anthropic/v1/messages",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
        ),
        ("/anthropic/v1/messages", "Content-Length: 5, 6\r\n"),
        ("/anthropic/v1/messages", "Content-Length: +5\r\n"),
        ("/anthropic/v1/messages", "Content-Length: 0x5\r\n"),
        ("/anthropic/v1/messages", "Transfer-Encoding: identity\r\n"),
        (
            "/anthropic/v1/messages",
            "Transfer-Encoding: chunked, identity\r\n",
        ),
        ("/anthropic/v1/messages", "Transfer-Encoding : chunked\r\n"),
        ("/anthropic/v1/messages", "X: a\r\n folded: b\r\n"),
        ("/anthropic/v1/messages", "X: a\rb\r\n"),
        ("/anthropic/v1/messages", "X: a\0b\r\n"),
        ("/anthropic/v1/messages", "Host: a\r\nHost: b\r\n"),
        ("/anthropic/v1/messages\r\nX: y", ""),
        ("/anthropic/v1/messages\nX: y", ""),
        ("/anthropic/v1/mess ages", ""),
        ("/anthropic/v1/messages\tx", ""),
        ("/anthropic/v1/messages\0", ""),
    ] {
        let head = format!("POST {target} HTTP/1.1\r\nx-api-key: {key}\r\n{fields}\r\nhello!");
        let answer = world.raw(&head).await;
        assert!(
            answer.starts_with("HTTP/1.1 400 ") || answer.is_empty(),
            "{head}: {answer}"
        );
    }
    assert!(server.seen().is_empty() && world.asked().is_empty());
}

#[tokio::test]
async fn heads_are_bounded() {
    let (world, server) = world().await;
    for (long, status) in [
        (
            format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(300_000)),
            "431",
        ),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(200)),
            "431",
        ),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(300_000)),
            "414",
        ),
    ] {
        let answer = world.raw(long).await;
        let allowed = answer.is_empty()
            || answer.starts_with(&format!("HTTP/1.1 {status} "))
            || answer.starts_with("HTTP/1.1 431 ");
        assert!(allowed, "{answer}");
    }
    assert!(server.seen().is_empty());
}

/// It takes as long as a head may, which is half a minute.
#[tokio::test]
async fn a_head_that_does_not_end_is_cut() {
    let (world, _server) = world().await;
    let cut = ["", "GET / HT", "GET / HTTP/1.1\r\nX: y\r\n"].map(|begun| world.raw(begun));
    for answer in futures::future::join_all(cut).await {
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn connections_are_counted() {
    let (world, _server) = world().await;
    let mut open = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        let mut stream = world.connect().await;
        stream.write_all(b"GET /").await.unwrap();
        open.push(stream);
    }
    let mut stream = world.connect().await;
    assert_refused(&rest(&mut stream).await, 503, "too-many-connections");
    // One that ends makes room for another.
    open.pop();
    let answer = loop {
        let answer = world.get("/", &[]).await;
        if !answer.contains("too-many-connections") && !answer.is_empty() {
            break answer;
        }
        tokio::task::yield_now().await;
    };
    assert_refused(&answer, 403, "not-served");
}

#[tokio::test]
async fn no_path_leads_to_another_repository_or_secret() {
    let (world, server) = world().await;
    for target in [
        "/git/mine/../other/info/refs?service=git-upload-pack",
        "/git/mine/../../x/info/refs?service=git-upload-pack",
        "/git/mine/%2e%2e/x/info/refs?service=git-upload-pack",
        "/git/mine/a%2f..%2fb/info/refs?service=git-upload-pack",
        "/git/mine//x/info/refs?service=git-upload-pack",
        "/git/mine/./x/info/refs?service=git-upload-pack",
        "/git/mine/@evil.example/../x/info/refs?service=git-upload-pack",
    ] {
        assert_refused(&world.get(target, &[]).await, 400, "bad-request");
    }
    for target in [
        "/git/other/x/info/refs?service=git-upload-pack",
        "/git/model/x/info/refs?service=git-upload-pack",
        "/git/../git/mine/x/info/refs?service=git-upload-pack",
        "/git//mine/x/info/refs?service=git-upload-pack",
        "/git/MINE/x/info/refs?service=git-upload-pack",
        "/git/",
    ] {
        assert_refused(&world.get(target, &[]).await, 403, "not-granted");
    }
    for target in [
        "/git/mine/x/HEAD",
        "/git/mine/x/objects/info/packs",
        "/git/mine/x/info/refs",
        "/git/mine/x/info/lfs/locks",
        "/git/mine",
        "/anthropic",
        "/",
        "/gitx",
    ] {
        assert_refused(&world.get(target, &[]).await, 403, "not-served");
    }
    assert!(server.seen().is_empty() && world.asked().is_empty());
}

#[tokio::test]
async fn no_other_credential_reaches_a_remote() {
    let (world, server) = world().await;
    let target = "/git/mine/x/info/refs?service=git-upload-pack";
    let own = world.granted[1].placeholder.as_str();
    let model = world.granted[0].placeholder.as_str();
    let basic = |pair: &str| {
        format!(
            "Authorization: Basic {}",
            data_encoding::BASE64.encode(pair.as_bytes())
        )
    };
    for shown in [
        vec![basic(&format!("u:{model}"))],
        vec![basic(&format!("u:{own}x"))],
        vec![basic(own)],
        vec![basic(&format!("{own}:"))],
        vec!["Authorization: Basic ?".to_owned()],
        vec![format!("Authorization: Bearer {own}")],
        vec![basic(&format!("u:{own}")), basic("a:b")],
    ] {
        let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
        assert_refused(&world.get(target, &shown).await, 403, "not-granted");
    }
    assert!(server.seen().is_empty());
    let fields = [
        "Private-Token: a",
        "Cookie: b",
        "X-Api-Key: c",
        "Git-Protocol: version=2",
    ];
    world.get(target, &fields).await;
    let seen = server.seen().pop().unwrap();
    let names: Vec<&str> = seen.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["git-protocol", "host"]);
}
