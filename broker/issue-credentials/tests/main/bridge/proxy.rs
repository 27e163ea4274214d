//! The rest of the network: what passes, and what is never reached.

use std::fs;
use std::net::SocketAddr;

use holdfast_protocol::call::{Effect, Manner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::servers::{Server, text};
use super::world::{Rule, World, assert_refused, head, plain, rest};

async fn reaching(address: SocketAddr) -> World {
    World::start(
        vec![],
        plain().reaching(vec![address.to_string().parse().unwrap()]),
        |_| Rule::Allow,
    )
    .await
}

#[tokio::test]
async fn plain_requests_pass_unchanged() {
    let server = Server::start(|_| text("hello")).await;
    let world = reaching(server.address).await;
    let target = format!("http://{}/a%20b?q=secret", server.address);
    let fields = [
        "Authorization: Bearer hf_worthless",
        "Proxy-Authorization: x",
        "Accept: */*",
    ];
    let answer = world.get(&target, &fields).await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    let seen = server.seen().pop().unwrap();
    assert_eq!(seen.uri(), "/a%20b?q=secret");
    assert_eq!(seen.headers()["host"], server.address.to_string());
    assert_eq!(seen.headers()["authorization"], "Bearer hf_worthless");
    assert!(!seen.headers().contains_key("proxy-authorization"));

    let fields = ["Content-Length: 3"];
    let answer = world.raw(head("POST", &target, &fields) + "abc").await;
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    assert_eq!(server.seen()[1].body(), "abc");

    let host = server.address.to_string();
    let effects: Vec<_> = world
        .asked()
        .into_iter()
        .flat_map(|asked| asked.effects)
        .collect();
    assert_eq!(
        effects,
        [
            Effect::Reaches {
                host: host.clone(),
                manner: Manner::Fetch
            },
            Effect::Reaches {
                host,
                manner: Manner::Send
            },
        ]
    );
    assert_eq!(world.tools(), ["http", "http"]);
    assert!(!format!("{:?}", world.asked()).contains("secret"));
    let ended: Vec<_> = world
        .end()
        .await
        .into_iter()
        .map(|(outcome, _)| outcome)
        .collect();
    assert_eq!(ended, ["HTTP 200", "HTTP 200"]);
}

#[tokio::test]
async fn tunnels_carry_bytes_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut echo = JoinSet::new();
    echo.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    });
    let world = reaching(address).await;
    let mut stream = world.connect().await;
    let request = format!("CONNECT {address} HTTP/1.1\r\nHost: {address}\r\n\r\nearly ");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(b"late").await.unwrap();
    let mut got = String::new();
    while !got.ends_with("early late") {
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).await.unwrap();
        assert!(count > 0, "{got}");
        got.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
    }
    assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    echo.join_next().await.unwrap().unwrap();
    let asked = world.asked().pop().unwrap();
    assert_eq!(asked.tool, "connect");
    let reached = Effect::Reaches {
        host: address.to_string(),
        manner: Manner::Send,
    };
    assert_eq!(asked.effects, std::slice::from_ref(&reached));
    let ended = world.end().await;
    assert_eq!(
        ended,
        [("10 bytes sent, 10 received".to_owned(), vec![reached])]
    );
}

#[tokio::test]
async fn a_tunnel_ends_with_its_session() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let world = reaching(address).await;
    let mut stream = world.connect().await;
    let request = format!("CONNECT {address} HTTP/1.1\r\n\r\nx");
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    assert_eq!(far.read(&mut [0; 8]).await.unwrap(), 1);
    assert_eq!(world.end().await.len(), 1);
    assert_eq!(rest(&mut far).await, "");
}

#[tokio::test]
async fn the_host_and_its_network_are_never_reached() {
    let server = Server::start(|_| text("caught")).await;
    let world = World::allowing(vec![]).await;
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "127.1",
        "127.0.0.2",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0.0.0.0",
        "0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "169.254.169.254",
        "[fd00:ec2::254]",
        "168.63.129.16",
        "10.0.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "[fe80::1]",
        "[fc00::1]",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
    ] {
        let answer = world.get(&format!("http://{host}:{port}/"), &[]).await;
        assert_refused(&answer, 403, "private-address");
        let answer = world
            .raw(head("CONNECT", &format!("{host}:{port}"), &[]))
            .await;
        assert_refused(&answer, 403, "private-address");
    }
    // What the address alone refuses is not even asked, but it is on record, with what would give it.
    assert!(world.asked().is_empty());
    let refused = world.refused();
    assert_eq!(refused.len(), 2 * 31);
    for (asked, why) in refused {
        let [Effect::Reaches { host, .. }] = asked.effects.as_slice() else {
            panic!("{asked:?}");
        };
        assert!(
            why.ends_with(&format!("`holdfast run --reach {host}`")),
            "{why}"
        );
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_name_that_leads_home_is_refused_after_the_lookup() {
    let server = Server::start(|_| text("caught")).await;
    let world = World::allowing(vec![]).await;
    let hosts = fs::read_to_string("/etc/hosts").unwrap();
    let name = hosts
        .lines()
        .filter(|line| line.starts_with("127.") || line.starts_with("::1"))
        .flat_map(|line| line.split_ascii_whitespace().skip(1))
        .find(|name| *name != "localhost")
        .expect("a name of loopback other than localhost");
    let target = format!("{name}:{}", server.address.port());
    let answer = world.get(&format!("http://{target}/"), &[]).await;
    assert_refused(&answer, 403, "private-address");
    assert!(answer.contains(name), "{answer}");
    let answer = world.raw(head("CONNECT", &target, &[])).await;
    assert_refused(&answer, 403, "private-address");
    assert!(server.seen().is_empty());
    // A look-up reaches out, so it was decided first, and its end is told.
    assert_eq!(world.tools(), ["http", "connect"]);
    let ended: Vec<_> = world
        .end()
        .await
        .into_iter()
        .map(|(outcome, _)| outcome)
        .collect();
    let told = format!("not done: private-address; `holdfast run --reach {target}` would give it");
    assert_eq!(ended, [told.clone(), told]);
}

#[tokio::test]
async fn a_target_is_read_in_one_way_or_not_at_all() {
    let world = World::allowing(vec![]).await;
    for target in [
        "http://user:password@example.org/",
        "http://user@127.0.0.1/",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org:/",
        "http://exa_mple.%zz/",
        "https://example.org/",
        "ftp://example.org/",
    ] {
        let answer = world.get(target, &[]).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
    for target in [
        "example.org",
        "example.org:0",
        "u@example.org:1",
        "example.org:x",
        "/",
    ] {
        let answer = world.raw(head("CONNECT", target, &[])).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{target}: {answer}");
    }
    assert!(world.asked().is_empty());
}

#[tokio::test]
async fn what_is_denied_is_not_looked_up() {
    let world = World::start(vec![], plain(), |_| Rule::Deny("not this host")).await;
    for answer in [
        world.get("http://no-such-name.invalid/", &[]).await,
        world
            .raw(head("CONNECT", "no-such-name.invalid:443", &[]))
            .await,
    ] {
        assert_refused(&answer, 403, "denied");
        let advice = "not this host; a session that needs `no-such-name.invalid` can be started with \
                      `holdfast run --host no-such-name.invalid`\n";
        assert!(answer.ends_with(advice), "{answer}");
    }
    let world = World::allowing(vec![]).await;
    let answer = world.get("http://no-such-name.invalid/", &[]).await;
    assert_refused(&answer, 502, "unresolved");
}
