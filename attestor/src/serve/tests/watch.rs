//! The stream to a host: its state at once, each order as it is given, by whichever process, and to nobody else.

use std::time::Duration;

use holdfast_protocol::orders::{HostStanding, Instance, Orders};
use holdfast_protocol::wire::attestor::{HostOrders, SignJwtSvidRequest, WatchRequest};
use tonic::{Code, Status, Streaming};

use super::*;
use crate::store::sql::SqlStore;

/// Far more than an order takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(10);

async fn listen(client: &mut Client, instance: u8) -> Result<Streaming<HostOrders>, Status> {
    let request = WatchRequest::from(Instance([instance; 16]));
    Ok(client.host.watch(request).await?.into_inner())
}

async fn next(stream: &mut Streaming<HostOrders>) -> Result<Orders, Status> {
    let message = tokio::time::timeout(PATIENCE, stream.message());
    let message = message.await.expect("a word in time")?;
    Ok(Orders::try_from(message.expect("a stream goes on")).unwrap())
}

#[tokio::test]
async fn a_host_hears_its_state_at_once_and_each_order_that_another_process_gives() {
    let fixture = Fixture::start(Explain::Reason).await;
    let (host, identity) = fixture.node().await;
    let (_, other) = fixture.node().await;
    let mut client = fixture.connect(Some(&identity)).await;
    let mut bystander = fixture.connect(Some(&other)).await;
    let mut stream = listen(&mut client, 1).await.unwrap();
    let mut others = listen(&mut bystander, 2).await.unwrap();
    let first = next(&mut stream).await.unwrap();
    assert_eq!(
        (&first.standing, first.reattest),
        (&HostStanding::Active, None)
    );
    next(&mut others).await.unwrap();

    // The operator's own process, with connections of its own.
    let operator = SqlStore::open(&fixture.home()).await.unwrap();
    operator.ban(host, "lost", now()).await.unwrap();
    let why = "lost".to_owned();
    let told = next(&mut stream).await.unwrap();
    assert_eq!(told.standing, HostStanding::Banned { why });
    // Nothing is signed any more, on this connection or another.
    let request = SignJwtSvidRequest {
        spiffe_id: format!("spiffe://example.org/host/{host}/agent/claude/x"),
        audience: vec!["db".to_owned()],
    };
    let refused = client.host.sign_jwt_svid(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);

    operator.unban(host).await.unwrap();
    let told = next(&mut stream).await.unwrap();
    assert_eq!(told.standing, HostStanding::Active);
    let asked = now();
    operator.ask_reattest(host, asked).await.unwrap();
    let told = next(&mut stream).await.unwrap();
    assert_eq!(
        (told.standing, told.reattest),
        (HostStanding::Active, Some(asked))
    );
    operator.revoke(host, "stolen", now()).await.unwrap();
    let told = next(&mut stream).await.unwrap();
    let why = "stolen".to_owned();
    assert_eq!(told.standing, HostStanding::Revoked { why });

    // Whoever was not there is told first.
    let mut again = listen(&mut client, 1).await.unwrap();
    let told = next(&mut again).await.unwrap();
    assert!(matches!(told.standing, HostStanding::Revoked { .. }));
    let replaced = next(&mut stream).await.unwrap_err();
    assert_eq!(replaced.code(), Code::Aborted, "{replaced}");
    let quiet = tokio::time::timeout(Duration::from_millis(300), others.message()).await;
    assert!(quiet.is_err(), "another host's orders");
    operator.close().await;
    fixture.stop().await;
}

#[tokio::test]
async fn nobody_listens_without_a_node_svid_and_no_reason_is_told_where_policy_keeps_it() {
    let fixture = Fixture::start(Explain::Nothing).await;
    let (host, identity) = fixture.node().await;
    let mut stranger = fixture.connect(None).await;
    let refused = listen(&mut stranger, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    fixture.store.ban(host, "suspected", now()).await.unwrap();
    let mut client = fixture.connect(Some(&identity)).await;
    let mut stream = listen(&mut client, 1).await.unwrap();
    let told = next(&mut stream).await.unwrap();
    let why = String::new();
    assert_eq!(told.standing, HostStanding::Banned { why });
    // A stream that is open does not keep the attestor from ending.
    let stopping = std::time::Instant::now();
    fixture.stop().await;
    assert!(stopping.elapsed() < super::super::GRACE);
    let ended = next(&mut stream).await.unwrap_err();
    assert_eq!(ended.code(), Code::Unavailable, "{ended}");
}
