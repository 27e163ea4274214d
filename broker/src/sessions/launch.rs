//! From a human's wish to a session that is made and waits to begin.
//!
//! The program is measured and run from the broker's own store; what of the human's passes is what
//! the profile lists. It must never open a path that the human named.

use std::collections::BTreeMap;
use std::fs::File;
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holdfast_authorize_calls::world::{Remote, World};
use holdfast_issue_credentials::bridge;
use holdfast_issue_credentials::spares::{Footing, Spare};
use holdfast_issue_credentials::{SessionIdentity, SessionListener};
use holdfast_launch_agents::assemble::{AssembleError, Provided, Wanted, assemble};
use holdfast_launch_agents::environment::{InvalidVariable, VariableName};
use holdfast_launch_agents::profile::OwnProfileError;
use holdfast_launch_agents::state::Facts;
use holdfast_launch_agents::store::Hold;
use holdfast_launch_agents::task::{Prepared, SessionError};
use holdfast_launch_agents::{
    Access, InvalidPlace, Place, ProgramName, Stdio, Tree, UserName, WindowSize,
};
use holdfast_protocol::beyond::Beyond;
use holdfast_protocol::call::{Caller, HumanUid};
use holdfast_protocol::id::AgentKind;
use holdfast_protocol::management::NodeState;
use holdfast_protocol::run::{RunAccess, RunKept, RunPackage, RunRequest, RunStdio};
use holdfast_protocol::widening::InvalidWidening;
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::Ground;
use super::asked_for::{self, Judged};
use super::authority::footing;
use super::folder::{Folder, INSIDE};
use super::grants::{Given, give};
use super::homes::{Kept, NoHome, Passing, Stay, Whose};
use super::known::Known;
use super::lend::NotLent;
use super::named::{Named, name, nobody};
use super::permission::{self, Asking};
use super::program::{self, ProgramError};
use super::published::{NotPublished, Published};
use super::repository::{Repository, pointer};
use super::serve::Wish;
use super::socket::WishError;
use super::uid::{Decided, NoUid, decide};
use super::unable::unable;
use super::widened::{NotWidened, Widened};
use crate::disks::{self, Watched};
use crate::limits::limits;
use crate::warden::Acting;

/// The bridge's port on a session's own loopback.
pub const BRIDGE: NonZeroU16 = NonZeroU16::MIN.saturating_add(3127);

/// What git runs inside to be given a credential.
pub(super) const CREDENTIAL_HELPER: &str = "/opt/holdfast/libexec/holdfast-hook credential git";

/// No session was made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The caller's wish was not understood.
    #[error(transparent)]
    Wish(#[from] WishError),
    /// The caller named something that cannot be a name inside.
    #[error(transparent)]
    Place(#[from] InvalidPlace),
    /// The program cannot be measured or kept, or may not be launched.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The human's own profile cannot be used.
    #[error("your profile `{kind}` is refused")]
    OwnProfile {
        /// Which.
        kind: AgentKind,
        /// Why.
        #[source]
        source: OwnProfileError,
    },
    /// Something is asked of the human's that is not lent.
    #[error(transparent)]
    NotLent(#[from] NotLent),
    /// The launch cannot be put together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// What the agent keeps between sessions cannot be had.
    #[error(transparent)]
    Home(#[from] NoHome),
    /// A variable of our own is not one.
    #[error(transparent)]
    Variable(#[from] InvalidVariable),
    /// It would have no uid to run under.
    #[error(transparent)]
    Uid(#[from] NoUid),
    /// The session was not made.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The record could not be written, so nothing runs.
    #[error(transparent)]
    NotRecorded(#[from] holdfast_protocol::record::NotRecorded),
    /// A part of our own that every session is shown is gone from this host.
    #[error("`{}` is not there, and without it no session could ask", .path.display())]
    Own {
        /// Which part.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its human wants more of a network than it may have.
    #[error(transparent)]
    Widening(#[from] NotWidened),
    /// What is lent has no name that a human could be asked about.
    #[error(transparent)]
    Unnamed(#[from] InvalidWidening),
    /// A port of the host's is not to be had.
    #[error(transparent)]
    Publish(#[from] NotPublished),
    /// The host fails us.
    #[error("the session's sockets cannot be made")]
    Host(#[source] std::io::Error),
    /// This host has no identity that the session's could lie below.
    #[error("this host is not attested: {0}")]
    NotAttested(String),
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

/// A session that is made, with everything that belongs to it.
pub struct Made {
    /// The session, not begun.
    pub prepared: Prepared,
    /// What it is.
    pub facts: Facts,
    /// Its name.
    pub identity: SessionIdentity,
    /// Its name, if that was signed ahead.
    pub spare: Option<Spare>,
    /// Where the host stood when it got that name.
    pub footing: Footing,
    /// The folder with its socket.
    pub folder: Folder,
    /// Its socket.
    pub listener: SessionListener,
    /// Who it is, and what it may touch, for the calls that it makes.
    pub known: Arc<Known>,
    /// The secrets whose use it was given.
    pub given: Given,
    /// What its human added to its network.
    pub widened: Widened,
    /// The ports of its own that are shown.
    pub published: Vec<Published>,
    /// Its home, where that goes with it.
    pub passing: Option<Passing>,
    /// What keeps its program in the store.
    pub holds: Vec<Hold>,
    /// That what it writes leaves room on its disks.
    pub disks: Watched,
}

/// Makes the session that `wish` asks for, once its human has agreed over `stream` or elsewhere where they have to.
pub async fn make(
    ground: &Ground,
    wish: Wish,
    (stream, stop): (&UnixStream, &CancellationToken),
) -> Result<Made, RunError> {
    let Wish {
        request,
        descriptors,
        connection,
        human,
    } = wish;
    attested(ground)?;
    may_begin(ground).await?;
    let widened = Widened::read(request.widenings.clone(), BRIDGE)?;
    let Descriptors {
        program,
        trees,
        stdio,
        package,
    } = sort(&request, descriptors)?;
    let Judged { named, needed } = asked_for::judge(ground, human, &request, &trees)?;
    let Decided {
        runs_as,
        note: lower,
    } = decide(ground, human, &trees).await?;
    let widened = asked_for::all(ground, widened, (&request, &trees), &named)?;
    let own = asked_for::own(&ground.profiles, &request)?;
    let admitted = program::admit(ground, program, package).await?;
    let profile = program::kind(ground, &request, own, &admitted)?;
    program::permit(ground, &profile, &request, &admitted, human).await?;
    let profile = &*profile;
    let would_be = nobody(ground, &profile.kind, HumanUid(human), runs_as)?;
    let asking = Asking {
        caller: would_be.clone(),
        project: &request.project,
        stream,
        stop,
        acting: ground.acting.clone(),
    };
    let leave = permission::ask(&widened, &ground.authorizer, asking).await?;
    // An answer takes its time, and the host may have been stopped meanwhile.
    may_begin(ground).await?;
    // As late as can be: a name that was signed ahead is gone with the attempt.
    let Named {
        identity,
        spare,
        footing,
        note,
    } = name(ground, &profile.kind)?;
    let session = identity.session;
    let caller = Caller {
        session,
        spiffe_id: identity.spiffe_id.clone(),
        ..would_be
    };
    let facts = Facts {
        kind: profile.kind.clone(),
        human,
        program: admitted.digest,
        package: admitted.package,
        purpose: request.purpose.clone(),
        bounds: ground.limits.of(&profile.kind),
        level: ground.level(),
        runs_as,
        beyond: Beyond {
            widenings: widened.all().to_vec(),
            leave,
            needed,
            hosts: profile.own_hosts.clone(),
            kept: request.kept,
        },
    };
    let mut published = Vec::new();
    for publish in widened.publishes() {
        published.push(Published::listen(publish).await?);
    }
    let (folder, listener) = Folder::make(&ground.sockets, session).map_err(RunError::Host)?;
    let (repository, remotes) = repository(&trees, &Place::parse(&request.project)?).await?;
    let kind = &profile.kind;
    let mut given = give(&ground.vaults, session, HumanUid(human), kind, &remotes).await;
    // First: nothing else that is said matters as much.
    given.notes.splice(..0, lower);
    given.notes.extend(note);
    given
        .notes
        .extend(unable(&request.program).map(str::to_owned));
    let mut environment = own_variables(&identity)?;
    for (name, value) in bridge::environment(&given.granted, BRIDGE, CREDENTIAL_HELPER) {
        environment.push((VariableName::try_from(name)?, value));
    }
    let home = Place::parse(&request.home)?;
    let whose = Whose {
        human,
        profile,
        project: &request.project,
        home: &home,
    };
    let stay = match request.kept {
        RunKept::Kept => Stay::Kept,
        RunKept::Fresh => Stay::With(session),
    };
    let Kept {
        trees: kept,
        gone: passing,
    } = tokio::task::block_in_place(|| ground.homes.open(whose, stay, &trees))?;
    let written = trees.iter().chain(&kept).filter_map(disks::Tree::written);
    let written: Result<_, _> = written.collect();
    let watched = written.and_then(|written| ground.disks.watch(session, written));
    let watched = watched.map_err(RunError::Host)?;
    let own_trees = kept
        .into_iter()
        .chain(ground.own.trees()?)
        .chain(admitted.tree)
        .collect();
    let provided = Provided {
        program: admitted.program,
        script: admitted.script,
        sockets: folder.open().map_err(RunError::Host)?,
        runs_as,
        bridge: BRIDGE,
        doors: widened.doors().collect(),
        environment,
        trees: own_trees,
        limits: limits(&facts.bounds),
    };
    let secrets = given.granted.iter();
    let world = World {
        project: PathBuf::from(&request.project),
        home: PathBuf::from(&request.home),
        scratch: vec![PathBuf::from("/tmp"), PathBuf::from("/var/tmp")],
        hosts: asked_for::hosts(profile, &given.granted, &remotes),
        lent: asked_for::lent(&named),
        secrets: secrets
            .map(|granted| (granted.name.to_string(), granted.purpose.clone()))
            .collect(),
        given: widened.all().to_vec(),
        remotes,
        ..World::default()
    };
    let known = Known::new(caller, world, repository, given.granted.clone());
    let wanted = Wanted {
        human: connection,
        user: UserName::parse(&request.user)?,
        home,
        directory: Place::parse(&request.directory)?,
        name: ProgramName::parse(&request.program)?,
        path: asked_for::path(&request)?,
        arguments: request.arguments,
        environment: request.environment,
        stdio,
        trees,
    };
    let launch = assemble(profile, wanted, provided)?;
    let prepared = ground
        .sessions
        .prepare(session, facts.clone(), launch)
        .await?;
    Ok(Made {
        prepared,
        facts,
        identity,
        spare,
        footing,
        folder,
        listener,
        known: Arc::new(known),
        given,
        passing,
        widened,
        published,
        holds: admitted.holds,
        disks: watched,
    })
}

/// The session's repository and its remotes, read where blocking is allowed: what is lent over the project's `.git`
/// is what the session writes.
pub(super) async fn repository(
    trees: &[Tree],
    project: &Place,
) -> Result<(Repository, BTreeMap<String, Remote>), RunError> {
    let tree = |place: &Place| trees.iter().find(|tree| tree.place == *place);
    let copy = |tree: &Tree| tree.source.try_clone().map_err(RunError::Host);
    let git = tree(&Place::parse(&format!("{project}/.git"))?);
    // A linked work tree's `.git` is a file that says where its folder is; that is lent as well.
    let place = git.and_then(|git| Place::parse(&pointer(&git.source)?).ok());
    let folder = match &place {
        Some(place) => trees
            .iter()
            .find(|tree| tree.access == Access::Write && place.is_within(&tree.place)),
        None => git,
    };
    let own = match (&place, folder) {
        (Some(place), Some(folder)) => place.within(&folder.place).to_owned(),
        _ => String::new(),
    };
    let git = folder.map(copy).transpose()?;
    let project = copy(tree(project).ok_or(RunError::Stopping)?)?;
    let read = move || {
        let repository = match git {
            Some(git) => Repository::lent(git, &own),
            None => Repository::open(project),
        };
        let remotes = repository.remotes();
        (repository, remotes)
    };
    tokio::task::spawn_blocking(read)
        .await
        .map_err(|_| RunError::Stopping)
}

/// How long the broker may take after an attestation to have everything ready for sessions.
const READY: Duration = Duration::from_secs(5);

/// Waits until everything that an attestation gives back is there.
async fn may_begin(ground: &Ground) -> Result<(), RunError> {
    let mut acting = ground.acting.clone();
    let given = acting.wait_for(|acting| *acting == Acting::Yes);
    match tokio::time::timeout(READY, given).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(RunError::Stopping),
        Err(_) => Err(RunError::NotAttested("it may do nothing".to_owned())),
    }
}

/// Where this host stands, if it may act.
pub fn attested(ground: &Ground) -> Result<Footing, RunError> {
    let node = ground.attest_host.node();
    let node = node.borrow();
    if let (Some(hold), NodeState::Attested(_)) = (node.hold(ground.clock.now()), &node.state) {
        return Err(RunError::NotAttested(hold.to_string()));
    }
    match &node.state {
        NodeState::Attested(status) => footing(&node).ok_or_else(|| {
            RunError::NotAttested(format!("`{}` is no host's name", status.spiffe_id))
        }),
        NodeState::NotAttested { why, .. } => Err(RunError::NotAttested(why.clone())),
        NodeState::Contained { .. } => footing(&node).ok_or(RunError::Stopping),
        NodeState::NotEnrolled => Err(RunError::NotAttested("it is not enrolled".to_owned())),
    }
}

/// The descriptors of a wish, each in its place.
pub(super) struct Descriptors {
    pub(super) program: File,
    pub(super) trees: Vec<Tree>,
    pub(super) stdio: Stdio,
    pub(super) package: Option<(RunPackage, OwnedFd)>,
}

pub(super) fn sort(
    request: &RunRequest,
    descriptors: Vec<OwnedFd>,
) -> Result<Descriptors, RunError> {
    let spoken_of = request.descriptors();
    let came = descriptors.len();
    let mut descriptors = descriptors.into_iter();
    let mut next = || {
        descriptors
            .next()
            .ok_or(WishError::Descriptors { came, spoken_of })
    };
    let program = File::from(next()?);
    let mut trees = vec![Tree {
        source: next()?,
        place: Place::parse(&request.project)?,
        access: Access::Write,
    }];
    let stdio = match request.stdio {
        RunStdio::Pipes => Stdio::Pipes {
            input: next()?,
            output: next()?,
            errors: next()?,
        },
        RunStdio::Terminal { rows, columns } => Stdio::Terminal(WindowSize { rows, columns }),
    };
    for tree in &request.trees {
        trees.push(Tree {
            source: next()?,
            place: Place::parse(&tree.place)?,
            access: match tree.access {
                RunAccess::Read => Access::Read,
                RunAccess::Write => Access::Write,
            },
        });
    }
    let package = match &request.package {
        Some(package) => Some((package.clone(), next()?)),
        None => None,
    };
    // Outer places are mounted before what lies within them.
    trees.sort_by(|one, other| one.place.cmp(&other.place));
    Ok(Descriptors {
        program,
        trees,
        stdio,
        package,
    })
}

/// The variables that lead the agent to the broker, and name it to itself.
pub(super) const OWN_VARIABLES: [&str; 3] = [
    "SPIFFE_ENDPOINT_SOCKET",
    "HOLDFAST_SOCKET",
    "HOLDFAST_SESSION",
];

/// [`OWN_VARIABLES`] with their values.
fn own_variables(
    identity: &SessionIdentity,
) -> Result<Vec<(VariableName, String)>, InvalidVariable> {
    let values = [
        format!("unix://{INSIDE}"),
        INSIDE.to_owned(),
        identity.session.to_string(),
    ];
    OWN_VARIABLES
        .into_iter()
        .zip(values)
        .map(|(name, value)| Ok((VariableName::try_from(name.to_owned())?, value)))
        .collect()
}

/// Makes the folder of all sessions' sockets, closed to everybody else, and empties it of what a
/// broker that was killed left behind.
pub fn sockets_folder(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    crate::state_folder::make_private(path)
}
