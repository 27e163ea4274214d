//! The attestor's word, as it comes: one stream, opened again for as long as there is a certificate to open it with.
//!
//! What a stream says first is the present state, so that nothing is missed between two. Its word is obeyed here, at once:
//! whoever is busy attesting must never hold it up.

use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::management::{NodeState, NodeStatus};
use holdfast_protocol::orders::{Instance, MAX_MESSAGE, Orders};
use holdfast_protocol::wire::WireError;
use holdfast_protocol::wire::attestor::WatchRequest;
use holdfast_protocol::wire::attestor::host_client::HostClient;
use holdfast_protocol::words::with_causes;
use holdfast_tpm::Provisioned;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::attest::NodeSvid;
use crate::channel::{ChannelError, Connection, connect};
use crate::clock::jitter;
use crate::node::Node;
use crate::node_key::NodeIdentity;
use crate::pin::Pin;
use crate::standing::Demand;
use crate::state::reconnect;
use crate::url::InvalidUrl;

/// How many announced silences are waited for before a stream is taken for dead.
const PATIENCE: u32 = 2;

/// Listens to the attestor.
pub(crate) struct Watcher {
    pub(crate) node: Arc<watch::Sender<Node>>,
    pub(crate) tpm: Provisioned,
    pub(crate) instance: Instance,
    /// Told when the attestor wants an attestation.
    pub(crate) demanded: Arc<Notify>,
    pub(crate) clock: Clock,
}

/// What a stream is opened with. Kept while an order takes the certificate from everybody else: it still opens the stream
/// on which the next order comes.
#[derive(Clone)]
struct Credential {
    status: NodeStatus,
    svid: Arc<NodeSvid>,
}

impl Credential {
    fn of(node: &Node) -> Option<Self> {
        match (&node.state, &node.svid) {
            (NodeState::Attested(status), Some(svid)) => Some(Self {
                status: status.clone(),
                svid: Arc::clone(svid),
            }),
            (
                NodeState::Attested(_)
                | NodeState::NotAttested { .. }
                | NodeState::NotEnrolled
                | NodeState::Contained { .. },
                _,
            ) => None,
        }
    }

    fn is_good(&self, now: Timestamp) -> bool {
        now < self.svid.svid.not_after
    }
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
enum Silence {
    #[error("the attestor's address is not one")]
    Url(#[from] InvalidUrl),
    #[error("no connection")]
    Channel(#[from] ChannelError),
    #[error("the attestor ended it: {0}")]
    Ended(String),
    #[error("the attestor's word is not understood")]
    Wire(#[from] WireError),
    #[error("nothing was heard for {} s", .0.as_secs())]
    Quiet(Duration),
}

impl From<tonic::Status> for Silence {
    fn from(status: tonic::Status) -> Self {
        Self::Ended(status.message().to_owned())
    }
}

impl Watcher {
    /// Listens until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.listen() => {}
        }
    }

    async fn listen(&self) {
        let mut nodes = self.node.subscribe();
        let mut kept: Option<Credential> = None;
        let mut failures = 0;
        loop {
            // The newest there is; while there is none, the last one, as long as it is good.
            let newest = Credential::of(&nodes.borrow_and_update());
            kept = newest
                .or(kept)
                .filter(|credential| credential.is_good(self.clock.now()));
            let Some(credential) = kept.clone() else {
                if nodes.changed().await.is_err() {
                    return;
                }
                continue;
            };
            let Err(silence) = self.stream(&credential, &mut failures).await;
            tracing::info!(
                error = with_causes(&silence),
                "the attestor is not heard any more; it is asked again"
            );
            tokio::time::sleep(reconnect(failures, jitter(&self.clock))).await;
            failures = failures.saturating_add(1);
        }
    }

    /// One stream, to its end.
    async fn stream(
        &self,
        Credential { status, svid }: &Credential,
        failures: &mut u32,
    ) -> Result<std::convert::Infallible, Silence> {
        let pin = Pin::Authorities {
            trust_domain: Some(status.trust_domain.clone()),
            certificates: svid.authorities.clone(),
        };
        let identity = NodeIdentity::new(svid.chain.clone(), self.tpm.clone(), svid.key.clone());
        let Connection { channel, .. } = connect(
            &status.attestor.parse()?,
            &pin,
            Some(Arc::new(identity)),
            &self.clock,
        )
        .await?;
        let mut client = HostClient::new(channel).max_decoding_message_size(MAX_MESSAGE);
        let mut stream = client
            .watch(WatchRequest::from(self.instance))
            .await?
            .into_inner();
        // Nothing is announced before the first message; a request's own time limit has passed by then.
        let mut quiet = Duration::from_secs(30);
        loop {
            let message = tokio::time::timeout(quiet, stream.message())
                .await
                .map_err(|_| Silence::Quiet(quiet))??;
            let message = message.ok_or_else(|| Silence::Ended("without a word".to_owned()))?;
            let orders = Orders::try_from(message)?;
            quiet = orders.next_within * PATIENCE;
            *failures = 0;
            self.obey(&orders, &status.attestor);
        }
    }

    fn obey(&self, orders: &Orders, attestor: &str) {
        let mut demand = Demand::Nothing;
        self.node.send_if_modified(|node| {
            // An order of an attestor that the host has left meanwhile is none.
            if !node.is_with(attestor) {
                return false;
            }
            let before = node.standing.hold(self.clock.now());
            demand = node.standing.ordered(orders);
            let after = node.standing.hold(self.clock.now());
            let stopped = after.as_ref().filter(|_| before != after);
            if let Some(hold) = stopped {
                tracing::warn!(why = %hold, "this host may do nothing");
                node.withhold(&hold.to_string());
            }
            let news = orders.bundles.is_some() && orders.bundles != node.bundles;
            if news {
                node.bundles = orders.bundles;
            }
            stopped.is_some() || news
        });
        if demand == Demand::Attest {
            tracing::info!("the attestor wants a new attestation");
            self.demanded.notify_one();
        }
    }
}
