//! What comes by no proxy: ports that lead to one place, and the session's resolver.

use std::io::ErrorKind;
use std::net::SocketAddr;

use holdfast_issue_credentials::bridge::{Door, Names};
use holdfast_protocol::call::{Effect, Manner};
use holdfast_protocol::widening::Reach;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::servers::{Server, text};
use super::world::{Rule, World, assert_refused, plain, rest};

const GET: &[u8] = b"GET / HTTP/1.0\r\n\r\n";

/// A world with a door to `to`, which the session was given; where the door is.
async fn behind(to: &str, rule: fn() -> Rule) -> (World, SocketAddr) {
    let to: Reach = to.parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let upstream = plain().reaching(vec![to.clone()]);
    let door = Door { listener, to };
    let world = World::start_with(vec![], upstream, vec![door], None, move |_| rule()).await;
    (world, at)
}

#[tokio::test]
async fn a_door_is_a_tunnel_to_one_place_decided_like_any_other() {
    let server = Server::start(|_| text("hello")).await;
    let to = format!("localhost:{}", server.address.port());
    let (world, at) = behind(&to, || Rule::Allow).await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(rest(&mut stream).await.ends_with("hello"));
    assert_eq!(world.tools(), ["connect"]);
    let reaches = Effect::Reaches {
        host: to,
        manner: Manner::Send,
    };
    assert_eq!(world.asked()[0].effects, std::slice::from_ref(&reaches));
    drop(stream);
    let ended = world.end().await;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].1, [reaches]);
}

#[tokio::test]
async fn a_denied_door_is_a_reset_and_nothing_is_connected_to() {
    let server = Server::start(|_| text("hello")).await;
    let to = format!("localhost:{}", server.address.port());
    let (world, at) = behind(&to, || Rule::Deny("not there")).await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    let error = stream.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(server.seen().is_empty());
    assert!(world.end().await.is_empty());
}

#[tokio::test]
async fn where_clients_speak_http_a_denial_is_told_in_it_with_the_flag() {
    let (_world, at) = behind("no-such-name.invalid:80", || Rule::Deny("not there")).await;
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(GET).await.unwrap();
    let answer = rest(&mut stream).await;
    assert_refused(&answer, 403, "denied");
    assert!(answer.contains("not there"), "{answer}");
    let flag = "`holdfast run --host no-such-name.invalid`";
    assert!(answer.contains(flag), "{answer}");
}

/// A question about `crates.io`, with this type.
fn question(kind: u8) -> Vec<u8> {
    let mut query = vec![0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x06crates\x02io\0\0");
    query.extend([kind, 0, 1]);
    query
}

#[tokio::test]
async fn the_resolver_answers_by_datagram_and_by_stream_and_looks_nothing_up() {
    let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let streams = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (udp, tcp) = (
        datagrams.local_addr().unwrap(),
        streams.local_addr().unwrap(),
    );
    let names = Names {
        datagrams,
        streams,
        connections: vec![],
        given: vec![],
    };
    let world = World::start_with(vec![], plain(), vec![], Some(names), |_| Rule::Allow).await;

    let asker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    asker.connect(udp).await.unwrap();
    let mut answer = [0; 512];
    // What is no query gets no answer, and harms nobody.
    asker.send(b"nonsense").await.unwrap();
    asker.send(&question(1)).await.unwrap();
    let length = asker.recv(&mut answer).await.unwrap();
    assert!(answer[..length].ends_with(&[0, 4, 198, 18, 0, 1]));
    asker.send(&question(28)).await.unwrap();
    let length = asker.recv(&mut answer).await.unwrap();
    // No error, no address.
    assert_eq!(
        (answer[3] & 15, answer[7], length),
        (0, 0, question(28).len())
    );

    let mut stream = TcpStream::connect(tcp).await.unwrap();
    let query = question(1);
    for _ in 0..2 {
        let length = u16::try_from(query.len()).unwrap();
        stream.write_u16(length).await.unwrap();
        stream.write_all(&query).await.unwrap();
        let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut answer).await.unwrap();
        assert!(answer.ends_with(&[0, 4, 198, 18, 0, 1]));
    }
    // Longer than any question: the connection ends.
    stream.write_u16(u16::MAX).await.unwrap();
    assert_eq!(rest(&mut stream).await, "");
    assert!(world.asked().is_empty());
    world.end().await;
}
