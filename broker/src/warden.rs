//! What this host's standing means for its sessions: frozen at once when it may act no more (DESIGN §7, revocation).
//!
//! First everything is refused, then what is held is let go of, then sessions freeze, then leases die in the TPM. A freeze
//! waits for no record: it lets nothing leave. It must never let a session go on that somebody has stopped.

mod state;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use holdfast_attest_host::{Hold, Node};
use holdfast_authorize_calls::task::Authorizer;
use holdfast_issue_credentials::spares::Spares;
use holdfast_issue_credentials::vault::{Outstanding, Vaults};
use holdfast_launch_agents::state::Phase;
use holdfast_launch_agents::task::Sessions;
use holdfast_protocol::audit::{HeldOutcome, What};
use holdfast_protocol::clock::Clock;
use holdfast_protocol::decision::Reason;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::leave::Leave;
use holdfast_protocol::record::Record;
use holdfast_protocol::words::with_causes;
use holdfast_tpm::{CounterRole, Provisioned};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::state::{Act, Warden};
use crate::sessions::Live;

/// The longest sleep: the wall clock may be set, or the machine suspended, behind our back.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// How long a TPM is left alone that did not end its epoch.
const PAUSE: Duration = Duration::from_secs(5);

/// Whether the host may act, as the deciding job asks: by the present moment, whatever the warden has done yet.
pub struct NodeLeave(pub watch::Receiver<Node>, pub Clock);

impl Leave for NodeLeave {
    fn withheld(&self) -> Option<Reason> {
        let hold = self.0.borrow().hold(self.1.now())?;
        let rule = match hold {
            Hold::Banned { .. } | Hold::Unbanned => "host/banned",
            Hold::Revoked { .. } => "host/revoked",
            Hold::GraceOver { .. } => "host/grace-over",
            Hold::NotAttested => "host/not-attested",
        };
        Some(Reason::new(
            rule,
            format!("this host may do nothing: {hold}"),
        ))
    }
}

/// Whether sessions may begin: the warden has given leave for everything that they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acting {
    /// They may not.
    No,
    /// They may.
    Yes,
}

/// Whom the warden stops.
pub struct Charges {
    /// Job 2, where there is a launcher.
    pub sessions: Option<Sessions>,
    /// Job 3: the sessions' identities.
    pub live: Live,
    /// Job 3: the names that were signed ahead.
    pub spares: Spares,
    /// Job 3: the humans' secrets.
    pub vaults: Vaults,
    /// Job 4.
    pub authorizer: Authorizer,
    /// The TPM whose leases die.
    pub tpm: Provisioned,
    /// Job 5.
    pub record: Arc<dyn Record>,
    /// By which a certificate ends.
    pub clock: Clock,
}

/// The warden's task.
pub struct WardenTask {
    node: watch::Receiver<Node>,
    charges: Charges,
    state: Warden,
    held: Vec<(SessionId, HeldOutcome)>,
    outstanding: Outstanding,
    epoch: Epoch,
    acting: watch::Sender<Acting>,
}

/// Whether the TPM's epoch still has to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Epoch {
    Goes,
    Due,
}

impl WardenTask {
    /// A host that may not act yet; says from then on whether it may.
    pub fn new(node: watch::Receiver<Node>, charges: Charges) -> (Self, watch::Receiver<Acting>) {
        charges.live.suspend();
        charges.spares.withhold();
        let outstanding = charges.vaults.withhold();
        let (acting, seen) = watch::channel(Acting::No);
        let task = Self {
            node,
            charges,
            state: Warden::default(),
            held: Vec::new(),
            outstanding,
            epoch: Epoch::Goes,
            acting,
        };
        (task, seen)
    }

    /// Follows the host's standing until `stop`.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            let now = self.charges.clock.now();
            let (hold, ends) = {
                let node = self.node.borrow_and_update();
                (node.hold(now), node.ends())
            };
            for act in self.state.on_hold(hold.as_ref()) {
                self.act(act).await;
            }
            let mut sleep = LONGEST_SLEEP;
            let now = self.charges.clock.now();
            if let Some(end) = ends.filter(|end| now < *end) {
                sleep = sleep.min(end.since(now));
            }
            if self.epoch == Epoch::Due {
                self.end_epoch().await;
                sleep = PAUSE;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                changed = self.node.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    async fn act(&mut self, act: Act) {
        let Charges {
            live,
            spares,
            vaults,
            ..
        } = &self.charges;
        match act {
            Act::Withhold => {
                self.acting.send_replace(Acting::No);
                live.suspend();
                spares.withhold();
                self.outstanding = vaults.withhold();
            }
            Act::ForgetKeys => vaults.forget_keys(),
            Act::Freeze => self.freeze().await,
            Act::RecordHeld(because, why) => {
                self.record(What::HostHeld { because, why }).await;
                for (session, outcome) in std::mem::take(&mut self.held) {
                    self.record(What::SessionHeld { session, outcome }).await;
                }
            }
            // Where no lease was made since the last time there is nothing to kill, and the TPM's flash is spared.
            Act::EndEpoch => {
                if self.outstanding == Outstanding::Possible {
                    self.epoch = Epoch::Due;
                }
            }
            Act::RecordFreed => self.record(What::HostFreed).await,
            Act::GiveLeave => {
                vaults.give_leave();
                live.restore();
                spares.give_leave();
                self.acting.send_replace(Acting::Yes);
            }
            Act::Thaw(sessions) => self.thaw(sessions).await,
        }
    }

    /// Freezes all sessions side by side; then tells the deciding job, which denies what waits.
    async fn freeze(&mut self) {
        let Some(sessions) = &self.charges.sessions else {
            return;
        };
        let mut freezing = JoinSet::new();
        for (id, session) in sessions.list() {
            if let Phase::Running(_) = session.phase {
                let sessions = sessions.clone();
                freezing.spawn(async move { (id, sessions.freeze(id).await) });
            }
        }
        while let Some(frozen) = freezing.join_next().await {
            let Ok((id, frozen)) = frozen else { continue };
            let outcome = match frozen {
                Ok(()) => HeldOutcome::Frozen,
                Err(error) => {
                    tracing::error!(session = %id, error = with_causes(&error), "a session was not frozen");
                    HeldOutcome::Killed
                }
            };
            self.state.on_frozen(id);
            self.held.push((id, outcome));
        }
        for (id, _) in &self.held {
            self.charges.authorizer.session_gone(*id).await;
        }
        tracing::warn!(sessions = self.held.len(), "every session was frozen");
    }

    async fn thaw(&self, frozen: BTreeSet<SessionId>) {
        let Some(sessions) = &self.charges.sessions else {
            return;
        };
        for session in frozen {
            self.record(What::SessionFreed { session }).await;
            if let Err(error) = sessions.resume(session) {
                // It ended meanwhile, or its human let it go on.
                tracing::debug!(%session, %error, "a session was not there to go on");
            }
        }
    }

    /// One increment for all that was ordered until now.
    async fn end_epoch(&mut self) {
        match self.charges.tpm.increment(CounterRole::Epoch).await {
            Ok(epoch) => {
                self.epoch = Epoch::Goes;
                self.charges.vaults.epoch_over();
                tracing::warn!(epoch, "leases made before are dead in the TPM");
                self.record(What::EpochAdvanced { epoch }).await;
            }
            Err(error) => tracing::error!(
                error = with_causes(&error),
                "the TPM's epoch did not end; it is tried again"
            ),
        }
    }

    async fn record(&self, what: What) {
        if let Err(error) = self.charges.record.record(what).await {
            tracing::error!(%error, "what stopped this host is missing from the audit log");
        }
    }
}
