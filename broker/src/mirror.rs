//! The audit log's way to the attestor: mTLS with the node key, and the file of what was acknowledged.
//!
//! One connection, made when it is first needed and made anew after it broke or its own SVID is about to end: a renewal costs
//! the TPM no handshake. It must never send on a connection that does not show this host's own certificate.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use holdfast_attest_host::{AttestHost, Connection, Node, Pin, connect, durable};
use holdfast_protocol::Timestamp;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::management::{NodeState, NodeStatus};
use holdfast_protocol::mirror::{Answer, Upload};
use holdfast_protocol::wire::attestor::AuditUpload;
use holdfast_protocol::wire::attestor::mirror_client::MirrorClient;
use holdfast_record_audit::AuditLog;
use holdfast_record_audit::mirror::{
    Kept, MirrorConfig, MirrorTask, SendFailed, Sending, Standing, Uplink, Upstream,
};
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use crate::state_folder::StateFolder;

/// The largest file of what was acknowledged that is read: a signed note and a few names.
const MAX_KEPT: u64 = 256 * 1024;

/// How long before its SVID ends a connection is used for the last time. What comes too late all the same is refused, and
/// sent again on a new one.
const MARGIN: Duration = Duration::from_secs(5);

/// The mirror, ready to run.
pub struct Mirroring {
    task: MirrorTask,
    node: watch::Receiver<Node>,
    uplinks: watch::Sender<Uplink>,
}

impl Mirroring {
    /// Sets up the mirror of a log; how much the attestor has is told from then on.
    pub fn open(
        log: &AuditLog,
        attest_host: &AttestHost,
        state: &StateFolder,
        clock: &Clock,
    ) -> anyhow::Result<(Self, Standing)> {
        let path = state.join("mirror.json");
        let kept = durable::load(&path, MAX_KEPT)
            .with_context(|| format!("`{}` cannot be read", path.display()))?
            .and_then(|text| match serde_json::from_slice::<Kept>(&text) {
                Ok(kept) => Some(kept),
                Err(error) => {
                    // All of it can be learned anew, at the price of sending the log once more.
                    tracing::warn!(%error, "what the attestor acknowledged cannot be read");
                    None
                }
            });
        let node = attest_host.node();
        let (uplinks, seen) = watch::channel(uplink(&node.borrow()));
        let (task, standing) = MirrorTask::new(MirrorConfig {
            folder: log.folder().to_owned(),
            origin: log.head().origin,
            heads: log.heads(),
            uplinks: seen,
            upstream: Arc::new(NodeUpstream {
                attest_host: attest_host.clone(),
                open: Mutex::new(None),
                path,
                clock: clock.clone(),
            }),
            kept,
            clock: clock.clone(),
        });
        let mirroring = Self {
            task,
            node,
            uplinks,
        };
        Ok((mirroring, standing))
    }

    /// Mirrors until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            task,
            mut node,
            uplinks,
        } = self;
        let follow = async {
            while node.changed().await.is_ok() {
                uplinks.send_replace(uplink(&node.borrow_and_update()));
            }
            std::future::pending().await
        };
        tokio::select! {
            () = task.run(stop) => {}
            () = follow => {}
        }
    }
}

/// What the node's state means for the mirror.
fn uplink(node: &Node) -> Uplink {
    match (&node.state, &node.svid) {
        (NodeState::NotEnrolled | NodeState::Contained { .. }, _) => Uplink::Stranger,
        (NodeState::Attested(status), Some(svid)) => Uplink::Up {
            peer: status.spiffe_id.to_string(),
            credential: svid.svid.serial.clone(),
        },
        (NodeState::NotAttested { why, .. }, _) => Uplink::Down {
            why: format!("this host is not attested: {why}"),
        },
        (NodeState::Attested(_), None) => Uplink::Down {
            why: "this host is not attested".to_owned(),
        },
    }
}

/// The attestor behind this host's node SVID.
struct NodeUpstream {
    attest_host: AttestHost,
    open: Mutex<Option<Open>>,
    path: PathBuf,
    clock: Clock,
}

/// A connection, and the node SVID that it was made with.
struct Open {
    node: NodeStatus,
    client: MirrorClient<Channel>,
}

impl Open {
    /// Whether it still speaks for the node as it is now, to the attestor of now.
    fn serves(&self, node: &NodeStatus, now: Timestamp) -> bool {
        self.node.attestor == node.attestor
            && self.node.spiffe_id == node.spiffe_id
            && now + MARGIN < self.node.not_after
    }
}

impl NodeUpstream {
    /// The connection, made with the node SVID that is current now.
    async fn client(&self) -> Result<MirrorClient<Channel>, SendFailed> {
        let mut open = self.open.lock().await;
        let node = self.attest_host.node().borrow().clone();
        let (NodeState::Attested(status), Some(svid), Some(identity)) =
            (node.state, node.svid, self.attest_host.identity())
        else {
            return Err(SendFailed("this host is not attested".into()));
        };
        if let Some(open) = open
            .as_ref()
            .filter(|open| open.serves(&status, self.clock.now()))
        {
            return Ok(open.client.clone());
        }
        let url = status.attestor.parse().map_err(failed)?;
        let pin = Pin::Authorities {
            trust_domain: Some(status.trust_domain.clone()),
            certificates: svid.authorities.clone(),
        };
        let Connection { channel, .. } = connect(&url, &pin, Some(Arc::new(identity)), &self.clock)
            .await
            .map_err(failed)?;
        let client = MirrorClient::new(channel);
        *open = Some(Open {
            node: status,
            client: client.clone(),
        });
        Ok(client)
    }
}

impl Upstream for NodeUpstream {
    fn send(&self, upload: Upload) -> Sending<'_> {
        Box::pin(async move {
            match self.client().await?.upload(AuditUpload::from(upload)).await {
                Ok(held) => Answer::try_from(held.into_inner()).map_err(failed),
                Err(status) => {
                    // A connection that failed is not used again.
                    *self.open.lock().await = None;
                    Err(unanswered(&status))
                }
            }
        })
    }

    fn keep(&self, kept: &Kept) -> std::io::Result<()> {
        durable::replace(&self.path, &serde_json::to_vec_pretty(kept)?)
    }
}

/// A refused or broken call, in its own words: a status prints itself for programmers.
fn unanswered(status: &tonic::Status) -> SendFailed {
    SendFailed(status.message().into())
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> SendFailed {
    SendFailed(Box::new(error))
}
