//! What stays from one session to the next: an agent's home, and what a project's tools have fetched.
//!
//! A home for each human, kind of agent and project, and caches for each human and project, in the
//! broker's own folder, where neither the human's other programs nor another project's agent reach
//! them. It must never hold what a session must not see.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use holdfast_launch_agents::home::{HomeError, login, make_file, make_folders, seed};
use holdfast_launch_agents::profile::Profile;
use holdfast_launch_agents::{Access, InvalidPlace, Place, Tree};
use holdfast_proof::hash::sha256;
use holdfast_protocol::id::SessionId;
use rustix::fs::{FileType, Mode, OFlags, fstat};

use super::removal::remove;
use crate::state_folder::make_private;

/// Where tools keep what can be fetched or built again, below home.
pub const CACHES: &[&str] = &[
    ".bundle", ".cache", ".cargo", ".gradle", ".ivy2", ".m2", ".npm", ".nuget", ".yarn", "go",
];

/// Agents' homes and projects' caches.
#[derive(Clone, Debug)]
pub struct Homes(PathBuf);

/// Whose home and caches.
#[derive(Clone, Copy, Debug)]
pub struct Whose<'a> {
    /// The human.
    pub human: u32,
    /// The agent's profile.
    pub profile: &'a Profile,
    /// The project's place.
    pub project: &'a str,
    /// Home's place.
    pub home: &'a Place,
}

/// Whether what a session leaves stays.
#[derive(Clone, Copy, Debug)]
pub enum Stay {
    /// It stays, for the next session of the same.
    Kept,
    /// It goes with this session.
    With(SessionId),
}

/// The trees of a home and its caches, and their end where they do not stay.
#[derive(Debug)]
pub struct Kept {
    /// The home first, then the caches.
    pub trees: Vec<Tree>,
    /// Removes what does not stay.
    pub gone: Option<Passing>,
}

/// A home that goes with its session. Dropped, it is removed.
#[derive(Debug)]
pub struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        let folder = std::mem::take(&mut self.0);
        // It may be large, and nobody waits for it; what is left over goes with the next start.
        std::thread::spawn(move || {
            if let Err(error) = remove(&folder) {
                tracing::warn!(%error, folder = %folder.display(), "a home is not gone");
            }
        });
    }
}

/// A home cannot be had; the environment, or what an agent left in it.
#[derive(Debug, thiserror::Error)]
pub enum NoHome {
    /// Its folder cannot be made or opened.
    #[error("the agent's home cannot be opened")]
    Folder(#[from] io::Error),
    /// What it starts with cannot be written.
    #[error(transparent)]
    Seed(#[from] HomeError),
    /// It has no place inside.
    #[error(transparent)]
    Place(#[from] InvalidPlace),
}

impl Homes {
    /// Homes below `folder`; those that were to go with a session of a broker that was killed are gone.
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        make_private(&folder)?;
        remove(&folder.join(PASSING))?;
        Ok(Self(folder))
    }

    /// The folder that all of them are in.
    pub fn root(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.0, flags, Mode::empty())?)
    }

    /// The home and the caches of `whose`. They have something to mount on for each of `mounted` that
    /// lies in them: who mounts may not make any there.
    pub fn open(&self, whose: Whose<'_>, stay: Stay, mounted: &[Tree]) -> Result<Kept, NoHome> {
        let project = HEXLOWER.encode(sha256(whose.project.as_bytes()).as_bytes());
        let project = project.get(..32).unwrap_or(&project);
        let (folder, gone) = match stay {
            Stay::Kept => (self.0.join(whose.human.to_string()), None),
            Stay::With(session) => {
                let folder = self.0.join(PASSING).join(session.to_string());
                (folder.clone(), Some(Passing(folder)))
            }
        };
        let home = folder.join(format!("{}-{project}", whose.profile.kind));
        let caches = folder.join("caches").join(project);
        let mut trees = vec![Tree {
            source: private(&home)?,
            place: whose.home.clone(),
            access: Access::Keep,
        }];
        for (name, place) in places(whose.home) {
            trees.push(Tree {
                source: private(&caches.join(name.replace('/', "-")))?,
                place: place?,
                access: Access::Keep,
            });
        }
        if let Some(home) = trees.first() {
            seed(&home.source, &login())?;
            seed(&home.source, &whose.profile.seed)?;
        }
        for (index, tree) in trees.iter().enumerate() {
            let caches = trees.iter().skip(index + 1);
            for inner in caches.chain(mounted) {
                make_mount_point(tree, inner)?;
            }
        }
        Ok(Kept { trees, gone })
    }
}

/// Below the folder of homes, those that go with their sessions; no human's uid.
const PASSING: &str = "passing";

/// The places of caches, by their names below home.
pub fn places(home: &Place) -> impl Iterator<Item = (&'static str, Result<Place, InvalidPlace>)> {
    CACHES
        .iter()
        .map(move |name| (*name, Place::parse(&format!("{home}/{name}"))))
}

/// A folder of the broker's own, with all that leads to it below the folder of homes.
fn private(folder: &Path) -> io::Result<OwnedFd> {
    make_private(folder)?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(folder, flags, Mode::empty())?)
}

fn make_mount_point(outer: &Tree, inner: &Tree) -> Result<(), NoHome> {
    let below = format!("{}/", outer.place);
    let inside = inner.place.to_string();
    let Some(inside) = inside.strip_prefix(&below) else {
        return Ok(());
    };
    let mode = fstat(&inner.source).map_err(io::Error::from)?.st_mode;
    if FileType::from_raw_mode(mode).is_dir() {
        make_folders(outer.source.as_fd(), inside)?;
    } else {
        make_file(outer.source.as_fd(), inside)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use std::fs::File;

    use super::*;

    struct World {
        homes: Homes,
        folder: tempfile::TempDir,
        profiles: Vec<Profile>,
        place: Place,
    }

    fn world() -> World {
        let folder = tempfile::tempdir().unwrap();
        World {
            homes: Homes::new(folder.path().join("homes")).unwrap(),
            folder,
            profiles: Profile::built_in().unwrap(),
            place: Place::parse("/home/ann").unwrap(),
        }
    }

    impl World {
        fn open(&self, human: u32, program: &str, project: &str, stay: Stay) -> Kept {
            let whose = Whose {
                human,
                profile: Profile::for_program(&self.profiles, program).unwrap(),
                project,
                home: &self.place,
            };
            self.homes.open(whose, stay, &[]).unwrap()
        }

        /// The inodes of the home and of the first cache.
        fn inodes(&self, human: u32, program: &str, project: &str) -> (u64, u64) {
            let kept = self.open(human, program, project, Stay::Kept);
            let inode = |tree: &Tree| fstat(&tree.source).unwrap().st_ino;
            (inode(&kept.trees[0]), inode(&kept.trees[1]))
        }
    }

    #[test]
    fn a_home_is_of_one_human_one_kind_and_one_project() {
        let world = world();
        let first = world.inodes(1000, "claude", "/home/ann/app");
        assert_eq!(world.inodes(1000, "claude", "/home/ann/app"), first);
        for other in [
            world.inodes(1000, "claude", "/home/ann/other"),
            world.inodes(1001, "claude", "/home/ann/app"),
        ] {
            assert_ne!(other.0, first.0);
            assert_ne!(other.1, first.1);
        }
        // Two agents of one project have homes of their own, and fetch once.
        let shell = world.inodes(1000, "bash", "/home/ann/app");
        assert_ne!(shell.0, first.0);
        assert_eq!(shell.1, first.1);
    }

    #[test]
    fn what_does_not_stay_goes_with_its_session() {
        let world = world();
        let session: SessionId = SessionId::from_random([7; 16]);
        let kept = world.open(1000, "bash", "/home/ann/app", Stay::With(session));
        let folder = world.folder.path().join("homes/passing");
        let folder = folder.join(session.to_string());
        assert!(folder.is_dir());
        drop(kept);
        for _ in 0..500 {
            if !folder.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(!folder.exists());
    }

    #[test]
    fn there_is_something_to_mount_on_of_the_right_kind() {
        let world = world();
        let own = tempfile::tempdir().unwrap();
        std::fs::write(own.path().join("CLAUDE.md"), "x").unwrap();
        let tree = |path: &Path, place: &str| Tree {
            source: File::open(path).unwrap().into(),
            place: Place::parse(place).unwrap(),
            access: Access::Read,
        };
        let mounted = [
            tree(&own.path().join("CLAUDE.md"), "/home/ann/.claude/CLAUDE.md"),
            tree(own.path(), "/home/ann/.cargo/bin"),
        ];
        let whose = Whose {
            human: 1000,
            profile: Profile::for_program(&world.profiles, "claude").unwrap(),
            project: "/home/ann/app",
            home: &world.place,
        };
        world.homes.open(whose, Stay::Kept, &mounted).unwrap();
        let human = world.folder.path().join("homes/1000");
        let below = |name: &str, inside: &str| {
            let mut found = std::fs::read_dir(human.join(name)).unwrap();
            found.next().unwrap().unwrap().path().join(inside)
        };
        assert!(below("caches", ".cargo/bin").is_dir());
        let homes = std::fs::read_dir(&human).unwrap();
        let home = homes
            .map(|entry| entry.unwrap().path())
            .find(|path| {
                path.file_name()
                    .unwrap()
                    .to_str()
                    .unwrap()
                    .starts_with("claude-")
            })
            .unwrap();
        let file = home.join(".claude/CLAUDE.md");
        assert_eq!(std::fs::read(&file).unwrap(), b"");
        // An agent that puts a folder there in its place is told of.
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(world.homes.open(whose, Stay::Kept, &mounted).is_err());
    }
}
