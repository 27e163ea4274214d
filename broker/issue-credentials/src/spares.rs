//! Names of sessions that are signed ahead, with their keys, so that sessions start while the
//! authority is away (DESIGN §6).
//!
//! A spare is signed as a session's X.509-SVID is, only earlier, and is kept where those are: in
//! memory. Which there are, and whose they become, is [`state`]'s to say; this module has them
//! signed. It must never hand one to two sessions, nor keep one that its host may not have.

mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::Fuse;
use holdfast_protocol::Timestamp;
use holdfast_protocol::clock::Clock;
use holdfast_protocol::id::AgentKind;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::bundles::Bundles;
use crate::material::X509Svid;
use crate::state::Refusal;
use crate::task::issuer::Failure;
use crate::task::{Issuer, SessionIdentity};
pub(crate) use state::Order;
pub use state::{Footing, InvalidPlan, MAX_EACH, MAX_KINDS, NodeCertificate, Plan, Taken};
use state::{Pool, Ready};

/// The longest sleep: the wall clock may be set, or the machine suspended, behind our back.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// A session's name that was signed ahead, with its key: for one session.
pub struct Spare {
    pub(crate) identity: SessionIdentity,
    pub(crate) svid: X509Svid,
    pub(crate) signed_at: Timestamp,
    /// What vouched for it when it was asked for.
    pub(crate) bundles: Arc<Bundles>,
}

impl Spare {
    /// Whose it will be.
    pub fn identity(&self) -> &SessionIdentity {
        &self.identity
    }
}

impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spare")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// The spares of this host. Clones are the same.
#[derive(Clone)]
pub struct Spares {
    pool: Arc<watch::Sender<Pool<Spare>>>,
    clock: Clock,
}

impl Spares {
    /// None yet. They are withheld until [`give_leave`](Self::give_leave).
    pub fn new(plan: Plan, clock: Clock) -> Self {
        Self {
            pool: Arc::new(watch::Sender::new(Pool::new(plan))),
            clock,
        }
    }

    /// A session of this kind starts on a host that stands so: its spare, if there is one. Whatever
    /// becomes of that session, nobody gets that spare again.
    pub fn take(&self, kind: &AgentKind, footing: &Footing) -> Taken<Spare> {
        let mut taken = Taken::None;
        let now = self.clock.now();
        self.pool
            .send_modify(|pool| taken = pool.take(kind, footing, now));
        taken
    }

    /// The host may do nothing: every spare is dropped and zeroized, and none is taken in.
    pub fn withhold(&self) {
        self.pool.send_modify(Pool::withhold);
    }

    /// The host may act: spares are signed again.
    pub fn give_leave(&self) {
        self.pool.send_modify(Pool::give_leave);
    }

    /// How many sessions of each kind could start now without the authority.
    pub fn ready(&self) -> Vec<(AgentKind, usize)> {
        self.pool.borrow().ready(self.clock.now())
    }

    /// Has spares signed by `issuer` whenever some are missing, and anew with each certificate of the
    /// node's, until `stop`.
    pub async fn keep(
        self,
        issuer: Issuer,
        mut node: watch::Receiver<Option<NodeCertificate>>,
        stop: CancellationToken,
    ) {
        let mut changes = self.pool.subscribe();
        let mut bundles = issuer.bundles();
        node.mark_changed();
        let signing = Fuse::terminated();
        tokio::pin!(signing);
        loop {
            let (order, sleep) = self.advance();
            if let Some(order) = order {
                let issuer = issuer.clone();
                let sign = async move {
                    let signed = issuer.ahead(&order).await;
                    (order, signed)
                };
                signing.set(sign.fuse());
            }
            tokio::select! {
                () = stop.cancelled() => return,
                (order, signed) = &mut signing => self.signed(&order, signed, &bundles),
                // A node or an authority that went away leaves what it said last.
                Ok(()) = node.changed() => {
                    let certificate = node.borrow_and_update().clone();
                    self.pool.send_modify(|pool| pool.certified(certificate));
                }
                Ok(()) = bundles.changed() => {
                    let vouches = bundles.borrow_and_update().clone();
                    self.pool.send_modify(|pool| {
                        pool.keep_if(|spare| vouches.own().still_has_all_of(spare.bundles.own()));
                    });
                }
                Ok(()) = changes.changed() => {}
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Drops what is over; gives what is to be signed now, and how long nothing else will be.
    fn advance(&self) -> (Option<Order>, Duration) {
        let now = self.clock.now();
        let mut order = None;
        let mut wake = None;
        // Nobody waits for what changes here.
        self.pool.send_if_modified(|pool| {
            order = pool.poll(now);
            wake = pool.wake_at(now);
            false
        });
        let sleep = wake.map_or(LONGEST_SLEEP, |at| at.since(now).min(LONGEST_SLEEP));
        (order, sleep)
    }

    fn signed(
        &self,
        order: &Order,
        signed: Result<Vec<(AgentKind, Spare)>, Failure>,
        bundles: &watch::Receiver<Arc<Bundles>>,
    ) {
        let signed = signed.map_err(|failure| {
            let refusal = failure.meaning();
            let error: &(dyn std::error::Error + 'static) = &failure;
            match refusal {
                Refusal::NoIdentity => warn!(error, "the authority signs no names ahead"),
                Refusal::Offline | Refusal::Unavailable | Refusal::Busy => {
                    debug!(error, "no names were signed ahead");
                }
            }
            refusal
        });
        let vouches = bundles.borrow().clone();
        let signed = signed.map(|spares| {
            let ready = spares.into_iter().map(|(kind, spare)| Ready {
                kind,
                not_after: spare.svid.not_after(),
                credential: spare,
            });
            // An authority may have left the bundle while it was asked to sign.
            ready
                .filter(|ready| {
                    vouches
                        .own()
                        .still_has_all_of(ready.credential.bundles.own())
                })
                .collect()
        });
        let now = self.clock.now();
        self.pool
            .send_modify(|pool| pool.signed(order, signed, now));
    }
}
