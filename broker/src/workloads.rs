//! The host's own Workload API socket: for services that Holdfast did not launch, level L2.
//!
//! Anybody may connect. A process that is a registered unit or container gets that service's identity,
//! below this host's; any other is told that there is none. It must never serve an identity to a
//! process that has to be guessed, nor before policy has allowed it and that is on record.

mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_authorize_calls::state::Final;
use holdfast_authorize_calls::world::World;
use holdfast_issue_credentials::{
    Admitted, Challenge, Denied, FrameHandler, FrameStream, Judge, Party, PeerCheck, Session,
    SessionIdentity, SessionListener, SessionSocket, Whose,
};
use holdfast_launch_agents::measure::Memory;
use holdfast_launch_agents::peer::{self, OneProcess, Peer};
use holdfast_launch_agents::workload::evidence::{self, Evidence};
use holdfast_launch_agents::workload::{Engine, Named, Registration, Selector, engine, registered};
use holdfast_policy::Taint;
use holdfast_protocol::audit::What;
use holdfast_protocol::call::{Caller, Channel, HumanUid, ToolCall, ToolName};
use holdfast_protocol::grade::{Level, SessionUid};
use holdfast_protocol::id::{AgentKind, CallId, SessionId, SpiffeId};
use holdfast_protocol::words::with_causes;
use rustix::net::RecvFlags;
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::refusals::Refusals;
use crate::ambient::random_bits;
use crate::sessions::{Ground, Place, attested, whose};

/// The lowest uid of people; below are the system's own.
const FIRST_HUMAN: u32 = 1000;

/// Which services there are, and whom to ask about containers.
#[derive(Clone, Debug, Default)]
pub struct Registered {
    /// The services.
    pub all: Vec<Registration>,
    /// Docker's socket.
    pub docker: Option<PathBuf>,
    /// Podman's.
    pub podman: Option<PathBuf>,
}

/// The socket, and what stands behind it.
#[derive(Clone)]
struct Workloads(Arc<Inner>);

struct Inner {
    ground: Arc<Ground>,
    registered: Registered,
    memory: Arc<Mutex<Memory>>,
    standing: Mutex<BTreeMap<SpiffeId, Standing>>,
    keepers: Mutex<JoinSet<()>>,
    refusals: Mutex<Refusals>,
    stop: CancellationToken,
}

/// A service that has asked before: its identity is kept.
struct Standing {
    credentials: Session,
    _place: Place,
}

/// A process gets no identity.
#[derive(Debug)]
struct NoIdentity {
    level: Level,
    why: String,
}

/// Listens at `path`, in place of a socket that an earlier broker left there.
pub fn listen(path: &Path) -> io::Result<SessionListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = SessionListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o666))?;
    Ok(listener)
}

/// Serves the socket until `stop`.
pub async fn serve(
    listener: SessionListener,
    registered: Registered,
    ground: Arc<Ground>,
    stop: CancellationToken,
) {
    let nobody = match nobody(&ground) {
        Ok(nobody) => nobody,
        Err(error) => {
            tracing::error!(%error, "services get no identities");
            return stop.cancelled().await;
        }
    };
    let workloads = Workloads(Arc::new(Inner {
        ground,
        registered,
        memory: Arc::default(),
        standing: Mutex::default(),
        keepers: Mutex::default(),
        refusals: Mutex::default(),
        stop: stop.clone(),
    }));
    let socket = SessionSocket {
        listener,
        session: nobody,
        peers: Arc::new(workloads.clone()),
        frames: Arc::new(NoFrames),
    };
    if let Err(error) = socket.serve(stop).await {
        tracing::error!(error = with_causes(&error), "services get no identities");
    }
    let mut keepers = std::mem::take(&mut *lock(&workloads.0.keepers));
    while keepers.join_next().await.is_some() {}
    lock(&workloads.0.standing).clear();
}

/// Stands for whoever is nobody: it has no identity and never gets one.
fn nobody(ground: &Ground) -> io::Result<Session> {
    let spiffe_id = "spiffe://nobody.invalid/nobody"
        .parse()
        .map_err(io::Error::other)?;
    let nobody = ground.issuer.session(SessionIdentity {
        session: SessionId::from_random(random_bits()?),
        spiffe_id,
    });
    nobody.revoke();
    Ok(nobody)
}

#[tonic::async_trait]
impl PeerCheck for Workloads {
    async fn admit(&self, stream: &UnixStream) -> Result<Admitted, Denied> {
        let denied = |error: peer::PeerError| Denied(with_causes(&error));
        Peer::mark(stream).map_err(denied)?;
        let uid = Peer::of(stream).map_err(denied)?.uid;
        // Required here: the uid says nothing. Without it (before Linux 6.5) nobody is let in.
        let process = Arc::new(peer::process(stream).map_err(denied)?);
        match self.identify(&process, uid).await {
            Ok(credentials) => Ok(Admitted {
                judge: Arc::new(OfProcess(OneProcess::new(process, uid))),
                party: Party::Other {
                    session: credentials,
                    frames: None,
                },
                challenge: Challenge::Ping,
            }),
            Err(NoIdentity { level, why }) => {
                self.refuse(uid, level, &why).await;
                Err(Denied(why))
            }
        }
    }
}

impl Workloads {
    /// The credentials of the service that this process is, if policy lets it have them.
    async fn identify(&self, process: &Arc<OwnedFd>, uid: u32) -> Result<Session, NoIdentity> {
        let unknown = |why: String| NoIdentity {
            level: Level::L0,
            why,
        };
        let held = Arc::clone(process);
        let gathered = tokio::task::spawn_blocking(move || evidence::gather(&held, uid)).await;
        let evidence = gathered
            .map_err(|error| unknown(error.to_string()))?
            .map_err(|error| unknown(with_causes(&error)))?;
        let found = |why: String| NoIdentity {
            // A program that somebody runs can be looked at; a system's service that has no name here
            // is nobody that anything is known of.
            level: if uid >= FIRST_HUMAN {
                Level::L1
            } else {
                Level::L0
            },
            why,
        };
        let selectors = self.complete(evidence, process).await.map_err(&found)?;
        let registration = registered(&self.0.registered.all, &selectors)
            .map_err(|error| found(error.to_string()))?;
        self.credentials(registration, uid).await.map_err(found)
    }

    /// What it takes others to say: the launcher, where a registration asks for what a process runs; a
    /// container's engine, where it is in a container.
    async fn complete(
        &self,
        evidence: Evidence,
        process: &Arc<OwnedFd>,
    ) -> Result<BTreeSet<Selector>, String> {
        let Evidence {
            named,
            mut selectors,
            ..
        } = evidence;
        let wanted = |kind| self.0.registered.all.iter().any(|each| each.wants(kind));
        if let Some(Named::Container {
            engine: whose, id, ..
        }) = &named
        {
            let socket = match whose {
                Engine::Docker => &self.0.registered.docker,
                Engine::Podman => &self.0.registered.podman,
            };
            let socket = socket
                .as_deref()
                .ok_or("it is in a container, and no engine's socket is configured")?;
            let container = engine::inspect(socket, id)
                .await
                .map_err(|error| with_causes(&error))?;
            selectors.extend(evidence::of_container(*whose, &container));
        }
        if wanted("unix:path") || wanted("unix:sha256") {
            let held = process.try_clone().map_err(|error| error.to_string())?;
            let described = self.0.ground.sessions.describe(held).await;
            let described = described.map_err(|error| with_causes(&error))?;
            let memory = Arc::clone(&self.0.memory);
            let read = tokio::task::spawn_blocking(move || {
                let file = File::from(described.executable);
                let path = described.path.as_deref();
                evidence::of_executable(&file, path, &mut lock(&memory))
            });
            selectors.extend(read.await.map_err(|error| error.to_string())?);
        }
        Ok(selectors)
    }

    async fn credentials(&self, registration: &Registration, uid: u32) -> Result<Session, String> {
        let ground = &self.0.ground;
        let footing = attested(ground).map_err(|error| with_causes(&error))?;
        let name = &registration.name;
        let spiffe_id = SpiffeId::service(&footing.trust_domain, footing.host, name);
        let credentials = self.standing(spiffe_id)?;
        let identity = credentials.identity();
        let call = ToolCall {
            id: CallId::from_random(random_bits().map_err(|error| error.to_string())?),
            caller: Caller {
                session: identity.session,
                spiffe_id: identity.spiffe_id.clone(),
                kind: kind()?,
                level: Level::L2,
                human: HumanUid(uid),
                runs_as: SessionUid::Own,
            },
            channel: Channel::Credential,
            tool: ToolName::try_from("workload-api".to_owned())
                .map_err(|error| error.to_string())?,
            arguments: serde_json::json!({
                "workload": name,
                "selectors": registration
                    .selectors()
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>(),
            }),
            cwd: PathBuf::from("/"),
            effects: vec![],
            received: ground.clock.now(),
        };
        let id = call.id;
        let decided = ground
            .authorizer
            .decide(call, &World::default(), Taint::Clean)
            .await;
        match decided {
            Final::Allow { .. } => {
                let outcome = "it was let in".to_owned();
                ground.authorizer.ended(id, outcome, vec![]).await;
                Ok(credentials)
            }
            Final::Deny { because, .. } => Err(because.text),
        }
    }

    /// A service's credentials, made when it first asks and kept fresh from then on.
    fn standing(&self, spiffe_id: SpiffeId) -> Result<Session, String> {
        let inner = &self.0;
        let mut standing = lock(&inner.standing);
        // A host that was enrolled anew has other names.
        standing.retain(|known, kept| {
            let current = known.trust_domain() == spiffe_id.trust_domain()
                && known.host_id() == spiffe_id.host_id();
            if !current {
                kept.credentials.revoke();
            }
            current
        });
        if let Some(kept) = standing.get(&spiffe_id) {
            return Ok(kept.credentials.clone());
        }
        let session = random_bits().map_err(|error| error.to_string())?;
        let credentials = inner.ground.issuer.session(SessionIdentity {
            session: SessionId::from_random(session),
            spiffe_id: spiffe_id.clone(),
        });
        let kept = Standing {
            credentials: credentials.clone(),
            _place: inner.ground.live.enter(credentials.clone()),
        };
        standing.insert(spiffe_id, kept);
        let (keeper, stop) = (credentials.clone(), inner.stop.clone());
        lock(&inner.keepers).spawn(async move {
            if let Err(error) = keeper.run(stop).await {
                tracing::warn!(error = with_causes(&error), "a service has no credentials");
            }
        });
        Ok(credentials)
    }

    /// Puts a refusal on record, unless there were too many lately: anybody can ask.
    async fn refuse(&self, uid: u32, level: Level, why: &str) {
        let now = self.0.ground.clock.now();
        if !lock(&self.0.refusals).take(now) {
            return;
        }
        let refused = What::WorkloadRefused {
            uid,
            level,
            why: why.to_owned(),
        };
        if let Err(error) = self.0.ground.record.record(refused).await {
            tracing::warn!(%error, "a refusal is not on record");
        }
    }
}

/// What services are, among kinds of agents.
fn kind() -> Result<AgentKind, String> {
    "service".parse().map_err(|error| format!("{error}"))
}

/// Judges messages by the one process that was identified.
struct OfProcess(OneProcess);

impl Judge for OfProcess {
    fn receive(
        &self,
        stream: &UnixStream,
        bytes: &mut [u8],
        flags: RecvFlags,
    ) -> io::Result<(usize, Whose)> {
        let (received, sender) = self.0.receive(stream, bytes, flags)?;
        Ok((received, whose(sender)))
    }
}

/// Services have no hooks and no helpers here.
struct NoFrames;

#[tonic::async_trait]
impl FrameHandler for NoFrames {
    async fn handle(&self, _: &SessionIdentity, _: FrameStream, _: CancellationToken) {}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
