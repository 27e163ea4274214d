//! A session's program: measured, kept in the store, and of the kind that it is.
//!
//! What the command line says of a program is a wish; what is believed is what was measured. It must
//! never run anything but the store's copies.

use std::borrow::Cow;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use holdfast_launch_agents::assemble::Script;
use holdfast_launch_agents::claim::{Candidate, NotOfKind, claim};
use holdfast_launch_agents::measure::refuse_privileged;
use holdfast_launch_agents::package::{self, InvalidPart, ScriptError, Selection};
use holdfast_launch_agents::policy::{NotListed, Privileged};
use holdfast_launch_agents::profile::Profile;
use holdfast_launch_agents::store::{Hold, Store, StoreError};
use holdfast_launch_agents::{Access, InvalidPlace, Place, ProgramName, Tree};
use holdfast_protocol::Sha256Digest;
use holdfast_protocol::audit::What;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::measured::MeasuredPackage;
use holdfast_protocol::record::NotRecorded;
use holdfast_protocol::run::{MAX_PARTS, PACKAGE, RunPackage, RunRequest};

use super::Ground;

/// The folder of a package's commands, in npm's layout.
const NPM_COMMANDS: &str = ".bin";
/// What npm calls the folder of packages.
const NPM: &str = "node_modules";

/// A program cannot be launched.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be measured or kept.
    #[error("the program cannot be taken into the store")]
    Store(#[from] StoreError),
    /// The caller names no part of a package.
    #[error(transparent)]
    Part(#[from] InvalidPart),
    /// The caller names too many.
    #[error("a package of more than {MAX_PARTS} parts")]
    Parts,
    /// The package's script cannot be run.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// The caller names something that cannot be a name inside.
    #[error(transparent)]
    Place(#[from] InvalidPlace),
    /// It is not of the kind that was asked for.
    #[error(transparent)]
    NotOfKind(#[from] NotOfKind),
    /// This host's policy does not list it.
    #[error(transparent)]
    NotListed(#[from] NotListed),
    /// The record could not be written.
    #[error(transparent)]
    NotRecorded(#[from] NotRecorded),
    /// The broker is stopping.
    #[error("the broker is stopping")]
    Stopping,
}

/// A program that is in the store, with everything that it runs from.
pub struct Admitted {
    /// SHA-256 of what is executed.
    pub digest: Sha256Digest,
    /// What is executed: the store's copy.
    pub program: OwnedFd,
    /// What it interprets.
    pub script: Option<Script>,
    /// What it interprets, for the record.
    pub package: Option<MeasuredPackage>,
    /// The package's copy, to be mounted.
    pub tree: Option<Tree>,
    /// Keeps all of it in the store as long as the session lives.
    pub holds: Vec<Hold>,
}

/// Measures and keeps what is to run, where blocking is allowed.
pub async fn admit(
    ground: &Ground,
    program: File,
    package: Option<(RunPackage, OwnedFd)>,
) -> Result<Admitted, ProgramError> {
    let store = Arc::clone(&ground.programs);
    let privileged = ground.launch.privileged;
    let admit = move || {
        if privileged == Privileged::Refuse {
            refuse_privileged(&program).map_err(StoreError::Measure)?;
        }
        let stored = store.admit(&program)?;
        let mut admitted = Admitted {
            digest: stored.digest,
            program: stored.program,
            script: None,
            package: None,
            tree: None,
            holds: vec![stored.hold],
        };
        if let Some((wanted, root)) = package {
            take(&store, &wanted, &root, &mut admitted)?;
        }
        Ok(admitted)
    };
    tokio::task::spawn_blocking(admit)
        .await
        .map_err(|_| ProgramError::Stopping)?
}

/// Measures and keeps a package, and reads in the copy how its script is run.
fn take(
    store: &Store,
    wanted: &RunPackage,
    root: &OwnedFd,
    admitted: &mut Admitted,
) -> Result<(), ProgramError> {
    if wanted.parts.len() > MAX_PARTS {
        return Err(ProgramError::Parts);
    }
    let selection = Selection::of(wanted.parts.iter().map(String::as_str))?;
    // A name of one component: what is shown lies below the broker's own place, whoever asks.
    let place = Place::parse(&format!(
        "{PACKAGE}/{}",
        ProgramName::parse(&wanted.name)?.as_str()
    ))?;
    let within = |path: &str| match path {
        "" => Ok(place.clone()),
        path => Place::parse(&format!("{place}/{path}")),
    };
    let stored = store.admit_package(root, &selection)?;
    let read = package::script(&stored.root, &wanted.script)?;
    let found_by = wanted.found_by.as_deref().map(within).transpose()?;
    let commands = match (&wanted.found_by, wanted.name.as_str()) {
        (Some(own), _) => own.rsplit_once('/').map(|(folder, _)| within(folder)),
        (None, NPM) => Some(within(NPM_COMMANDS)),
        (None, _) => None,
    };
    admitted.script = Some(Script {
        interpreter: ProgramName::parse(&wanted.interpreter)?,
        options: read.options,
        place: within(&wanted.script)?,
        found_by,
        commands: commands.transpose()?,
    });
    admitted.package = Some(MeasuredPackage {
        digest: stored.digest,
        script: wanted.script.clone(),
        name: read.command_of,
    });
    admitted.tree = Some(Tree {
        source: stored.root,
        place,
        access: Access::Public,
    });
    admitted.holds.push(stored.hold);
    Ok(())
}

/// The profile of the program's kind, with what the human's own adds to it. A kind that only the human
/// knows is whatever they say that it is.
pub fn kind<'g>(
    ground: &'g Ground,
    request: &RunRequest,
    own: Option<Profile>,
    admitted: &Admitted,
) -> Result<Cow<'g, Profile>, ProgramError> {
    let profiles = &ground.profiles;
    let wanted = request.agent.as_ref();
    if let Some(own) = &own
        && profiles.iter().all(|known| known.kind != own.kind)
        && wanted.is_none_or(|wanted| *wanted == own.kind)
    {
        return Ok(Cow::Owned(own.clone()));
    }
    let candidate = candidate(request, admitted);
    let claimed = claim(profiles, candidate, wanted, &ground.launch)?;
    let own = own.filter(|own| own.kind == claimed.kind);
    Ok(own.map_or(Cow::Borrowed(claimed), Cow::Owned))
}

/// Whether this host launches the program as that; a refusal is on record.
pub async fn permit(
    ground: &Ground,
    profile: &Profile,
    request: &RunRequest,
    admitted: &Admitted,
    human: u32,
) -> Result<(), ProgramError> {
    let permitted = (ground.launch).permit(&profile.kind, candidate(request, admitted));
    let Err(refused) = permitted else {
        return Ok(());
    };
    let refusal = What::LaunchRefused {
        human: HumanUid(human),
        kind: profile.kind.clone(),
        program: admitted.digest,
        package: admitted.package.clone(),
    };
    ground.record.record(refusal).await?;
    Err(refused.into())
}

fn candidate<'a>(request: &'a RunRequest, admitted: &'a Admitted) -> Candidate<'a> {
    Candidate {
        name: &request.program,
        program: admitted.digest,
        package: admitted.package.as_ref(),
    }
}
