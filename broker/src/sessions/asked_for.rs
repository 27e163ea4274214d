//! What a request asks for, as the kinds of agents, the host's configuration and the calls see it.
//!
//! It must never take the command line's word for why something is to be changed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use holdfast_authorize_calls::world::{Lent, Remote};
use holdfast_issue_credentials::grant::Granted;
use holdfast_launch_agents::claim::NotOfKind;
use holdfast_launch_agents::profile::{Profile, with_own};
use holdfast_launch_agents::{Access, InvalidPlace, Place, Tree};
use holdfast_protocol::run::{RunAccess, RunRequest, RunTree, RunWhy};

use super::Ground;
use super::grants;
use super::launch::RunError;
use super::lend::{Asked, Why};
use super::program::ProgramError;

/// The human's own profile, with what Holdfast knows of its kind.
pub fn own(profiles: &[Profile], request: &RunRequest) -> Result<Option<Profile>, RunError> {
    let Some(own) = &request.profile else {
        return Ok(None);
    };
    with_own(profiles, &own.kind, &request.program, &own.text)
        .map(Some)
        .map_err(|source| RunError::OwnProfile {
            kind: own.kind.clone(),
            source,
        })
}

/// The profile that the request is for, with what the human's own adds, as far as the program's name
/// tells: what it is is known when it was measured.
pub fn profile<'p>(
    profiles: &'p [Profile],
    request: &RunRequest,
) -> Result<Cow<'p, Profile>, RunError> {
    if let Some(own) = own(profiles, request)? {
        return Ok(Cow::Owned(own));
    }
    let found = match &request.agent {
        Some(kind) => {
            let known = profiles.iter().find(|profile| profile.kind == *kind);
            known.ok_or_else(|| NotOfKind::Unknown(kind.clone()))
        }
        None => Profile::for_program(profiles, &request.program)
            .ok_or_else(|| NotOfKind::None(request.program.clone())),
    };
    let found = found.map_err(ProgramError::NotOfKind)?;
    Ok(Cow::Borrowed(found))
}

/// Whether the human may lend all of this.
pub fn judge(
    ground: &Ground,
    human: u32,
    request: &RunRequest,
    trees: &[Tree],
) -> Result<(), RunError> {
    let project = Place::parse(&request.project)?;
    let named = named(request);
    for tree in trees {
        let place = tree.place.to_string();
        let asked = request.trees.iter().find(|asked| asked.place == place);
        let said = asked.map(|asked| asked.why);
        let why = if said == Some(RunWhy::Git) {
            Why::Git
        } else if said == Some(RunWhy::Guard) && tree.place.is_within(&project) && is_at(tree) {
            Why::Guard
        } else if named.iter().any(|named| named.place == place) {
            Why::Named
        } else if tree.place == project {
            Why::Project
        } else {
            Why::Needed
        };
        let asked = Asked {
            place: Path::new(&place),
            access: match tree.access {
                Access::Public | Access::Read => RunAccess::Read,
                Access::Write | Access::Keep => RunAccess::Write,
            },
            why,
        };
        let home = Path::new(&request.home);
        ground.lending.judge(human, home, asked, &tree.source)?;
    }
    Ok(())
}

/// Whether it appears where it is.
fn is_at(tree: &Tree) -> bool {
    let real = std::fs::read_link(format!("/proc/self/fd/{}", tree.source.as_raw_fd()));
    real.is_ok_and(|real| real == Path::new(&tree.place.to_string()))
}

/// Where programs are looked for.
pub fn path(request: &RunRequest) -> Result<Vec<Place>, InvalidPlace> {
    let folders = request.path.iter();
    folders.map(|folder| Place::parse(folder)).collect()
}

/// What the human named, besides what the session's program and agent need: whatever is to be changed, too, but
/// for the folder that stands for the project's own `.git`.
pub fn named(request: &RunRequest) -> Vec<RunTree> {
    let git = Path::new(&request.project).join(".git");
    let own = |tree: &RunTree| {
        let place = Path::new(&tree.place);
        match tree.why {
            RunWhy::Git => place.starts_with(&git),
            RunWhy::Guard => place.starts_with(&request.project),
            RunWhy::Tool | RunWhy::Instruction | RunWhy::Named => false,
        }
    };
    let named = |tree: &&RunTree| {
        tree.why == RunWhy::Named || (tree.access == RunAccess::Write && !own(tree))
    };
    request.trees.iter().filter(named).cloned().collect()
}

/// The same, for the calls that touch it.
pub fn lent(request: &RunRequest) -> Vec<Lent> {
    let named = named(request).into_iter();
    named
        .map(|tree| Lent {
            root: PathBuf::from(tree.place),
            access: tree.access,
        })
        .collect()
}

/// Hosts that the session may fetch from without a question.
pub fn hosts(
    profile: &Profile,
    granted: &[Granted],
    remotes: &BTreeMap<String, Remote>,
) -> BTreeSet<String> {
    let mut hosts = grants::hosts(granted, remotes);
    hosts.extend(profile.hosts.iter().cloned());
    hosts
}

#[cfg(test)]
mod tests {
    use holdfast_protocol::run::{RunAim, RunKept, RunStdio};

    use super::*;

    #[test]
    fn what_is_to_be_changed_counts_as_named_whatever_is_said() {
        let tree = |place: &str, access, why| RunTree {
            place: place.to_owned(),
            access,
            why,
        };
        let request = RunRequest {
            agent: None,
            purpose: None,
            program: "bash".to_owned(),
            arguments: vec![],
            environment: vec![],
            user: "ann".to_owned(),
            home: "/home/ann".to_owned(),
            project: "/home/ann/app".to_owned(),
            directory: "/home/ann/app".to_owned(),
            trees: vec![
                tree("/opt/node", RunAccess::Read, RunWhy::Tool),
                tree("/home/ann/data", RunAccess::Write, RunWhy::Tool),
                tree("/home/ann/docs", RunAccess::Read, RunWhy::Named),
            ],
            path: vec![],
            stdio: RunStdio::Pipes,
            widenings: vec![],
            package: None,
            aim: RunAim::Session,
            kept: RunKept::Kept,
            profile: None,
        };
        let named = named(&request).into_iter().map(|tree| tree.place);
        assert!(named.eq(["/home/ann/data", "/home/ann/docs"]));
        assert_eq!(lent(&request).len(), 2);
    }
}
