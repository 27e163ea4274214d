//! Names that are signed ahead, as the sessions that start with them show them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use holdfast_issue_credentials::Issuer;
use holdfast_issue_credentials::spares::{Footing, NodeCertificate, Plan, Spare, Spares, Taken};
use holdfast_issue_credentials::workload::api;
use holdfast_protocol::id::{AgentKind, HostId};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Code;

use crate::support::{
    Conduct, Door, Memory, Served, SoftwareAuthority, TRUST_DOMAIN, clock, secured,
};

struct Host {
    authority: Arc<SoftwareAuthority>,
    memory: Arc<Memory>,
    issuer: Issuer,
    spares: Spares,
    node: watch::Sender<Option<NodeCertificate>>,
    _keeping: JoinSet<()>,
}

impl Host {
    /// With two spares of the one kind.
    async fn start() -> Self {
        let authority = SoftwareAuthority::new(TRUST_DOMAIN);
        let memory = Arc::new(Memory::default());
        let issuer = Issuer::new(authority.clone(), memory.clone(), clock());
        let spares = Spares::new(Plan::new(2, [kind()]).unwrap(), clock());
        let (node, certificate) = watch::channel(Some(certificate("a")));
        let mut keeping = JoinSet::new();
        let stop = CancellationToken::new();
        keeping.spawn(spares.clone().keep(issuer.clone(), certificate, stop));
        spares.give_leave();
        let host = Self {
            authority,
            memory,
            issuer,
            spares,
            node,
            _keeping: keeping,
        };
        host.until(2).await;
        host
    }

    fn ready(&self) -> usize {
        self.spares.ready()[0].1
    }

    async fn until(&self, ready: usize) {
        let begun = Instant::now();
        while self.ready() != ready {
            assert!(begun.elapsed() < Duration::from_secs(20), "{ready} ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn take(&self) -> Option<Spare> {
        match self.spares.take(&kind(), &certificate("").footing) {
            Taken::Spare(spare) => Some(spare),
            Taken::None | Taken::Offline => None,
        }
    }
}

fn kind() -> AgentKind {
    "shell".parse().unwrap()
}

fn certificate(serial: &str) -> NodeCertificate {
    NodeCertificate {
        footing: Footing {
            trust_domain: TRUST_DOMAIN.parse().unwrap(),
            host: HostId::from_random([1; 16]),
            stops: 0,
        },
        serial: serial.to_owned(),
    }
}

#[tokio::test]
async fn sessions_start_without_the_authority_each_with_its_own_name_and_key() {
    let host = Host::start().await;
    host.authority.set_conduct(Conduct::Unreachable);
    let mut served = Vec::new();
    for _ in 0..2 {
        let spare = host.take().unwrap();
        let name = spare.identity().spiffe_id.to_string();
        assert!(name.contains("/agent/shell/"), "{name}");
        let session = host.issuer.session_with(spare);
        let one = Served::of(
            host.authority.clone(),
            host.memory.clone(),
            session,
            Door::Open,
        );
        let svid = one.client().await.fetch_x509_svid().await.unwrap();
        assert_eq!(svid.spiffe_id().to_string(), name);
        served.push((one, svid));
    }
    let [(first, one), (_, other)] = served.as_slice() else {
        panic!("two sessions");
    };
    assert_ne!(one.spiffe_id(), other.spiffe_id());
    assert_ne!(one.private_key().as_bytes(), other.private_key().as_bytes());
    // Issued when they were first asked for, and recorded before.
    assert_eq!(host.memory.count(), 2);
    assert_eq!(host.authority.x509_signed.load(Ordering::SeqCst), 2);
    assert!(host.take().is_none());

    let jwt = api::JwtsvidRequest {
        audience: vec!["a".to_owned()],
        spiffe_id: String::new(),
    };
    let refused = first.raw().await.fetch_jwtsvid(secured(jwt)).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(
        refused.message(),
        "the attestor cannot be reached, and only it signs SVIDs (a JWT-SVID never ahead): ask again later"
    );

    host.authority.set_conduct(Conduct::Honest);
    host.until(2).await;
}

#[tokio::test]
async fn with_a_new_certificate_all_are_signed_anew() {
    let host = Host::start().await;
    host.node.send_replace(Some(certificate("b")));
    let signed = || host.authority.x509_signed.load(Ordering::SeqCst);
    let begun = Instant::now();
    while signed() < 4 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    host.until(2).await;
    assert_eq!(signed(), 4);
}

#[tokio::test]
async fn none_is_left_when_its_issuer_leaves_the_bundle_or_its_host_may_do_nothing() {
    let host = Host::start().await;
    host.authority.set_conduct(Conduct::Unreachable);
    // One more authority takes nothing away.
    host.authority.publish(&[vec![0x30]]);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(host.ready(), 2);
    host.authority.forget_bundle();
    host.until(0).await;
    assert!(host.take().is_none());

    let host = Host::start().await;
    host.spares.withhold();
    assert!(host.take().is_none());
    assert_eq!(host.ready(), 0);
}

#[tokio::test]
async fn what_an_authority_signs_wrongly_is_no_spare() {
    for conduct in [Conduct::OtherName, Conduct::OtherKey, Conduct::Malformed] {
        let host = Host::start().await;
        host.authority.set_conduct(conduct);
        host.take().unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(host.ready(), 1, "{conduct:?}");
    }
}
