//! The sub-agents of one session: made for the process that asks, gone with it or with the session.
//!
//! A sub-agent has an identity below its session's, a socket that answers it by its cgroup, and a way
//! out of its own; of rights it has what its parent has and it did not give up. It must never get more
//! than its parent, nor be before it is on record.

use std::collections::BTreeMap;
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_issue_credentials::bridge::{self, Bridge};
use holdfast_issue_credentials::{Party, Session, SessionIdentity};
use holdfast_launch_agents::peer::{self, PeerError};
use holdfast_launch_agents::task::{LiveSub, SessionError};
use holdfast_protocol::audit::What;
use holdfast_protocol::call::Caller;
use holdfast_protocol::record::NotRecorded;
use holdfast_protocol::sub::{MAX_HOSTS, Made, SubHosts, SubPath, SubRequest, SubResponse};
use holdfast_protocol::words::with_causes;
use tokio::net::{TcpListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Ground;
use super::calls::SessionCalls;
use super::frames::Frames;
use super::known::Known;
use super::launch::CREDENTIAL_HELPER;
use super::vitals::Pulse;

/// All sub-agents of one session. Clones are the same.
#[derive(Clone)]
pub struct Subs(Arc<Inner>);

struct Inner {
    ground: Arc<Ground>,
    identity: SessionIdentity,
    /// Cancelled when the session is over.
    served: CancellationToken,
    /// A sub-agent's signs of life are its session's.
    pulse: Pulse,
    parts: Mutex<BTreeMap<SubPath, Part>>,
    /// One for each that lives.
    keepers: Mutex<JoinSet<()>>,
}

/// What a sub-agent's connections are served by.
struct Part {
    credentials: Session,
    frames: Arc<Frames>,
}

/// Who asks for a sub-agent.
pub struct Parent<'a> {
    /// Which sub-agent it is itself, if it is one.
    pub sub: Option<SubPath>,
    /// What it is known by.
    pub known: &'a Arc<Known>,
    /// Its way out.
    pub bridge: NonZeroU16,
}

/// No sub-agent was made.
#[derive(Debug, thiserror::Error)]
enum NoSub {
    /// The caller names hosts that are none, or too many.
    #[error("up to {MAX_HOSTS} host names were expected")]
    Hosts,
    /// The kernel cannot say which process asks, so it could not tell the two apart (Linux 6.5).
    #[error("the kernel does not say which process asks; sub-agents need Linux 6.5")]
    Process(#[source] PeerError),
    /// The session has no room for it, or it could not be made.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The record could not be written.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    /// The host fails us.
    #[error("the sub-agent's way out cannot be made")]
    Host(#[source] std::io::Error),
    /// The session ends.
    #[error("the session ends")]
    Ending,
}

impl Subs {
    /// For the session of this identity; all end with `served`.
    pub fn new(
        ground: Arc<Ground>,
        identity: SessionIdentity,
        served: CancellationToken,
        pulse: Pulse,
    ) -> Self {
        Self(Arc::new(Inner {
            ground,
            identity,
            served,
            pulse,
            parts: Mutex::default(),
            keepers: Mutex::default(),
        }))
    }

    /// Whose connections of this sub-agent are.
    pub fn party(&self, sub: SubPath) -> Option<Party> {
        let parts = lock(&self.0.parts);
        let part = parts.get(&sub)?;
        Some(Party::Other {
            session: part.credentials.clone(),
            frames: Some(Arc::clone(&part.frames) as Arc<_>),
        })
    }

    /// Makes the process that asks over `socket` a sub-agent of `parent`, or says why not.
    pub async fn answer(
        &self,
        parent: Parent<'_>,
        wish: SubRequest,
        socket: &UnixStream,
    ) -> SubResponse {
        match self.make(parent, wish, socket).await {
            Ok(made) => SubResponse::Made(made),
            Err(error) => {
                let why = with_causes(&error);
                tracing::warn!(session = %self.0.identity.session, why, "no sub-agent was made");
                SubResponse::Refused { why }
            }
        }
    }

    /// Waits until all are gone; the session is over.
    pub async fn gone(&self) {
        let mut keepers = std::mem::take(&mut *lock(&self.0.keepers));
        while keepers.join_next().await.is_some() {}
        lock(&self.0.parts).clear();
    }

    async fn make(
        &self,
        parent: Parent<'_>,
        wish: SubRequest,
        socket: &UnixStream,
    ) -> Result<Made, NoSub> {
        check(&wish)?;
        let ground = &self.0.ground;
        let session = self.0.identity.session;
        // Whoever made the connection is who asks: a message of another sender ends it.
        let process = peer::process(socket).map_err(NoSub::Process)?;
        let prepared = ground
            .sessions
            .prepare_sub(session, parent.sub, wish.name.clone())
            .await?;
        let sub = prepared.path();
        let port = prepared.bridge_port().map_err(NoSub::Host)?;
        let port = NonZeroU16::new(port).ok_or(NoSub::Ending)?;
        let spiffe_id = self.0.identity.spiffe_id.sub_agent(sub);
        let above = &parent.known.caller;
        ground
            .record
            .record(What::SubAgentStarted {
                session,
                spiffe_id: spiffe_id.clone(),
                parent: above.spiffe_id.clone(),
                wish: wish.clone(),
            })
            .await?;
        let caller = Caller {
            spiffe_id: spiffe_id.clone(),
            ..above.clone()
        };
        let known = Arc::new(parent.known.lend(caller, &wish));
        let credentials = ground.issuer.session(SessionIdentity {
            session,
            spiffe_id: spiffe_id.clone(),
        });
        let frames = Frames::new(
            ground.authorizer.clone(),
            Arc::clone(&known),
            port,
            self.clone(),
            Some(sub),
            self.0.pulse.clone(),
        );
        // Before the process is there: its first connection is served as its own.
        lock(&self.0.parts).insert(
            sub,
            Part {
                credentials: credentials.clone(),
                frames: Arc::new(frames),
            },
        );
        let kept = async {
            let mut placed = prepared.place(process).await?;
            let way_out = placed.bridge.take().ok_or(NoSub::Ending)?;
            let way_out = super::way_out::listening(way_out).map_err(NoSub::Host)?;
            self.keep(placed, way_out, credentials, Arc::clone(&known))
        };
        if let Err(error) = kept.await {
            lock(&self.0.parts).remove(&sub);
            // The record says that it started, so it says that it is over.
            self.record_end(spiffe_id).await;
            return Err(error);
        }
        let own = match wish.hosts {
            SubHosts::None => Vec::new(),
            SubHosts::Parents | SubHosts::Only(_) => {
                bridge::environment(&known.granted, port, CREDENTIAL_HELPER)
            }
        };
        let parents = bridge::environment(&parent.known.granted, parent.bridge, CREDENTIAL_HELPER);
        let mut set = own;
        set.push(("HOLDFAST_SUB".to_owned(), sub.to_string()));
        Ok(Made {
            sub,
            spiffe_id,
            bridge: port.get(),
            unset: parents.into_iter().map(|(name, _)| name).collect(),
            set,
            project: known.world().project.display().to_string(),
            home: known.world().home.display().to_string(),
        })
    }

    /// Serves a sub-agent from now on, until it or the session ends.
    fn keep(
        &self,
        sub: LiveSub,
        way_out: TcpListener,
        credentials: Session,
        known: Arc<Known>,
    ) -> Result<(), NoSub> {
        let inner = &self.0;
        let mut keepers = lock(&inner.keepers);
        if inner.served.is_cancelled() {
            return Err(NoSub::Ending);
        }
        while keepers.try_join_next().is_some() {}
        keepers.spawn(self.clone().serve(sub, way_out, credentials, known));
        Ok(())
    }

    async fn serve(
        self,
        sub: LiveSub,
        way_out: TcpListener,
        credentials: Session,
        known: Arc<Known>,
    ) {
        let Inner { ground, served, .. } = &*self.0;
        let session = self.0.identity.session;
        let stop = served.child_token();
        let place = ground.live.enter(credentials.clone());
        let bridge = Bridge {
            session,
            granted: known.granted.clone(),
            reveal: Arc::new(ground.vaults.clone()),
            decide: Arc::new(SessionCalls::new(
                ground.authorizer.clone(),
                known,
                self.0.pulse.clone(),
            )),
            upstream: ground.upstream.clone(),
            // The session's own names and doors are its parent's, and judged as its parent's.
            doors: Vec::new(),
            names: None,
        };
        let mut serving = JoinSet::new();
        serving.spawn(bridge_until(bridge, way_out, stop.clone()));
        serving.spawn({
            let (credentials, stop) = (credentials.clone(), stop.clone());
            async move {
                if let Err(error) = credentials.run(stop).await {
                    tracing::warn!(
                        error = with_causes(&error),
                        "a sub-agent has no credentials"
                    );
                }
            }
        });
        tokio::select! {
            () = served.cancelled() => {}
            ended = sub.ended() => if let Err(error) = ended {
                tracing::warn!(%session, %error, "a sub-agent cannot be watched, so it ends");
            },
        }
        credentials.revoke();
        drop(place);
        lock(&self.0.parts).remove(&sub.path());
        stop.cancel();
        while serving.join_next().await.is_some() {}
        sub.end().await;
        self.record_end(credentials.identity().spiffe_id.clone())
            .await;
    }

    async fn record_end(&self, spiffe_id: holdfast_protocol::id::SpiffeId) {
        let session = self.0.identity.session;
        let ended = What::SubAgentEnded { session, spiffe_id };
        if let Err(error) = self.0.ground.record.record(ended).await {
            tracing::error!(%session, %error, "a sub-agent's end is not on record");
        }
    }
}

async fn bridge_until(bridge: Bridge, way_out: TcpListener, stop: CancellationToken) {
    if let Err(error) = bridge.serve(way_out, stop).await {
        tracing::warn!(error = with_causes(&error), "a sub-agent's way out failed");
    }
}

fn check(wish: &SubRequest) -> Result<(), NoSub> {
    let SubHosts::Only(hosts) = &wish.hosts else {
        return Ok(());
    };
    let is_host = |host: &String| {
        (1..=253).contains(&host.len())
            && host
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'*'))
    };
    if (1..=MAX_HOSTS).contains(&hosts.len()) && hosts.iter().all(is_host) {
        Ok(())
    } else {
        Err(NoSub::Hosts)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
