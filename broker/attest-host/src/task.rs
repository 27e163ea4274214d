//! The shell of this job: it owns the enrollment and the node SVID, and acts when [`crate::state`]
//! says that it is due.
//!
//! One owner, one loop. A new SVID is recorded before anybody may use it.

mod outcome;

use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::audit::What;
use holdfast_protocol::clock::{Clock, Source};
use holdfast_protocol::evidence::ImaEnd;
use holdfast_protocol::grade::Grade;
use holdfast_protocol::management::NodeStatus;
use holdfast_protocol::record::Record;
use holdfast_protocol::words::with_causes;
use holdfast_tpm::Provisioned;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::attest::{Attested, attest};
use crate::clock::jitter;
use crate::enroll::{Trust, enroll};
use crate::error::AttestHostError;
use crate::handle::{Kept, Request};
use crate::host::Host;
use crate::node::Node;
use crate::pcrs::PcrWatch;
use crate::registration::Registration;
use crate::state::{Event, Renewal};
use crate::url::AttestorUrl;
use crate::wake::{Jump, Wake, jumped};
use crate::watch::Watcher;

/// The longest sleep: where the kernel does not tell of time that jumped, it is noticed this late.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The job itself; the daemon runs it.
pub struct HostTask {
    pub(crate) job: Job,
    pub(crate) watcher: Watcher,
}

/// Enrolls and attests.
pub(crate) struct Job {
    pub(crate) tpm: Provisioned,
    pub(crate) host: Host,
    pub(crate) record: Arc<dyn Record>,
    pub(crate) kept: Kept,
    pub(crate) clock: Clock,
    /// Whose the time was that was told last.
    pub(crate) source: Source,
    pub(crate) registration: Option<Registration>,
    pub(crate) renewal: Renewal,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) node: Arc<watch::Sender<Node>>,
    /// Told when an attestation is wanted at once.
    pub(crate) demanded: Arc<Notify>,
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
            self.look_at_the_clock();
            self.look_at_the_end();
            let due = self.renewal.due().since(self.clock.now()).min(self.left());
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
                    if self.renewal.due() > self.clock.now() {
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
        self.after(Event::Demanded);
    }

    fn after(&mut self, event: Event) {
        let (now, jitter) = (self.clock.now(), jitter(&self.clock));
        self.renewal = self.renewal.clone().after(event, now, jitter);
    }

    /// A clock that goes another way than the attestor's asks the attestor, once.
    fn look_at_the_clock(&mut self) {
        let source = self.clock.told().source;
        let before = std::mem::replace(&mut self.source, source);
        if source == before {
            return;
        }
        if !self.clock.is_proven() {
            // What is due was reckoned by another clock.
            self.demand();
        }
        match source {
            Source::Unsettled => {
                tracing::warn!(
                    "this host's clock has gone ahead by more than time has run; it attests anew"
                );
                self.demand();
            }
            Source::Lost | Source::Attestor => {
                tracing::warn!("this host's clock says what cannot be; see `holdfast status`")
            }
            Source::System => tracing::info!("this host's clock is right again"),
        }
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
            Jump::Set => {
                tracing::info!("the wall clock was set");
                if !self.clock.is_proven() {
                    self.demand();
                }
            }
        }
        self.node.send_modify(|_| {});
    }

    /// How long the SVID that is there may be used.
    fn left(&self) -> Duration {
        let node = self.node.borrow();
        let end = node.svid.as_ref().and(node.standing.ends());
        end.map_or(Duration::MAX, |end| end.since(self.clock.now()))
    }

    /// Takes away an SVID that has ended.
    fn look_at_the_end(&self) {
        self.node.send_if_modified(|node| {
            let hold = node
                .standing
                .hold(self.clock.now())
                .filter(|_| node.svid.is_some());
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
        if self.host.grade == Grade::Contained {
            return Err(AttestHostError::Contained);
        }
        let registration = enroll(&self.tpm, &self.host, &url, trust, &self.clock).await?;
        self.record
            .record(What::HostEnrolled {
                attestor: url.to_string(),
                host: registration.host,
            })
            .await?;
        registration.store(&self.kept.enrollment)?;
        tracing::info!(attestor = %url, host = %registration.host, "enrolled");
        self.node.send_modify(|node| node.enrolled(&registration));
        self.registration = Some(registration);
        self.renewal = Renewal::starting(self.clock.now());
        self.renew().await
    }

    async fn renew(&mut self) -> Result<NodeStatus, AttestHostError> {
        if self.host.grade == Grade::Contained {
            return Err(AttestHostError::Contained);
        }
        let registration = self
            .registration
            .clone()
            .ok_or(AttestHostError::NotEnrolled)?;
        let begun = self.node.borrow().standing.begin();
        let attested = attest(&self.tpm, &self.host, &registration, &self.clock).await;
        let outcome = match attested {
            Ok(Attested { svid, stated, end }) => {
                let adopted = self.adopt(&registration, svid, stated, begun).await;
                if end == ImaEnd::Cut && adopted.is_ok() {
                    self.after(Event::Unfinished);
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
}
