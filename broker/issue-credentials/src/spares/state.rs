//! The pure core: how many spares of which kind there are to be, which are there, whose one becomes.
//!
//! A spare counts only for the host that it was signed for, as long as nobody has stopped that host
//! since: what was signed before a ban is nothing after it. No I/O, clock or randomness here. This
//! module must never give one spare twice, nor one that is over, withheld, or another host's.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::{AgentKind, HostId, TrustDomain};
use holdfast_protocol::wire::MAX_SVIDS;

use crate::state::Refusal;
use crate::state::work::Work;

/// The most spares of one kind.
pub const MAX_EACH: usize = 16;

/// The most kinds that have spares at all times, and the most that have them because they were
/// launched lately.
pub const MAX_KINDS: usize = 4;

/// For how long a kind that was launched has spares.
const LATELY: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many spares there are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    each: usize,
    always: BTreeSet<AgentKind>,
}

/// A plan is larger than it may be; whoever configured it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPlan {
    /// Too many of a kind.
    #[error("there may be {MAX_EACH} spares of a kind at most")]
    Each,
    /// Too many kinds.
    #[error("spares may be kept of {MAX_KINDS} kinds at most")]
    Kinds,
}

impl Plan {
    /// `each` of every kind that was launched lately, and of `always`; 0 keeps none.
    ///
    /// # Errors
    /// [`InvalidPlan`] if that is more than [`MAX_EACH`] or [`MAX_KINDS`].
    pub fn new(
        each: usize,
        always: impl IntoIterator<Item = AgentKind>,
    ) -> Result<Self, InvalidPlan> {
        let always: BTreeSet<_> = always.into_iter().collect();
        if each > MAX_EACH {
            return Err(InvalidPlan::Each);
        }
        if always.len() > MAX_KINDS {
            return Err(InvalidPlan::Kinds);
        }
        Ok(Self { each, always })
    }
}

/// Where a host stands: another host, or one that was stopped since, stands elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footing {
    /// Its trust domain.
    pub trust_domain: TrustDomain,
    /// Its identity.
    pub host: HostId,
    /// How often it was stopped until now.
    pub stops: u64,
}

/// The node SVID under which spares are signed, and which they do not outlive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCertificate {
    /// Where the host stands.
    pub footing: Footing,
    /// The certificate's serial number.
    pub serial: String,
}

/// What there is for a session that starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken<C> {
    /// This one, for this session alone.
    Spare(C),
    /// None is ready.
    None,
    /// None is left, and the authority was not reached when others were last asked for.
    Offline,
}

/// What the shell has to have signed, then calls [`Pool::signed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Under which certificate.
    pub(crate) node: NodeCertificate,
    /// A kind for each name, [`MAX_SVIDS`] at most.
    pub(crate) kinds: Vec<AgentKind>,
}

/// A spare that was just signed.
#[derive(Clone, Debug)]
pub(crate) struct Ready<C> {
    pub(crate) kind: AgentKind,
    pub(crate) not_after: Timestamp,
    pub(crate) credential: C,
}

/// The spares of one host.
#[derive(Debug)]
pub(crate) struct Pool<C> {
    plan: Plan,
    launched: BTreeMap<AgentKind, Timestamp>,
    held: Vec<Held<C>>,
    leave: Leave,
    node: Option<NodeCertificate>,
    signing: Work,
    /// What came of the last order.
    last: Result<(), Refusal>,
}

#[derive(Debug)]
struct Held<C> {
    ready: Ready<C>,
    node: NodeCertificate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    Given,
    Withheld,
}

impl<C> Pool<C> {
    /// None, and withheld.
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan,
            launched: BTreeMap::new(),
            held: Vec::new(),
            leave: Leave::Withheld,
            node: None,
            signing: Work::new(),
            last: Ok(()),
        }
    }

    /// A session of this kind starts on a host that stands so.
    pub(crate) fn take(&mut self, kind: &AgentKind, footing: &Footing, now: Timestamp) -> Taken<C> {
        if self.plan.each == 0 {
            return Taken::None;
        }
        self.note(kind, now);
        let fits = |held: &Held<C>| {
            held.ready.kind == *kind && held.node.footing == *footing && now < held.ready.not_after
        };
        let best = (self.held.iter().enumerate())
            .filter(|(_, held)| fits(held))
            .max_by_key(|(_, held)| held.ready.not_after)
            .map(|(at, _)| at);
        match best {
            Some(at) => Taken::Spare(self.held.swap_remove(at).ready.credential),
            None if self.last == Err(Refusal::Offline) => Taken::Offline,
            None => Taken::None,
        }
    }

    /// The host may do nothing: there are none, and none come in.
    pub(crate) fn withhold(&mut self) {
        self.leave = Leave::Withheld;
        self.held.clear();
    }

    /// The host may act.
    pub(crate) fn give_leave(&mut self) {
        self.leave = Leave::Given;
    }

    /// The node's certificate, as it is now. With each new one all spares are signed anew; until
    /// then the old ones serve, if the host stands where it stood.
    pub(crate) fn certified(&mut self, node: Option<NodeCertificate>) {
        if let Some(node) = &node {
            self.held.retain(|held| held.node.footing == node.footing);
        }
        if node != self.node && !self.signing.is_busy() {
            // The authority has just answered the host: it is asked without a pause.
            self.signing = Work::new();
            self.last = Ok(());
        }
        self.node = node;
    }

    /// Drops the spares that are not to be kept.
    pub(crate) fn keep_if(&mut self, keep: impl Fn(&C) -> bool) {
        self.held.retain(|held| keep(&held.ready.credential));
    }

    /// Drops what is over; names what is to be signed now.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<Order> {
        let wanted = self.wanted(now);
        self.held
            .retain(|held| now < held.ready.not_after && wanted.contains(&held.ready.kind));
        let node = self.node.clone()?;
        if self.leave == Leave::Withheld || !self.signing.may_start(now) {
            return None;
        }
        let missing = wanted.into_iter().flat_map(|kind| {
            let fresh = |held: &&Held<C>| held.ready.kind == kind && held.node == node;
            let there = self.held.iter().filter(fresh).count();
            std::iter::repeat_n(kind.clone(), self.plan.each.saturating_sub(there))
        });
        let kinds: Vec<_> = missing.take(MAX_SVIDS).collect();
        if kinds.is_empty() {
            return None;
        }
        self.signing.start();
        Some(Order { node, kinds })
    }

    /// When [`poll`](Self::poll) has to be called again if nothing happens before.
    pub(crate) fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        (self.held.iter().map(|held| held.ready.not_after))
            .chain(self.signing.paused_until())
            .filter(|&at| now < at)
            .min()
    }

    /// What came of an order.
    pub(crate) fn signed(
        &mut self,
        order: &Order,
        result: Result<Vec<Ready<C>>, Refusal>,
        now: Timestamp,
    ) {
        let valid = |ready: Vec<Ready<C>>| {
            let valid = ready.into_iter().filter(|ready| now < ready.not_after);
            let valid: Vec<_> = valid.collect();
            // An authority whose clock is far behind is not asked without end.
            if valid.is_empty() {
                return Err(Refusal::Unavailable);
            }
            Ok(valid)
        };
        let result = result.and_then(valid);
        self.last = result.as_ref().map(|_| ()).map_err(|why| *why);
        match result {
            Ok(ready) => {
                self.signing.succeeded();
                let stands =
                    (self.node.as_ref()).is_some_and(|node| node.footing == order.node.footing);
                if self.leave == Leave::Given && stands {
                    let node = &order.node;
                    self.held.extend(ready.into_iter().map(|ready| Held {
                        ready,
                        node: node.clone(),
                    }));
                    self.trim();
                }
            }
            Err(why) => {
                self.signing.failed(why, now);
                // Who is refused names must not go on with what is left of them.
                if why == Refusal::NoIdentity {
                    self.held.clear();
                }
            }
        }
    }

    /// How many of each wanted kind there are.
    pub(crate) fn ready(&self, now: Timestamp) -> Vec<(AgentKind, usize)> {
        let count = |kind: &AgentKind| {
            let there = |held: &&Held<C>| held.ready.kind == *kind && now < held.ready.not_after;
            self.held.iter().filter(there).count()
        };
        let wanted = self.wanted(now).into_iter();
        wanted.map(|kind| (kind.clone(), count(&kind))).collect()
    }

    fn wanted(&self, now: Timestamp) -> BTreeSet<AgentKind> {
        if self.plan.each == 0 {
            return BTreeSet::new();
        }
        let lately = self.launched.iter().filter(|(_, at)| now < **at + LATELY);
        let lately = lately.map(|(kind, _)| kind);
        self.plan.always.iter().chain(lately).cloned().collect()
    }

    /// Remembers that a kind was launched; the one that was so least lately makes room.
    fn note(&mut self, kind: &AgentKind, now: Timestamp) {
        if self.plan.always.contains(kind) {
            return;
        }
        self.launched.insert(kind.clone(), now);
        if self.launched.len() > MAX_KINDS {
            let oldest = self.launched.iter().min_by_key(|(_, at)| **at);
            if let Some(oldest) = oldest.map(|(kind, _)| kind.clone()) {
                self.launched.remove(&oldest);
            }
        }
    }

    /// Keeps the planned number of each kind: those of the present certificate first, then those that live longest.
    fn trim(&mut self) {
        let node = self.node.as_ref();
        self.held.sort_by_key(|held| {
            let stale = Some(&held.node) != node;
            (stale, Reverse(held.ready.not_after))
        });
        let mut kept: BTreeMap<AgentKind, usize> = BTreeMap::new();
        self.held.retain(|held| {
            let count = kept.entry(held.ready.kind.clone()).or_default();
            *count += 1;
            *count <= self.plan.each
        });
    }
}

#[cfg(test)]
mod tests;
