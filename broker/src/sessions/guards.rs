//! What guards a project in a session, and what of that a session would do without.
//!
//! The command line lends what is guarded read-only over itself. Here it is looked whether it has, by what is there: its
//! word for that must never count. What a project keeps from the broker's own user cannot be looked for.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use holdfast_launch_agents::{Access, Place, Tree};
use holdfast_protocol::run::RunRequest;
use holdfast_protocol::triggers::TABLE;
use holdfast_protocol::widening::NamedPath;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use serde::Deserialize;

use super::launch::RunError;
use super::lend::place_of;

/// What is guarded, below the project's root and every folder from there to where the session starts.
#[derive(Clone, Debug)]
pub struct Guarded(Vec<String>);

#[derive(Deserialize)]
struct Table {
    trigger: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    paths: Vec<String>,
    #[serde(default)]
    guarded: bool,
}

impl Guarded {
    /// By the table that comes with Holdfast.
    pub fn built_in() -> Result<Self, toml::de::Error> {
        let table: Table = toml::from_str(TABLE)?;
        let rows = table.trigger.into_iter().filter(|row| row.guarded);
        let paths = rows.flat_map(|row| row.paths);
        Ok(Self(
            paths
                .map(|path| path.trim_matches('/').to_owned())
                .collect(),
        ))
    }

    /// What is there and would be guarded, and could be changed in a session that is lent these trees. Blocks.
    pub fn left_out(
        &self,
        request: &RunRequest,
        trees: &[Tree],
    ) -> Result<Vec<NamedPath>, RunError> {
        let root = Place::parse(&request.project)?;
        let directory = Place::parse(&request.directory)?;
        let Some(project) = trees.iter().find(|tree| tree.place == root) else {
            return Ok(Vec::new());
        };
        let lent = Lent::of(project, trees);
        let bases = prefixes(directory.within(&root)).map(|base| format!("{base}/"));
        let places = std::iter::once(String::new())
            .chain(bases)
            .flat_map(|base| self.0.iter().map(move |path| format!("{base}{path}")));
        let left_out = places
            .filter(|place| !lent.keeps(place) && is_there(&project.source, place))
            .map(NamedPath::try_from);
        Ok(left_out.collect::<Result<_, _>>()?)
    }
}

/// What a session is lent of a project, by names in it.
struct Lent {
    /// Over the project, outermost first.
    over: BTreeMap<String, Access>,
    /// What of it can be changed under another name.
    elsewhere: Vec<PathBuf>,
}

impl Lent {
    fn of(project: &Tree, trees: &[Tree]) -> Self {
        let root = &project.place;
        let real = real(&project.source);
        let others = || trees.iter().filter(|tree| tree.place != *root);
        let over = others()
            .filter(|tree| tree.place.is_within(root))
            .map(|tree| (tree.place.within(root).to_owned(), tree.access))
            .collect();
        let root = PathBuf::from(root.to_string());
        let elsewhere = others()
            .filter(|tree| tree.access == Access::Write)
            .filter_map(|tree| {
                let place = PathBuf::from(tree.place.to_string());
                let lent = self::real(&tree.source);
                match (lent.strip_prefix(&real), real.strip_prefix(&lent)) {
                    (Ok(part), _) => (place != root.join(part)).then(|| part.to_owned()),
                    // A folder that holds the project, which has its own tree there under its own name alone.
                    (_, Ok(part)) => (place.join(part) != root).then(PathBuf::new),
                    (Err(_), Err(_)) => None,
                }
            })
            .collect();
        Self { over, elsewhere }
    }

    /// Whether nothing of this can be changed: it is read-only, and every folder on the way is, or cannot be renamed.
    fn keeps(&self, place: &str) -> bool {
        let mut read_only = false;
        for prefix in prefixes(place) {
            match self.over.get(prefix) {
                Some(Access::Read | Access::Public) => read_only = true,
                Some(Access::Write | Access::Keep) => read_only = false,
                None if read_only => {}
                None => return false,
            }
        }
        let place = Path::new(place);
        let writable_within = self.over.iter().any(|(over, access)| {
            let over = Path::new(over);
            *access == Access::Write && over != place && over.starts_with(place)
        });
        let elsewhere =
            (self.elsewhere.iter()).any(|part| place.starts_with(part) || part.starts_with(place));
        read_only && !writable_within && !elsewhere
    }
}

/// The path's beginnings, shortest first, and itself; none of an empty one.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    ends.chain((!path.is_empty()).then_some(path.len()))
        .filter_map(|end| path.get(..end))
}

fn real(source: &OwnedFd) -> PathBuf {
    // What leads nowhere that has a name was refused before.
    place_of(source).unwrap_or_default()
}

/// Whether it is there, and no link. In doubt it is, but for what the broker's user may not see.
fn is_there(project: &OwnedFd, place: &str) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(project, place, flags, Mode::empty(), within) {
        Ok(_) => true,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ACCESS) => false,
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests;
