//! Files of the project that a session gets read-only: they decide what runs outside of it.
//!
//! Each is lent over itself, and so is every folder on the way to it, which could be renamed otherwise. A symbolic
//! link is never followed: what it leads to is not guarded, and the human is told.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use holdfast_protocol::run::{RunAccess, RunTree, RunWhy};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::lent::{self, Lent};
use crate::outcome::Problem;
use crate::render::printable;
use crate::snapshot::path::RelPath;
use crate::triggers::Triggers;

/// The most places, with the folders on the way: a session takes few trees.
const MOST: usize = 48;

/// What guards a project.
#[derive(Debug, Default)]
pub struct Guards {
    /// How: trees over the project's.
    pub lent: Vec<Lent>,
    /// What is read-only.
    pub places: Vec<RelPath>,
    /// What would be, had it not been lifted.
    pub lifted: Vec<RelPath>,
    /// What the human should know.
    pub notes: Vec<String>,
}

impl Guards {
    /// Finds what is to be guarded in `project`, and on the way from there to `directory`.
    pub fn find(
        triggers: &Triggers,
        project: &Path,
        directory: &Path,
        lift: &[PathBuf],
    ) -> Result<Self, Problem> {
        let root = lent::open(project)?;
        let lift: Vec<RelPath> = lift
            .iter()
            .map(|path| within(project, path))
            .collect::<Result<_, _>>()?;
        let mut bases = vec![None];
        if let Some(inner) = RelPath::of(project, directory) {
            bases.extend(inner.ancestors().map(Some));
            bases.push(Some(inner));
        }
        let mut guards = Self::default();
        let mut lifting = vec![false; lift.len()];
        for base in &bases {
            for place in triggers.guarded() {
                let place = match base {
                    Some(base) => RelPath::parse(&[base.as_bytes(), place.as_bytes()].join(&b'/')),
                    None => Some(place),
                };
                let Some(place) = place else { continue };
                let lifted = lift
                    .iter()
                    .position(|lifted| place.is_in(lifted) || lifted.is_in(&place));
                let Some(source) = guards.open(root.as_fd(), &place)? else {
                    continue;
                };
                if let Some(flag) = lifted.and_then(|at| lifting.get_mut(at)) {
                    *flag = true;
                    guards.lifted.push(place);
                } else {
                    guards.add(project, &place, source, RunAccess::Read)?;
                    guards.places.push(place);
                }
            }
        }
        for (path, _) in lift.iter().zip(&lifting).filter(|(_, lifted)| !**lifted) {
            let path = printable(&path.to_string());
            guards.notes.push(format!("`{path}` is not guarded anyway"));
        }
        guards.hold_the_way(root.as_fd(), project)?;
        Ok(guards)
    }

    /// Lends every folder on the way over itself: what is a mount point cannot be renamed.
    fn hold_the_way(&mut self, root: BorrowedFd<'_>, project: &Path) -> Result<(), Problem> {
        let mut ways: Vec<RelPath> = self.places.iter().flat_map(RelPath::ancestors).collect();
        ways.sort();
        ways.dedup();
        for way in ways {
            if self.places.iter().any(|place| way.is_in(place)) {
                continue;
            }
            let Some(source) = self.open(root, &way)? else {
                continue;
            };
            // Only the human's own is lent for writing.
            let own = stat(&source)?.st_uid == rustix::process::geteuid().as_raw();
            let access = if own {
                RunAccess::Write
            } else {
                RunAccess::Read
            };
            self.add(project, &way, source, access)?;
        }
        Ok(())
    }

    /// Opens what is there, and no link.
    fn open(&mut self, root: BorrowedFd<'_>, place: &RelPath) -> Result<Option<OwnedFd>, Problem> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let name = printable(&place.to_string());
        match rustix::fs::openat2(root, place.as_bytes(), flags, Mode::empty(), within) {
            Ok(source) => {
                let stat = stat(&source)?;
                let file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
                if file && stat.st_nlink > 1 {
                    let note = format!(
                        "`{name}` has other names (hard links); by one in the project it can be changed"
                    );
                    self.notes.push(note);
                }
                Ok(Some(source))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(Errno::LOOP) => {
                let note = format!("`{name}` is reached by a symbolic link, so it is not guarded");
                self.notes.push(note);
                Ok(None)
            }
            Err(errno) => Err(Problem::failed(
                format!("`{name}` cannot be guarded: {errno}"),
                "mend its permissions, or lift the guard with --unguard",
            )),
        }
    }

    fn add(
        &mut self,
        project: &Path,
        place: &RelPath,
        source: OwnedFd,
        access: RunAccess,
    ) -> Result<(), Problem> {
        let path = place.below(project);
        let Some(path) = path.to_str() else {
            return Err(Problem::usage(
                format!("`{}` is not a name that a session can have", path.display()),
                "name folders in UTF-8",
            ));
        };
        if self.lent.len() >= MOST {
            return Err(Problem::usage(
                format!("more than {MOST} files and folders of the project would be guarded"),
                "start in its root, or lift some guards with --unguard",
            ));
        }
        self.lent.push(Lent {
            tree: RunTree {
                place: path.to_owned(),
                access,
                why: RunWhy::Guard,
            },
            source,
        });
        Ok(())
    }
}

/// A path that the human names, from here or from the project's root, as one in the project.
fn within(project: &Path, path: &Path) -> Result<RelPath, Problem> {
    RelPath::named(project, path).ok_or_else(|| {
        Problem::usage(
            format!("`{}` is not in the project", path.display()),
            "name a file or folder in the project",
        )
    })
}

fn stat(source: &OwnedFd) -> Result<Stat, Problem> {
    rustix::fs::fstat(source)
        .map_err(|errno| Problem::failed(format!("the project cannot be read: {errno}"), ""))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn find(project: &Path, directory: &Path, lift: &[&str]) -> Guards {
        let lift: Vec<PathBuf> = lift.iter().map(PathBuf::from).collect();
        let triggers = Triggers::built_in().unwrap();
        Guards::find(&triggers, project, directory, &lift).unwrap()
    }

    fn trees(guards: &Guards, project: &Path) -> Vec<(String, RunAccess)> {
        let mut trees: Vec<_> = guards
            .lent
            .iter()
            .map(|lent| {
                let place = Path::new(&lent.tree.place).strip_prefix(project).unwrap();
                (place.display().to_string(), lent.tree.access)
            })
            .collect();
        trees.sort_by(|one, other| one.0.cmp(&other.0));
        trees
    }

    #[test]
    fn what_is_there_is_guarded_and_so_is_the_way_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().canonicalize().unwrap();
        fs::create_dir_all(project.join(".github/workflows")).unwrap();
        fs::create_dir_all(project.join("sub/.claude")).unwrap();
        fs::write(project.join("sub/.claude/settings.json"), "{}").unwrap();
        fs::write(project.join(".mcp.json"), "{}").unwrap();
        fs::write(project.join("other.json"), "{}").unwrap();
        let (read, write) = (RunAccess::Read, RunAccess::Write);

        let root = find(&project, &project, &[]);
        let expected = [
            (".github", write),
            (".github/workflows", read),
            (".mcp.json", read),
        ];
        assert_eq!(
            trees(&root, &project),
            expected.map(|(a, b)| (a.to_owned(), b))
        );
        assert_eq!(root.notes, Vec::<String>::new());

        let inner = find(&project, &project.join("sub"), &[".github", "nothing"]);
        let expected = [
            (".mcp.json", read),
            ("sub", write),
            ("sub/.claude", write),
            ("sub/.claude/settings.json", read),
        ];
        assert_eq!(
            trees(&inner, &project),
            expected.map(|(a, b)| (a.to_owned(), b))
        );
        assert_eq!(inner.lifted.len(), 1);
        assert_eq!(inner.notes, ["`nothing` is not guarded anyway"]);
    }

    #[test]
    fn no_link_is_followed_and_the_human_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().canonicalize().unwrap();
        fs::create_dir(project.join("real")).unwrap();
        fs::write(project.join("real/settings.json"), "{}").unwrap();
        symlink("real", project.join(".claude")).unwrap();
        symlink("/etc/passwd", project.join(".mcp.json")).unwrap();
        fs::hard_link(
            project.join("real/settings.json"),
            project.join("opencode.json"),
        )
        .unwrap();
        let guards = find(&project, &project, &[]);
        let expected = vec![("opencode.json".to_owned(), RunAccess::Read)];
        assert_eq!(trees(&guards, &project), expected);
        let told = guards.notes.join("\n");
        for word in [
            ".claude/settings.json` is reached by",
            ".mcp.json` is reached by",
            "hard links",
        ] {
            assert!(told.contains(word), "{word}: {told}");
        }
    }

    #[test]
    fn only_what_is_in_the_project_can_be_named() {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path().canonicalize().unwrap();
        let triggers = Triggers::built_in().unwrap();
        let refused = Guards::find(&triggers, &project, &project, &["/etc".into()]).unwrap_err();
        assert!(
            refused.to_string().contains("not in the project"),
            "{refused}"
        );
    }
}
