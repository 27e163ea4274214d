//! How others ask this job for something, and see the node as it changes.

use std::path::PathBuf;
use std::sync::Arc;

use holdfast_protocol::clock::Clock;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::id::HostId;
use holdfast_protocol::management::NodeStatus;
use holdfast_protocol::orders::Instance;
use holdfast_protocol::record::Record;
use holdfast_tpm::Provisioned;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use crate::enroll::Trust;
use crate::error::AttestHostError;
use crate::host::Host;
use crate::node::Node;
use crate::node_key::NodeIdentity;
use crate::registration::Registration;
use crate::state::Renewal;
use crate::task::{HostTask, Job};
use crate::url::AttestorUrl;
use crate::watch::Watcher;

/// Requests that may wait: each is a person or a script, and the job does one at a time.
const WAITING: usize = 8;

/// Where this job keeps what outlives it.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The enrollment.
    pub enrollment: PathBuf,
    /// The time that was proved last.
    pub floor: PathBuf,
}

/// A handle to this job.
#[derive(Clone, Debug)]
pub struct AttestHost {
    requests: mpsc::Sender<Request>,
    node: watch::Receiver<Node>,
    tpm: Provisioned,
}

/// What the job is asked for; it does one at a time.
#[derive(Debug)]
pub(crate) enum Request {
    Enroll {
        url: AttestorUrl,
        trust: Trust,
        reply: oneshot::Sender<Result<NodeStatus, AttestHostError>>,
    },
    Attest {
        reply: oneshot::Sender<Result<NodeStatus, AttestHostError>>,
    },
}

impl AttestHost {
    /// Sets the job up with the enrollment that `kept` has, if any. `instance` is this run's own: random bits.
    ///
    /// # Errors
    /// [`AttestHostError::Registration`] if what is kept there is not an enrollment.
    pub fn new(
        tpm: Provisioned,
        host: Host,
        record: Arc<dyn Record>,
        kept: Kept,
        instance: Instance,
        clock: Clock,
    ) -> Result<(Self, HostTask), AttestHostError> {
        let registration = Registration::load(&kept.enrollment)?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let node = match host.grade {
            Grade::Contained => Node::contained(own_name(&tpm)),
            Grade::Hardware | Grade::Simulated => Node::new(registration.as_ref()),
        };
        let (node_sender, node) = watch::channel(node);
        let (node_sender, demanded) = (Arc::new(node_sender), Arc::new(Notify::new()));
        let watcher = Watcher {
            node: Arc::clone(&node_sender),
            tpm: tpm.clone(),
            instance,
            demanded: Arc::clone(&demanded),
            clock: clock.clone(),
        };
        let job = Job {
            tpm: tpm.clone(),
            host,
            record,
            kept,
            registration,
            renewal: Renewal::starting(clock.now()),
            source: clock.told().source,
            clock,
            requests: receiver,
            node: node_sender,
            demanded,
        };
        let task = HostTask { job, watcher };
        let handle = Self {
            requests: sender,
            node,
            tpm,
        };
        Ok((handle, task))
    }

    /// The node, as it changes.
    pub fn node(&self) -> watch::Receiver<Node> {
        self.node.clone()
    }

    /// Enrolls with an attestor and attests.
    ///
    /// # Errors
    /// [`AttestHostError`]; the enrollment is kept even if the first attestation fails.
    pub async fn enroll(
        &self,
        url: AttestorUrl,
        trust: Trust,
    ) -> Result<NodeStatus, AttestHostError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Enroll { url, trust, reply }, answer)
            .await
    }

    /// Attests now.
    ///
    /// # Errors
    /// [`AttestHostError`] if it does not succeed.
    pub async fn attest(&self) -> Result<NodeStatus, AttestHostError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Request::Attest { reply }, answer).await
    }

    /// The node's identity for mTLS, while it has one.
    pub fn identity(&self) -> Option<NodeIdentity> {
        let node = self.node.borrow();
        let svid = node.svid.as_ref()?;
        Some(NodeIdentity::new(
            svid.chain.clone(),
            self.tpm.clone(),
            svid.key.clone(),
        ))
    }

    async fn ask(
        &self,
        request: Request,
        answer: oneshot::Receiver<Result<NodeStatus, AttestHostError>>,
    ) -> Result<NodeStatus, AttestHostError> {
        self.requests
            .send(request)
            .await
            .map_err(|_| AttestHostError::Stopping)?;
        answer.await.map_err(|_| AttestHostError::Stopping)?
    }
}

/// What a contained broker's sessions are named below: of its TPM's attestation key, so that it stays the same.
fn own_name(tpm: &Provisioned) -> HostId {
    let name = tpm.state().attestation_key.name();
    // Two bytes name the digest's algorithm.
    let digest = name.as_bytes().get(2..).unwrap_or_default();
    HostId::from_random(digest.first_chunk().copied().unwrap_or_default())
}
