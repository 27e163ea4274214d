//! What a request asks for, as the kinds of agents, the host's configuration and the calls see it.
//!
//! It must never take the command line's word for why something is to be changed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use holdfast_authorize_calls::world::{Lent, Remote};
use holdfast_issue_credentials::grant::Granted;
use holdfast_launch_agents::claim::NotOfKind;
use holdfast_launch_agents::profile::{Profile, with_own};
use holdfast_launch_agents::{Access, InvalidPlace, Place, Tree};
use holdfast_protocol::run::{RunAccess, RunRequest, RunTree, RunWhy};
use holdfast_protocol::widening::{InvalidWidening, NamedPath, Widening};

use super::Ground;
use super::grants;
use super::launch::RunError;
use super::lend::{self, Asked, Why};
use super::program::ProgramError;
use super::widened::Widened;

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

/// What is lent besides the project, by why it is.
pub struct Judged {
    /// What the human named.
    pub named: Vec<RunTree>,
    /// What tools, the agent and git need outside the project.
    pub needed: Vec<String>,
}

/// Whether the human may lend all of this; what of it they named, besides what the session's program and agent
/// need. Whatever is to be changed counts as named, but for the project itself, what guards it, and a folder that
/// was made to stand for its `.git`.
pub fn judge(
    ground: &Ground,
    human: u32,
    request: &RunRequest,
    trees: &[Tree],
) -> Result<Judged, RunError> {
    let project = Place::parse(&request.project)?;
    let home = Path::new(&request.home);
    let (mut named, mut needed) = (Vec::new(), Vec::new());
    for tree in trees {
        let place = tree.place.to_string();
        let asked = request.trees.iter().find(|asked| asked.place == place);
        let why = why(asked, tree, &project, home);
        match why {
            Why::Named => named.extend(asked.cloned()),
            Why::Needed | Why::Git if !tree.place.is_within(&project) => needed.push(place.clone()),
            Why::Needed | Why::Git | Why::Guard | Why::Project => {}
        }
        let asked = Asked {
            place: Path::new(&place),
            access: access(tree.access),
            why,
        };
        ground.lending.judge(human, home, asked, &tree.source)?;
    }
    Ok(Judged { named, needed })
}

fn access(access: Access) -> RunAccess {
    match access {
        Access::Public | Access::Read => RunAccess::Read,
        Access::Write | Access::Keep => RunAccess::Write,
    }
}

/// Why a tree is lent, by what it is more than by what is said.
fn why(asked: Option<&RunTree>, tree: &Tree, project: &Place, home: &Path) -> Why {
    let Some(asked) = asked else {
        return Why::Project;
    };
    let real = lend::place_of(&tree.source).unwrap_or_default();
    let write = asked.access == RunAccess::Write;
    match asked.why {
        RunWhy::Guard
            if tree.place.is_within(project) && real == Path::new(&tree.place.to_string()) =>
        {
            Why::Guard
        }
        RunWhy::Git if !write || lend::stands_for_git(home, &real) => Why::Git,
        RunWhy::Named => Why::Named,
        RunWhy::Tool | RunWhy::Instruction | RunWhy::Git | RunWhy::Guard if write => Why::Named,
        RunWhy::Tool | RunWhy::Instruction | RunWhy::Git | RunWhy::Guard => Why::Needed,
    }
}

/// With what is lent and what is not guarded, by what is there.
pub fn all(
    ground: &Ground,
    widened: Widened,
    (request, trees): (&RunRequest, &[Tree]),
    named: &[RunTree],
) -> Result<Widened, RunError> {
    let left_out = tokio::task::block_in_place(|| ground.guarded.left_out(request, trees))?;
    let lent = lends(named, trees)?;
    Ok(widened.with(
        lent.into_iter()
            .chain(left_out.into_iter().map(Widening::Unguard)),
    ))
}

/// What was named, as the policy judges it: under the name that it has inside, and under that of the place where it
/// lies, which a link may have hidden.
fn lends(named: &[RunTree], trees: &[Tree]) -> Result<Vec<Widening>, InvalidWidening> {
    let mut lends = Vec::new();
    for asked in named {
        let source = trees
            .iter()
            .find(|tree| tree.place.to_string() == asked.place);
        let real = source.and_then(|tree| lend::place_of(&tree.source).ok());
        let real = real.map(|real| real.to_string_lossy().into_owned());
        for path in [Some(asked.place.clone()), real].into_iter().flatten() {
            let path = NamedPath::try_from(path)?;
            lends.push(match asked.access {
                RunAccess::Read => Widening::Read(path),
                RunAccess::Write => Widening::Write(path),
            });
        }
    }
    Ok(lends)
}

/// Where programs are looked for.
pub fn path(request: &RunRequest) -> Result<Vec<Place>, InvalidPlace> {
    let folders = request.path.iter();
    folders.map(|folder| Place::parse(folder)).collect()
}

/// What was named, for the calls that touch it.
pub fn lent(named: &[RunTree]) -> Vec<Lent> {
    let lent = named.iter().map(|tree| Lent {
        root: PathBuf::from(&tree.place),
        access: tree.access,
    });
    lent.collect()
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
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs::{File, create_dir_all};

    use super::*;

    #[test]
    fn what_is_to_be_changed_counts_as_named_whatever_is_said() {
        let scratch = tempfile::tempdir().unwrap();
        let home = scratch.path().canonicalize().unwrap();
        let project = Place::parse(&home.join("app").display().to_string()).unwrap();
        let judged = |source: &str, place: &str, access, said| {
            let (source, place) = (home.join(source), home.join(place).display().to_string());
            create_dir_all(&source).unwrap();
            let tree = Tree {
                source: File::open(source).unwrap().into(),
                place: Place::parse(&place).unwrap(),
                access: Access::Read,
            };
            let asked = RunTree {
                place,
                access,
                why: said,
            };
            why(Some(&asked), &tree, &project, &home)
        };
        let (read, write) = (RunAccess::Read, RunAccess::Write);
        assert_eq!(judged("node", "node", read, RunWhy::Tool), Why::Needed);
        assert_eq!(judged("docs", "docs", read, RunWhy::Named), Why::Named);
        let kept = ".local/state/holdfast/git/7";
        assert_eq!(judged(kept, "app/.git", write, RunWhy::Git), Why::Git);
        let github = judged("app/.github", "app/.github", write, RunWhy::Guard);
        assert_eq!(github, Why::Guard);
        // The same words over something else.
        for said in [RunWhy::Tool, RunWhy::Instruction, RunWhy::Git] {
            assert_eq!(judged("data", "app/.git", write, said), Why::Named);
        }
        for (source, place) in [("data", "app/.github"), ("data", "data")] {
            assert_eq!(judged(source, place, write, RunWhy::Guard), Why::Named);
        }
        let all = judged(".local/state/holdfast/git", "app/.git", write, RunWhy::Git);
        assert_eq!(all, Why::Named);
    }
}
