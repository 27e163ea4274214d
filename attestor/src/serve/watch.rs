//! The stream to each host: its orders at once, again whenever they change, and as a heartbeat.
//!
//! What is sent is read from the store each time, so that a stream says what holds and not what happened. It must never
//! outlive the node SVID that opened it, and never tell one host of another.

mod streams;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, stream};
use holdfast_proof::hash::sha256;
use holdfast_protocol::id::HostId;
use holdfast_protocol::orders::{HostStanding, Instance, Orders};
use holdfast_protocol::wire::attestor::HostOrders;
use holdfast_protocol::words::with_causes;
use holdfast_protocol::{Sha256Digest, Timestamp};
use tokio::sync::watch;
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use self::streams::{StreamId, Streams};
use super::answer::failed;
use super::peer::NodePeer;
use super::{Shared, now};
use crate::config::Explain;
use crate::group::{GroupName, Policies};
use crate::registry::{Judged, Outcome, Standing, Verdict};
use crate::store::{Given, Ordered, Store};

/// How often a host hears that the stream lives. What it is told then is read anew, whatever was missed before.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// How long the store is left alone after its news could not be followed.
const PAUSE: Duration = Duration::from_secs(1);

/// What a host is sent.
pub(super) type Messages = Pin<Box<dyn Stream<Item = Result<HostOrders, Status>> + Send>>;

/// Names the policy of a group of which the configuration says nothing.
const NO_POLICY: Sha256Digest = Sha256Digest::new([0; 32]);

/// All streams that are open.
#[derive(Debug)]
pub(super) struct Watching {
    streams: Mutex<Streams<watch::Sender<()>>>,
    policies: BTreeMap<Option<GroupName>, Sha256Digest>,
    ended: CancellationToken,
}

impl Watching {
    /// None yet, of an attestor with these policies.
    pub(super) fn new(policies: &Policies) -> Self {
        let groups = policies.groups.iter();
        let groups = groups.map(|(name, policy)| (Some(name.clone()), policy.evidence.digest()));
        let rest = (None, policies.rest.evidence.digest());
        Self {
            streams: Mutex::default(),
            policies: groups.chain([rest]).collect(),
            ended: CancellationToken::new(),
        }
    }

    /// Ends every stream: the attestor stops, and the hosts are to come back.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    fn tell(&self, ordered: Ordered) {
        let streams = self.streams();
        let of = match ordered {
            Ordered::Host(host) => Some(host),
            Ordered::Any => None,
        };
        for tell in streams.of(of) {
            tell.send_replace(());
        }
    }

    fn streams(&self) -> MutexGuard<'_, Streams<watch::Sender<()>>> {
        // Every step under the lock is whole.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes the store's news on to the streams until `stop`.
pub(super) async fn follow<S: Store>(shared: Arc<Shared<S>>, stop: CancellationToken) {
    loop {
        let error = tokio::select! {
            () = stop.cancelled() => return,
            error = shared.store.follow_orders(|ordered| shared.watching.tell(ordered)) => error,
        };
        tracing::error!(
            error = with_causes(&error),
            "orders reach hosts by the heartbeat alone: the registry's news could not be followed"
        );
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Tells every host when the bundles of other trust domains have changed, until `stop`.
pub(super) async fn follow_bundles<S: Store>(shared: Arc<Shared<S>>, stop: CancellationToken) {
    let federation = &shared.settings.federation;
    let mut told = federation.digest();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = federation.changed(told) => {}
        }
        told = federation.digest();
        shared.watching.tell(Ordered::Any);
    }
}

/// Opens the stream of one broker.
pub(super) fn open<S: Store>(
    shared: Arc<Shared<S>>,
    peer: NodePeer,
    remote: SocketAddr,
    instance: Instance,
) -> Result<Messages, Status> {
    let (tell, told) = watch::channel(());
    let opened = shared
        .watching
        .streams()
        .open(peer.id, instance, remote, now(), tell);
    let id = opened.map_err(|error| Status::resource_exhausted(error.to_string()))?;
    tracing::info!(host = %peer.id, %remote, "a host listens");
    let open = Open {
        place: Place {
            shared,
            host: peer.id,
            id,
        },
        not_after: peer.not_after,
        told,
        beat: tokio::time::interval(HEARTBEAT),
        last: None,
    };
    Ok(Box::pin(stream::unfold(Some(open), async |open| {
        let mut open = open?;
        match open.next().await {
            Ok(message) => Some((Ok(message), Some(open))),
            Err(status) => Some((Err(status), None)),
        }
    })))
}

/// A stream's place among all; given back when it is dropped.
struct Place<S> {
    shared: Arc<Shared<S>>,
    host: HostId,
    id: StreamId,
}

impl<S> Drop for Place<S> {
    fn drop(&mut self) {
        self.shared.watching.streams().close(self.host, self.id);
    }
}

struct Open<S> {
    place: Place<S>,
    not_after: Timestamp,
    told: watch::Receiver<()>,
    beat: Interval,
    last: Option<Orders>,
}

/// Why a stream looks at the store.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// It is time: the first time at once.
    Beat,
    /// Something was ordered.
    Told,
}

impl<S: Store> Open<S> {
    async fn next(&mut self) -> Result<HostOrders, Status> {
        loop {
            let ended = self.place.shared.watching.ended.clone();
            let turn = tokio::select! {
                () = ended.cancelled() => {
                    return Err(Status::unavailable("the attestor is stopping; connect anew"));
                }
                told = self.told.changed() => match told {
                    Ok(()) => Turn::Told,
                    Err(_) => return Err(Status::aborted("a newer stream of the same broker took its place")),
                },
                _ = self.beat.tick() => Turn::Beat,
            };
            if now() >= self.not_after {
                return Err(Status::unauthenticated(
                    "the node SVID of this stream has ended; attest and connect anew",
                ));
            }
            let orders = self.read().await?;
            if turn == Turn::Beat {
                self.look_for_twins().await?;
            } else if self.last.as_ref() == Some(&orders) {
                continue;
            }
            self.last = Some(orders.clone());
            return Ok(orders.into());
        }
    }

    async fn read(&self) -> Result<Orders, Status> {
        let Place { shared, host, .. } = &self.place;
        let given = shared.store.given(*host).await.map_err(failed)?;
        let Given {
            standing,
            reattest,
            group,
        } = given.ok_or_else(|| Status::permission_denied("the host is not enrolled"))?;
        let policies = &shared.watching.policies;
        Ok(Orders {
            standing: told(standing, shared.settings.explain),
            reattest,
            // A host of a group of which nothing is said is told of another policy, too, and is refused.
            policy: policies.get(&group).copied().unwrap_or(NO_POLICY),
            bundles: Some(bundles(
                shared.authority.sequence(),
                shared.settings.federation.digest(),
            )),
            next_within: HEARTBEAT,
        })
    }

    /// Writes it down, once, if two brokers listen as this host that cannot both have its TPM.
    async fn look_for_twins(&self) -> Result<(), Status> {
        let Place { shared, host, .. } = &self.place;
        let now = now();
        let twins = shared.watching.streams().twins(*host, now);
        let Some(twins) = twins else { return Ok(()) };
        tracing::error!(host = %host, %twins, "two brokers listen as one host");
        let verdict = Verdict {
            at: now,
            host: Some(*host),
            outcome: Outcome::Refused,
            judged: Judged::Twins {
                detail: twins.to_string(),
            },
        };
        shared.store.record_verdict(&verdict).await.map_err(failed)
    }
}

/// Names what `FetchBundle` answers: our own keys as they have changed so often, and what is known of others.
fn bundles(sequence: u64, federated: Sha256Digest) -> Sha256Digest {
    sha256(&[&sequence.to_be_bytes(), federated.as_bytes().as_slice()].concat())
}

/// What a host is told of its standing: the operator's words only where policy shows them.
fn told(standing: Standing, explain: Explain) -> HostStanding {
    let shown = |why| match explain {
        Explain::Reason => why,
        Explain::Nothing => String::new(),
    };
    match standing {
        Standing::Active => HostStanding::Active,
        Standing::Banned { why, .. } => HostStanding::Banned { why: shown(why) },
        Standing::Revoked { why, .. } => HostStanding::Revoked { why: shown(why) },
    }
}
