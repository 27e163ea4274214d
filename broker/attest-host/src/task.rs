//! The shell of this job: it owns the enrollment and the node SVID, and acts when [`crate::state`]
//! says that it is due.
//!
//! One owner, one loop. A new SVID is recorded before anybody may use it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_protocol::Timestamp;
use holdfast_protocol::audit::What;
use holdfast_protocol::evidence::ImaEnd;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::management::{NodeState, NodeStatus};
use holdfast_protocol::record::Record;
use holdfast_protocol::words::with_causes;
use holdfast_tpm::Provisioned;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::attest::{NodeSvid, attest, pem};
use crate::enroll::{Trust, enroll};
use crate::error::AttestHostError;
use crate::node_key::NodeIdentity;
use crate::registration::Registration;
use crate::state::{Event, Jitter, Renewal};
use crate::url::AttestorUrl;

/// The largest event log that is sent; firmware's are some tens of kilobytes.
const MAX_EVENT_LOG: usize = 1 << 20;

/// How much of it is read at a time.
const PAGE: usize = 64 * 1024;

/// Requests that may wait: each is a person or a script, and the job does one at a time.
const WAITING: usize = 8;

/// What this host says of itself.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name, for the operator's eyes.
    pub name: String,
    /// What kind of installation it is.
    pub grade: Grade,
    /// The firmware's event log, open for reading; `None` where there is none.
    pub event_log: Option<Arc<File>>,
    /// The kernel's measurement list, open for reading; `None` where there is none.
    pub ima_list: Option<Arc<File>>,
}

impl Host {
    /// The event log as it stands; empty where there is none.
    pub(crate) fn event_log(&self) -> std::io::Result<Vec<u8>> {
        let Some(file) = &self.event_log else {
            return Ok(Vec::new());
        };
        let mut log = Vec::new();
        let mut page = vec![0; PAGE];
        loop {
            // By position: the kernel's file is read anew for every attestation.
            let read = file.read_at(&mut page, log.len() as u64)?;
            let bytes = page.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(log);
            }
            log.extend_from_slice(bytes);
            if log.len() > MAX_EVENT_LOG {
                return Err(std::io::Error::other(
                    "the event log is larger than any firmware's",
                ));
            }
        }
    }
}

/// What others may know of the node: its state, and its SVID while it is current.
#[derive(Clone, Debug)]
pub struct Node {
    /// For people.
    pub state: NodeState,
    /// For connections to the attestor.
    pub svid: Option<Arc<NodeSvid>>,
}

/// A handle to this job.
#[derive(Clone, Debug)]
pub struct AttestHost {
    requests: mpsc::Sender<Request>,
    node: watch::Receiver<Node>,
    tpm: Provisioned,
}

#[derive(Debug)]
enum Request {
    Enroll {
        url: AttestorUrl,
        trust: Trust,
        reply: oneshot::Sender<Result<NodeStatus, AttestHostError>>,
    },
    Attest {
        reply: oneshot::Sender<Result<NodeStatus, AttestHostError>>,
    },
}

/// The job itself; the daemon runs it.
pub struct HostTask {
    tpm: Provisioned,
    host: Host,
    record: Arc<dyn Record>,
    path: PathBuf,
    registration: Option<Registration>,
    renewal: Renewal,
    requests: mpsc::Receiver<Request>,
    node: watch::Sender<Node>,
}

impl AttestHost {
    /// Sets the job up with the enrollment that is kept at `path`, if any.
    ///
    /// # Errors
    /// [`AttestHostError::Registration`] if what is kept there is not an enrollment.
    pub fn new(
        tpm: Provisioned,
        host: Host,
        record: Arc<dyn Record>,
        path: PathBuf,
    ) -> Result<(Self, HostTask), AttestHostError> {
        let registration = Registration::load(&path)?;
        let state = match &registration {
            None => NodeState::NotEnrolled,
            Some(registration) => NodeState::NotAttested {
                host: registration.host,
                why: "it has not attested since the broker started".to_owned(),
            },
        };
        let (sender, receiver) = mpsc::channel(WAITING);
        let (node_sender, node) = watch::channel(Node { state, svid: None });
        let task = HostTask {
            tpm: tpm.clone(),
            host,
            record,
            path,
            registration,
            renewal: Renewal::starting(now()),
            requests: receiver,
            node: node_sender,
        };
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

impl HostTask {
    /// Keeps the node SVID fresh until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let due = self.renewal.due().since(now());
            tokio::select! {
                () = stop.cancelled() => return,
                request = self.requests.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => return,
                },
                () = tokio::time::sleep(due), if self.registration.is_some() => {
                    if let Err(error) = self.renew().await {
                        tracing::warn!(error = with_causes(&error), "this host could not be attested");
                    }
                }
            }
        }
    }

    async fn serve(&mut self, request: Request) {
        // Whoever asked may have gone away; the job is done all the same.
        match request {
            Request::Enroll { url, trust, reply } => {
                let _ = reply.send(self.enroll(url, &trust).await);
            }
            Request::Attest { reply } => {
                let _ = reply.send(self.renew().await);
            }
        }
    }

    async fn enroll(
        &mut self,
        url: AttestorUrl,
        trust: &Trust,
    ) -> Result<NodeStatus, AttestHostError> {
        let registration = enroll(&self.tpm, &self.host, &url, trust).await?;
        self.record
            .record(What::HostEnrolled {
                attestor: url.to_string(),
                host: registration.host,
            })
            .await?;
        registration.store(&self.path)?;
        tracing::info!(attestor = %url, host = %registration.host, "enrolled");
        self.registration = Some(registration);
        self.renewal = Renewal::starting(now());
        self.renew().await
    }

    async fn renew(&mut self) -> Result<NodeStatus, AttestHostError> {
        let registration = self
            .registration
            .clone()
            .ok_or(AttestHostError::NotEnrolled)?;
        let outcome = match attest(&self.tpm, &self.host, &registration).await {
            Ok((svid, end)) => {
                let adopted = self.adopt(&registration, svid).await;
                if end == ImaEnd::Cut && adopted.is_ok() {
                    self.renewal = self
                        .renewal
                        .clone()
                        .after(Event::Unfinished, now(), jitter());
                }
                adopted
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &outcome {
            self.fail(&registration, error).await;
        }
        outcome
    }

    async fn adopt(
        &mut self,
        registration: &Registration,
        node: NodeSvid,
    ) -> Result<NodeStatus, AttestHostError> {
        let NodeSvid {
            svid,
            chain,
            authorities,
            ..
        } = &node;
        self.record
            .record(What::HostAttested {
                spiffe_id: svid.spiffe_id.clone(),
                serial: svid.serial.clone(),
                not_after: svid.not_after,
            })
            .await?;
        let event = Event::Attested {
            not_before: svid.not_before,
            not_after: svid.not_after,
        };
        self.renewal = self.renewal.clone().after(event, now(), jitter());
        let authorities_pem = pem(authorities);
        if authorities_pem != registration.authorities_pem {
            let renewed = Registration {
                authorities_pem: authorities_pem.clone(),
                ..registration.clone()
            };
            renewed.store(&self.path)?;
            self.registration = Some(renewed);
        }
        let status = NodeStatus {
            attestor: registration.attestor.to_string(),
            trust_domain: registration.trust_domain.clone(),
            spiffe_id: svid.spiffe_id.clone(),
            not_after: svid.not_after,
            renew_at: self.renewal.due(),
            chain_pem: pem(chain),
            authorities_pem,
        };
        tracing::info!(spiffe_id = %svid.spiffe_id, serial = svid.serial, "attested");
        self.node.send_replace(Node {
            state: NodeState::Attested(status.clone()),
            svid: Some(Arc::new(node)),
        });
        Ok(status)
    }

    async fn fail(&mut self, registration: &Registration, error: &AttestHostError) {
        self.renewal = self.renewal.clone().after(Event::Failed, now(), jitter());
        let why = with_causes(error);
        let recorded = self
            .record
            .record(What::HostNotAttested { why: why.clone() })
            .await;
        if let Err(error) = recorded {
            tracing::error!(%error, "a failed attestation is missing from the audit log");
        }
        if !self.renewal.is_fresh(now()) {
            self.node.send_replace(Node {
                state: NodeState::NotAttested {
                    host: registration.host,
                    why,
                },
                svid: None,
            });
        }
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Enough randomness to spread a fleet: the clock's nanoseconds.
fn jitter() -> Jitter {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    Jitter::from_random(nanos.wrapping_mul(2_654_435_769))
}
