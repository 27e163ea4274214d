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
use holdfast_protocol::orders::Instance;
use holdfast_protocol::record::Record;
use holdfast_protocol::words::with_causes;
use holdfast_tpm::Provisioned;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::attest::{NodeSvid, attest, pem};
use crate::enroll::{Trust, enroll};
use crate::error::AttestHostError;
use crate::node::Node;
use crate::node_key::NodeIdentity;
use crate::pcrs::PcrWatch;
use crate::registration::Registration;
use crate::standing::Begun;
use crate::state::{Event, Jitter, Renewal};
use crate::url::AttestorUrl;
use crate::wake::{Jump, Wake};
use crate::watch::Watcher;

/// The largest event log that is sent; firmware's are some tens of kilobytes.
const MAX_EVENT_LOG: usize = 1 << 20;

/// How much of it is read at a time.
const PAGE: usize = 64 * 1024;

/// The longest sleep: where the kernel does not tell of time that jumped, it is noticed this late.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

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
    /// How often the quoted PCRs are looked at: one TPM command for every 8 of them.
    pub pcr_interval: Duration,
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
    job: Job,
    watcher: Watcher,
}

/// Enrolls and attests.
struct Job {
    tpm: Provisioned,
    host: Host,
    record: Arc<dyn Record>,
    path: PathBuf,
    registration: Option<Registration>,
    renewal: Renewal,
    requests: mpsc::Receiver<Request>,
    node: Arc<watch::Sender<Node>>,
    demanded: Arc<Notify>,
}

impl AttestHost {
    /// Sets the job up with the enrollment that is kept at `path`, if any. `instance` is this run's own: random bits.
    ///
    /// # Errors
    /// [`AttestHostError::Registration`] if what is kept there is not an enrollment.
    pub fn new(
        tpm: Provisioned,
        host: Host,
        record: Arc<dyn Record>,
        path: PathBuf,
        instance: Instance,
    ) -> Result<(Self, HostTask), AttestHostError> {
        let registration = Registration::load(&path)?;
        let (sender, receiver) = mpsc::channel(WAITING);
        let (node_sender, node) = watch::channel(Node::new(registration.as_ref()));
        let (node_sender, demanded) = (Arc::new(node_sender), Arc::new(Notify::new()));
        let watcher = Watcher {
            node: Arc::clone(&node_sender),
            tpm: tpm.clone(),
            instance,
            demanded: Arc::clone(&demanded),
        };
        let job = Job {
            tpm: tpm.clone(),
            host,
            record,
            path,
            registration,
            renewal: Renewal::starting(now()),
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

impl HostTask {
    /// Keeps the node SVID fresh, and obeys the attestor, until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let Self { job, watcher } = self;
        tokio::join!(job.run(stop.clone()), watcher.run(stop));
    }
}

impl Job {
    async fn run(mut self, stop: CancellationToken) {
        let mut wake = Wake::new()
            .inspect_err(|error| tracing::warn!(%error, "waking from sleep is noticed late"))
            .ok();
        let mut pcrs = PcrWatch::new(self.tpm.clone(), self.host.pcr_interval);
        loop {
            self.look_at_the_end();
            let due = self.renewal.due().since(now()).min(self.left());
            let due = due.min(LONGEST_SLEEP);
            let quoted = self
                .node
                .borrow()
                .svid
                .as_ref()
                .map(|svid| svid.quoted.clone());
            tokio::select! {
                () = stop.cancelled() => return,
                request = self.requests.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => return,
                },
                jump = jumped(&mut wake) => self.time_jumped(jump),
                () = pcrs.changed(&quoted) => {
                    tracing::info!("a PCR has changed since it was quoted; this host attests anew");
                    self.demand();
                }
                () = self.demanded.notified() => self.demand(),
                () = tokio::time::sleep(due), if self.registration.is_some() => {
                    if self.renewal.due() > now() {
                        continue;
                    }
                    if let Err(error) = self.renew().await {
                        tracing::warn!(error = with_causes(&error), "this host could not be attested");
                    }
                }
            }
        }
    }

    fn demand(&mut self) {
        self.renewal = self.renewal.clone().after(Event::Demanded, now(), jitter());
    }

    /// A machine that slept may be another when it wakes; and whoever waits for a time looks at the clock again.
    fn time_jumped(&mut self, jump: Jump) {
        match jump {
            Jump::Slept(slept) => {
                tracing::info!(
                    seconds = slept.as_secs(),
                    "this host has slept; it attests anew"
                );
                self.demand();
            }
            Jump::Set => tracing::info!("the wall clock was set"),
        }
        self.node.send_modify(|_| {});
    }

    /// How long the SVID that is there may be used.
    fn left(&self) -> Duration {
        let node = self.node.borrow();
        let end = node.svid.as_ref().and(node.standing.ends());
        end.map_or(Duration::MAX, |end| end.since(now()))
    }

    /// Takes away an SVID that has ended.
    fn look_at_the_end(&self) {
        self.node.send_if_modified(|node| {
            let hold = node.standing.hold(now()).filter(|_| node.svid.is_some());
            if let Some(hold) = &hold {
                tracing::warn!(why = %hold, "this host may do nothing");
                node.withhold(&hold.to_string());
            }
            hold.is_some()
        });
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
        self.node.send_modify(|node| node.enrolled(&registration));
        self.registration = Some(registration);
        self.renewal = Renewal::starting(now());
        self.renew().await
    }

    async fn renew(&mut self) -> Result<NodeStatus, AttestHostError> {
        let registration = self
            .registration
            .clone()
            .ok_or(AttestHostError::NotEnrolled)?;
        let begun = self.node.borrow().standing.begin();
        let outcome = match attest(&self.tpm, &self.host, &registration).await {
            Ok((svid, end)) => {
                let adopted = self.adopt(&registration, svid, begun).await;
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
            self.fail(error).await;
        }
        outcome
    }

    async fn adopt(
        &mut self,
        registration: &Registration,
        node: NodeSvid,
        begun: Begun,
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
        let (not_after, serial) = (svid.not_after, svid.serial.clone());
        let state = NodeState::Attested(status.clone());
        let mut adopted = Ok(());
        self.node.send_modify(|published| {
            adopted = published.standing.attested(begun, not_after);
            if adopted.is_ok() {
                published.state = state;
                published.svid = Some(Arc::new(node));
            }
        });
        adopted?;
        tracing::info!(spiffe_id = %status.spiffe_id, serial, "attested");
        Ok(status)
    }

    async fn fail(&mut self, error: &AttestHostError) {
        self.renewal = self.renewal.clone().after(Event::Failed, now(), jitter());
        let why = with_causes(error);
        let recorded = self
            .record
            .record(What::HostNotAttested { why: why.clone() })
            .await;
        if let Err(error) = recorded {
            tracing::error!(%error, "a failed attestation is missing from the audit log");
        }
        self.node.send_if_modified(|node| {
            let hold = node.standing.hold(now());
            // What the attestor has ordered says more than that it refused.
            let told = hold.filter(|hold| !hold.is_ordered());
            if told.is_some() {
                node.withhold(&why);
            }
            told.is_some()
        });
    }
}

/// The next jump of time, if they can be noticed.
async fn jumped(wake: &mut Option<Wake>) -> Jump {
    if let Some(noticing) = wake {
        match noticing.jumped().await {
            Ok(jump) => return jump,
            Err(error) => tracing::warn!(%error, "waking from sleep is noticed late"),
        }
    }
    *wake = None;
    std::future::pending().await
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Enough randomness to spread a fleet: the clock's nanoseconds.
pub(crate) fn jitter() -> Jitter {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.subsec_nanos());
    Jitter::from_random(nanos.wrapping_mul(2_654_435_769))
}
