//! The shell of job 2: asks the launcher for sessions, holds their lives, tells when they end.
//!
//! [`Sessions`] acts, [`Watcher`] waits. A session is [`Prepared`] until somebody has put it on
//! record and says [`Prepared::begin`]; before that nothing of it runs. Dropping what keeps a
//! session ends it: it must never outlive the broker's knowledge of it.

mod handles;
mod inward;
mod memory;
mod processes;
mod shell;
mod subs;
mod watch;

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_launcher::control::{PassedSignal, Stopped};
use holdfast_launcher::message::{CgroupFiles, Described, Greeting, Idmap, Launch, Names, Unkept};
use holdfast_launcher::shell::ShellOrder;
use holdfast_launcher::socket::{self, LaunchError};
use holdfast_protocol::bounds::{Because, Bound};
use holdfast_protocol::clock::Clock;
use holdfast_protocol::id::SessionId;
use holdfast_protocol::sub::SubPath;
use rustix::net::RecvFlags;
use tokio::sync::{mpsc, watch as watch_channel};

use handles::Handles;
pub use shell::{Opened, Shell};
pub use subs::{LiveSub, PreparedSub};
pub use watch::{Ended, Watcher};

use crate::peer::{By, Peer, PeerError};
use crate::state::{Facts, Identity, MAX_LIVE, Party, Phase, Registry, Session, StateError};

/// How long a session may take to stand still.
const FREEZE: Duration = Duration::from_secs(1);

/// Something could not be done to a session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The session's life does not allow it.
    #[error("the session cannot do that now")]
    State(#[source] StateError),
    /// The launcher made no session.
    #[error("no session was made")]
    Launch(#[source] LaunchError),
    /// The kernel says that the connection is another human's than the caller thought.
    #[error("the connection is uid {actual}'s, not uid {expected}'s")]
    Human {
        /// Whose the caller thought it was.
        expected: u32,
        /// Whose it is.
        actual: u32,
    },
    /// The host fails us.
    #[error("cannot act on the session")]
    Host(#[source] std::io::Error),
    /// A process did not go where it was put; it is no sub-agent.
    #[error("the process did not move into its cgroup")]
    NotPlaced,
    /// The processes did not stand still in time; they are being killed.
    #[error("the session did not freeze in time")]
    NotFrozen,
    /// The watcher is gone: the broker is shutting down.
    #[error("no more sessions are begun")]
    Stopping,
}

/// All sessions of this host, and how to act on them. Clones act on the same.
#[derive(Clone, Debug)]
pub struct Sessions(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// One launch at a time: answers carry no name.
    launcher: Arc<tokio::sync::Mutex<Launcher>>,
    table: Mutex<Table>,
    watch: mpsc::Sender<watch::Watched>,
    clock: Clock,
    by: By,
}

/// The connection to the launcher, made anew when it was lost.
#[derive(Debug)]
struct Launcher {
    /// Where it can be found again; one that was started for this broker alone cannot.
    path: Option<PathBuf>,
    socket: Option<OwnedFd>,
}

impl Launcher {
    /// Asks once: a launch whose answer was lost is not repeated, and its session dies unbegun.
    fn ask<T>(
        &mut self,
        question: impl FnOnce(&OwnedFd) -> Result<T, LaunchError>,
    ) -> Result<T, LaunchError> {
        // A launcher that went away and came back was not asked yet.
        let kept = self.socket.take().filter(is_open);
        let socket = match kept {
            Some(socket) => socket,
            None => match &self.path {
                Some(path) => socket::connect(path)?.0,
                None => {
                    let gone = std::io::ErrorKind::ConnectionReset;
                    return Err(LaunchError::Socket(gone.into()));
                }
            },
        };
        let result = question(&socket);
        match &result {
            Err(LaunchError::Socket(_) | LaunchError::Answer) => {}
            Ok(_) | Err(LaunchError::Refused(_) | LaunchError::TooLarge) => {
                self.socket = Some(socket);
            }
        }
        result
    }
}

#[derive(Debug, Default)]
struct Table {
    registry: Registry,
    handles: handles::All,
    subs: BTreeMap<(SessionId, SubPath), Arc<CgroupFiles>>,
}

impl Sessions {
    /// Connects to the launcher's socket; also gives what only root can open of the boot's records.
    ///
    /// # Errors
    /// [`SessionError::Launch`].
    pub fn connect(
        launcher: &Path,
        clock: Clock,
    ) -> Result<(Self, Watcher, Greeting), SessionError> {
        let (socket, greeting) = socket::connect(launcher).map_err(SessionError::Launch)?;
        let (sessions, watcher) = Self::over(socket, Some(launcher.to_owned()), By::Cgroup, clock);
        Ok((sessions, watcher, greeting))
    }

    /// Takes the launcher on the other end of `socket`, which was started for this broker alone and has no rights.
    ///
    /// # Errors
    /// [`SessionError::Launch`].
    pub fn contained(socket: OwnedFd, clock: Clock) -> Result<(Self, Watcher), SessionError> {
        socket::greeted(&socket).map_err(SessionError::Launch)?;
        Ok(Self::over(socket, None, By::PidNamespace, clock))
    }

    fn over(socket: OwnedFd, path: Option<PathBuf>, by: By, clock: Clock) -> (Self, Watcher) {
        // Never full: there is one message for each live session.
        let (watch, watched) = mpsc::channel(MAX_LIVE);
        let launcher = Launcher {
            path,
            socket: Some(socket),
        };
        let sessions = Self(Arc::new(Shared {
            launcher: Arc::new(tokio::sync::Mutex::new(launcher)),
            table: Mutex::default(),
            watch,
            clock,
            by,
        }));
        let watcher = Watcher::new(sessions.clone(), watched);
        (sessions, watcher)
    }

    /// What its sessions' processes are told apart by.
    pub fn by(&self) -> By {
        self.0.by
    }

    /// Has the launcher make a session; its program does not run yet.
    ///
    /// # Errors
    /// [`SessionError`]; no session exists then.
    pub async fn prepare(
        &self,
        id: SessionId,
        facts: Facts,
        launch: Launch,
    ) -> Result<Prepared, SessionError> {
        let human = facts.human;
        self.table()
            .registry
            .start(self.0.clock.now(), id, facts)
            .map_err(SessionError::State)?;
        // From here on whatever is dropped ends the session.
        let mut life = Life {
            sessions: self.clone(),
            id,
            fate: Fate::Unmade,
        };
        let launched = self
            .ask_launcher(move |launcher| socket::launch(launcher, &launch))
            .await?;
        let identity = Identity {
            uid: launched.uid,
            told: launched.told,
        };
        // Closing the control socket, as an error here does, ends the session as well.
        let handles = Handles::new(launched.cgroup, &launched.pidfd, &launched.control);
        let handles = Arc::new(handles.map_err(SessionError::Host)?);
        life.fate = Fate::Made(Arc::clone(&handles));
        if launched.human.uid != human {
            return Err(SessionError::Human {
                expected: human,
                actual: launched.human.uid,
            });
        }
        let mut table = self.table();
        table
            .registry
            .launched(id, identity)
            .map_err(SessionError::State)?;
        let unkept = launched.unkept.into_iter().map(bound).collect();
        table.registry.lacks(id, unkept);
        let kept = Arc::clone(&handles);
        table.handles.insert(id, handles);
        drop(table);
        Ok(Prepared {
            life,
            identity,
            handles: kept,
            control: launched.control,
            pidfd: launched.pidfd,
            bridge: launched.bridge,
            doors: launched.doors,
            names: launched.names,
            terminal: launched.terminal,
            last_word: launched.last_word,
        })
    }

    /// Has the launcher say what a process runs.
    ///
    /// # Errors
    /// [`SessionError::Launch`]; nothing may be concluded then.
    pub async fn describe(&self, process: OwnedFd) -> Result<Described, SessionError> {
        self.ask_launcher(move |launcher| socket::describe(launcher, process))
            .await
    }

    /// Has the launcher say which of these trees can be shown to a session as another uid's.
    ///
    /// # Errors
    /// [`SessionError::Launch`].
    pub async fn map(&self, trees: Vec<OwnedFd>) -> Result<Vec<Idmap>, SessionError> {
        self.ask_launcher(move |launcher| socket::map(launcher, trees))
            .await
    }

    /// Asks the launcher, where blocking is allowed.
    async fn ask_launcher<T: Send + 'static>(
        &self,
        question: impl FnOnce(&OwnedFd) -> Result<T, LaunchError> + Send + 'static,
    ) -> Result<T, SessionError> {
        let mut launcher = Arc::clone(&self.0.launcher).lock_owned().await;
        let asked = tokio::task::spawn_blocking(move || launcher.ask(question));
        let answer = asked
            .await
            .map_err(|error| SessionError::Host(error.into()))?;
        answer.map_err(SessionError::Launch)
    }

    /// From now on a human may have so many sessions at once; `None`: as many as the host.
    pub fn allow_each(&self, most: Option<std::num::NonZeroUsize>) {
        self.table().registry.allow_each(most);
    }

    /// Freezes a session: from now on its calls are refused, and soon none of its processes runs.
    ///
    /// # Errors
    /// [`SessionError`]; where it will not freeze it is killed.
    pub async fn freeze(&self, id: SessionId) -> Result<(), SessionError> {
        let handles = {
            let mut table = self.table();
            table.registry.frozen(id).map_err(SessionError::State)?;
            table.handles.of(id)?
        };
        let frozen = handles.freeze();
        match tokio::time::timeout(FREEZE, frozen).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                handles.kill().map_err(SessionError::Host)?;
                Err(SessionError::Host(error))
            }
            Err(_) => {
                handles.kill().map_err(SessionError::Host)?;
                Err(SessionError::NotFrozen)
            }
        }
    }

    /// Lets a frozen session go on.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn resume(&self, id: SessionId) -> Result<(), SessionError> {
        let mut table = self.table();
        let handles = table.handles.of(id)?;
        table.registry.resumed(id).map_err(SessionError::State)?;
        table.registry.stopped(id, None);
        handles.thaw().map_err(SessionError::Host)
    }

    /// Kills everything in a session; the [`Watcher`] tells when it is gone. Its calls are refused
    /// from now on.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn end(&self, id: SessionId) -> Result<(), SessionError> {
        self.kill(id, None)
    }

    fn kill(&self, id: SessionId, because: Option<Because>) -> Result<(), SessionError> {
        let mut table = self.table();
        let handles = table.handles.of(id)?;
        match table.registry.frozen(id) {
            // It may be frozen already, which serves as well.
            Ok(()) | Err(StateError::Phase(_)) => {}
            Err(error) => return Err(SessionError::State(error)),
        }
        table.registry.stopped(id, because);
        handles.kill().map_err(SessionError::Host)
    }

    /// As [`Sessions::end`], for this reason, which its [`Ended`] then bears.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn end_because(&self, id: SessionId, because: Because) -> Result<(), SessionError> {
        self.kill(id, Some(because))
    }

    /// As [`Sessions::freeze`], for this reason.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn freeze_because(
        &self,
        id: SessionId,
        because: Because,
    ) -> Result<(), SessionError> {
        self.freeze(id).await?;
        self.table().registry.stopped(id, Some(because));
        Ok(())
    }

    /// The processor time that a live session has taken; `None` where it cannot be told.
    pub fn usage(&self, id: SessionId) -> Option<Duration> {
        let handles = self.table().handles.of(id).ok()?;
        handles.usage().ok()
    }

    /// How many processes a live session has; `None` where it cannot be told.
    pub fn processes(&self, id: SessionId) -> Option<u32> {
        let handles = self.table().handles.of(id).ok()?;
        handles.processes().ok()
    }

    /// The memory that the processes of a live session take, its sub-agents' with them: see [`memory::taken`].
    /// `None` where it cannot be told.
    pub fn memory(&self, id: SessionId) -> Option<u64> {
        let (own, subs) = {
            let table = self.table();
            let subs = table.subs.iter().filter(|((of, _), _)| *of == id);
            let subs: Vec<_> = subs.map(|(_, files)| Arc::clone(files)).collect();
            (table.handles.of(id).ok()?, subs)
        };
        let mut pids = own.pids().ok()?;
        for sub in subs {
            pids.extend(memory::pids(&sub.processes).ok()?);
        }
        memory::taken(&pids)
    }

    /// One session as it is now.
    pub fn session(&self, id: SessionId) -> Option<Session> {
        self.table().registry.session(id).cloned()
    }

    /// Whether a session stands still.
    pub fn is_frozen(&self, id: SessionId) -> bool {
        let table = self.table();
        let session = table.registry.session(id);
        session.is_some_and(|session| matches!(session.phase, Phase::Frozen(_)))
    }

    /// Passes a signal on to a session's program.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn signal(&self, id: SessionId, signal: PassedSignal) -> Result<(), SessionError> {
        let handles = self.table().handles.of(id)?;
        handles.tell(&signal.encode()).map_err(SessionError::Host)
    }

    /// Orders a shell for a session's human, beside its program; to be said once that is on record.
    ///
    /// # Errors
    /// [`SessionError`]; the session has no shell more then. One that stands still is refused.
    pub fn shell(
        &self,
        id: SessionId,
        order: &ShellOrder,
        streams: &[OwnedFd],
    ) -> Result<Shell, SessionError> {
        let handles = {
            let table = self.table();
            table.registry.running(id).map_err(SessionError::State)?;
            table.handles.of(id)?
        };
        let control = handles.order(order, streams).map_err(SessionError::Host)?;
        Shell::new(control).map_err(SessionError::Host)
    }

    /// The session, or the sub-agent of it, that a caller belongs to.
    ///
    /// # Errors
    /// [`PeerError::Stranger`].
    pub fn who(&self, peer: Peer) -> Result<Party, PeerError> {
        peer.party(&self.table().registry)
    }

    /// All sessions as they are now, ended ones included for a while.
    pub fn list(&self) -> Vec<(SessionId, Session)> {
        let table = self.table();
        let sessions = table.registry.sessions();
        sessions
            .map(|(id, session)| (id, session.clone()))
            .collect()
    }

    /// Crosses a session off; gives what is known of its end.
    fn ended(&self, ended: Ended) -> Ended {
        let now = self.0.clock.now();
        let mut table = self.table();
        table.handles.remove(ended.id);
        let session = table.registry.session(ended.id);
        let because = session.and_then(|session| session.because);
        // Unknown if it ended before: that is what was wanted.
        table.registry.ended(now, ended.id, ended.ending).ok();
        Ended { because, ..ended }
    }

    fn kill_all(&self) {
        for handles in self.table().handles.all() {
            if let Err(error) = handles.kill() {
                tracing::error!(%error, "cannot kill a session");
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every step of the registry is whole or refused; a panic elsewhere does not change that.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session whose program does not run yet. Dropped, it ends.
#[derive(Debug)]
pub struct Prepared {
    life: Life,
    identity: Identity,
    handles: Arc<Handles>,
    control: OwnedFd,
    pidfd: OwnedFd,
    bridge: OwnedFd,
    doors: Vec<OwnedFd>,
    names: Names,
    terminal: Option<OwnedFd>,
    last_word: OwnedFd,
}

/// What the broker keeps of a session that runs.
#[derive(Debug)]
pub struct Begun {
    /// Which.
    pub id: SessionId,
    /// Listens on the session's loopback: what is accepted here comes from this session.
    pub bridge: OwnedFd,
    /// The listeners of the further ports that were asked for, in their order.
    pub doors: Vec<OwnedFd>,
    /// What makes names work inside.
    pub names: Names,
    /// The other end of the session's terminal.
    pub terminal: Option<OwnedFd>,
    /// That its program stopped, as a shell's job does: the last time.
    pub stops: watch_channel::Receiver<Option<Stopped>>,
}

impl Prepared {
    /// Which session.
    pub fn id(&self) -> SessionId {
        self.life.id
    }

    /// The bounds that this host could not put on it.
    pub fn unkept(&self) -> Vec<Bound> {
        let session = self.life.sessions.session(self.life.id);
        session.map(|session| session.unkept).unwrap_or_default()
    }

    /// How the kernel tells its processes from others.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Lets the program run. To be said once the session is on record.
    ///
    /// # Errors
    /// [`SessionError`]; the session is ended then.
    pub fn begin(mut self) -> Result<Begun, SessionError> {
        let id = self.life.id;
        self.handles.begin().map_err(SessionError::Host)?;
        let watched = watch::Watched::new(id, self.control, self.pidfd, self.last_word);
        let stops = watched.stops();
        self.life
            .sessions
            .0
            .watch
            .try_send(watched)
            .map_err(|_| SessionError::Stopping)?;
        self.life.fate = Fate::Kept;
        Ok(Begun {
            id,
            bridge: self.bridge,
            doors: self.doors,
            names: self.names,
            terminal: self.terminal,
            stops,
        })
    }
}

/// Ends a session that was not begun.
#[derive(Debug)]
struct Life {
    sessions: Sessions,
    id: SessionId,
    fate: Fate,
}

/// What is to happen to a session when its [`Life`] is dropped.
#[derive(Debug)]
enum Fate {
    /// The launcher has not made it: it is only crossed off.
    Unmade,
    /// It is killed.
    Made(Arc<Handles>),
    /// The watcher has it now.
    Kept,
}

impl Drop for Life {
    fn drop(&mut self) {
        match &self.fate {
            Fate::Kept => return,
            Fate::Made(handles) => {
                if let Err(error) = handles.kill() {
                    tracing::error!(%error, session = %self.id, "cannot kill a session");
                }
            }
            Fate::Unmade => {}
        }
        self.sessions.ended(Ended::unwatched(self.id));
    }
}

/// Whether anybody is at the other end; between answers the launcher says nothing.
fn is_open(socket: &OwnedFd) -> bool {
    let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
    let heard = rustix::net::recv(socket, &mut [0; 1], flags);
    heard.is_err_and(|errno| errno == rustix::io::Errno::AGAIN)
}

/// The launcher's word for a bound, as everybody else says it.
fn bound(unkept: Unkept) -> Bound {
    match unkept {
        Unkept::Memory => Bound::Memory,
        Unkept::CpuWeight => Bound::CpuWeight,
        Unkept::Home => Bound::Home,
    }
}
