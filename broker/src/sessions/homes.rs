//! What an agent keeps from one session to the next: its settings, its conversations.
//!
//! One home for each human, kind of agent and project, in the broker's own folder, where neither the
//! human's other programs nor another project's agent reach it. It must never hold what a session
//! must not see.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use holdfast_launch_agents::home::{HomeError, make_folders, seed};
use holdfast_launch_agents::profile::Profile;
use holdfast_launch_agents::{Access, Place, Tree};
use holdfast_proof::hash::sha256;
use rustix::fs::{Mode, OFlags};

use crate::state_folder::make_private;

/// Agents' homes.
#[derive(Clone, Debug)]
pub struct Homes(PathBuf);

/// A home cannot be had; the environment, or what an agent left in it.
#[derive(Debug, thiserror::Error)]
pub enum NoHome {
    /// Its folder cannot be made or opened.
    #[error("the agent's home cannot be opened")]
    Folder(#[from] io::Error),
    /// What it starts with cannot be written.
    #[error(transparent)]
    Seed(#[from] HomeError),
}

impl Homes {
    /// Homes below `folder`.
    pub fn new(folder: PathBuf) -> io::Result<Self> {
        make_private(&folder)?;
        Ok(Self(folder))
    }

    /// The home of an agent with this profile in the human's project, to be seen at `place`; none for
    /// an agent that keeps nothing. It has a folder for each of `mounted` that lies below it: who mounts
    /// may not make any there.
    pub fn open<'a>(
        &self,
        human: u32,
        profile: &Profile,
        project: &str,
        place: &Place,
        mounted: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<Tree>, NoHome> {
        if profile.seed.is_empty() {
            return Ok(None);
        }
        let project = HEXLOWER.encode(sha256(project.as_bytes()).as_bytes());
        let name = format!("{}-{}", profile.kind, project.get(..32).unwrap_or(&project));
        let human = self.0.join(human.to_string());
        let folder = human.join(name);
        make_private(&human)?;
        make_private(&folder)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let source: OwnedFd =
            rustix::fs::open(&folder, flags, Mode::empty()).map_err(io::Error::from)?;
        seed(&source, &profile.seed)?;
        let below = format!("{place}/");
        for inside in mounted {
            if let Some(inside) = inside.strip_prefix(&below) {
                make_folders(&source, inside)?;
            }
        }
        Ok(Some(Tree {
            source,
            place: place.clone(),
            access: Access::Keep,
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_home_is_of_one_human_one_kind_and_one_project() {
        let folder = tempfile::tempdir().unwrap();
        let homes = Homes::new(folder.path().join("homes")).unwrap();
        let profiles = Profile::built_in().unwrap();
        let place = Place::parse("/home/ann").unwrap();
        let inode = |human, program, project| {
            let profile = Profile::for_program(&profiles, program).unwrap();
            let home = homes
                .open(human, profile, project, &place, [project])
                .unwrap();
            home.map(|home| rustix::fs::fstat(home.source).unwrap().st_ino)
        };
        let first = inode(1000, "claude", "/home/ann/app");
        assert!(first.is_some());
        assert_eq!(inode(1000, "claude", "/home/ann/app"), first);
        assert_ne!(inode(1000, "claude", "/home/ann/other"), first);
        assert_ne!(inode(1001, "claude", "/home/ann/app"), first);
        assert_eq!(inode(1000, "bash", "/home/ann/app"), None);
    }
}
