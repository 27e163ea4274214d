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
use holdfast_launch_agents::state::Facts;
use holdfast_launch_agents::store::Hold;
use holdfast_launch_agents::task::{Prepared, SessionError};
use holdfast_launch_agents::{
    Access, InvalidPlace, Limits, Place, ProgramName, Stdio, Tree, UserName, WindowSize,
};
use holdfast_protocol::call::{Caller, HumanUid};
use holdfast_protocol::grade::Level;
use holdfast_protocol::management::NodeState;
use holdfast_protocol::run::{RunAccess, RunPackage, RunRequest, RunStdio};

use super::Ground;
use super::authority::footing;
use super::folder::{Folder, INSIDE};
use super::grants::{self, Given, give};
use super::homes::NoHome;
use super::known::Known;
use super::named::{Named, name};
use super::program::{ProgramError, admit, profile};
use super::repository::Repository;
use super::socket::WishError;
use crate::warden::Acting;

/// The bridge's port on a session's own loopback.
pub const BRIDGE: NonZeroU16 = NonZeroU16::MIN.saturating_add(3127);

/// What git runs inside to be given a credential.
const CREDENTIAL_HELPER: &str = "/opt/holdfast/libexec/holdfast-hook credential git";

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
    /// The launch cannot be put together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// What the agent keeps between sessions cannot be had.
    #[error(transparent)]
    Home(#[from] NoHome),
    /// A variable of our own is not one.
    #[error(transparent)]
    Variable(#[from] InvalidVariable),
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
    /// What keeps its program in the store.
    pub holds: Vec<Hold>,
}

/// Makes the session that `request` asks for; `human` is the kernel's word on who asks.
pub async fn make(
    ground: &Ground,
    request: RunRequest,
    descriptors: Vec<OwnedFd>,
    connection: OwnedFd,
    human: u32,
) -> Result<Made, RunError> {
    attested(ground)?;
    may_begin(ground).await?;
    let Descriptors {
        program,
        trees,
        stdio,
        package,
    } = sort(&request, descriptors)?;
    let admitted = admit(ground, program, package).await?;
    let profile = profile(ground, &request, &admitted, human).await?;
    // As late as can be: a name that was signed ahead is gone with the attempt.
    let Named {
        identity,
        spare,
        footing,
        note,
    } = name(ground, &profile.kind)?;
    let session = identity.session;
    let facts = Facts {
        kind: profile.kind.clone(),
        human,
        program: admitted.digest,
        package: admitted.package,
        purpose: request.purpose.clone(),
    };
    let (folder, listener) = Folder::make(&ground.sockets, session).map_err(RunError::Host)?;
    let (repository, remotes) = repository(&trees, &Place::parse(&request.project)?).await?;
    let kind = &profile.kind;
    let mut given = give(&ground.vaults, session, HumanUid(human), kind, &remotes).await;
    given.notes.extend(note);
    let mut environment = own_variables(&identity)?;
    for (name, value) in bridge::environment(&given.granted, BRIDGE, CREDENTIAL_HELPER) {
        environment.push((VariableName::try_from(name)?, value));
    }
    let home = Place::parse(&request.home)?;
    let lent = request.trees.iter().map(|tree| &tree.place);
    let mounted = std::iter::once(&request.project).chain(lent);
    let kept = ground.homes.open(
        human,
        profile,
        &request.project,
        &home,
        mounted.map(String::as_str),
    )?;
    let own_trees = kept
        .into_iter()
        .chain(ground.own.trees()?)
        .chain(admitted.tree)
        .collect();
    let provided = Provided {
        program: admitted.program,
        script: admitted.script,
        sockets: folder.open().map_err(RunError::Host)?,
        bridge: BRIDGE,
        environment,
        trees: own_trees,
        limits: Limits::default(),
    };
    let caller = Caller {
        session,
        spiffe_id: identity.spiffe_id.clone(),
        kind: profile.kind.clone(),
        level: Level::L3,
        human: HumanUid(human),
    };
    let secrets = given.granted.iter();
    let world = World {
        project: PathBuf::from(&request.project),
        home: PathBuf::from(&request.home),
        scratch: vec![PathBuf::from("/tmp"), PathBuf::from("/var/tmp")],
        hosts: grants::hosts(&given.granted, &remotes),
        secrets: secrets
            .map(|granted| (granted.name.to_string(), granted.purpose.clone()))
            .collect(),
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
        arguments: request.arguments,
        environment: request.environment,
        path: request
            .path
            .iter()
            .map(|folder| Place::parse(folder))
            .collect::<Result<_, _>>()?,
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
        holds: admitted.holds,
    })
}

/// The project's repository and its remotes, read where blocking is allowed.
async fn repository(
    trees: &[Tree],
    project: &Place,
) -> Result<(Repository, BTreeMap<String, Remote>), RunError> {
    let project = trees.iter().find(|tree| tree.place == *project);
    let project = project.ok_or(RunError::Stopping)?;
    let project = project.source.try_clone().map_err(RunError::Host)?;
    let read = move || {
        let repository = Repository::open(project);
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
        NodeState::NotEnrolled => Err(RunError::NotAttested("it is not enrolled".to_owned())),
    }
}

/// The descriptors of a wish, each in its place.
struct Descriptors {
    program: File,
    trees: Vec<Tree>,
    stdio: Stdio,
    package: Option<(RunPackage, OwnedFd)>,
}

fn sort(request: &RunRequest, descriptors: Vec<OwnedFd>) -> Result<Descriptors, RunError> {
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

/// What leads the agent to the broker, and names it to itself.
fn own_variables(
    identity: &SessionIdentity,
) -> Result<Vec<(VariableName, String)>, InvalidVariable> {
    [
        ("SPIFFE_ENDPOINT_SOCKET", format!("unix://{INSIDE}")),
        ("HOLDFAST_SOCKET", INSIDE.to_owned()),
        ("HOLDFAST_SESSION", identity.session.to_string()),
    ]
    .into_iter()
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
