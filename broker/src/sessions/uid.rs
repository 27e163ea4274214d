//! Under whose uid a session is to run, decided before it is made, and before it is shown.
//!
//! One of its own, unless a tree that it changes cannot be mapped to another uid: then the human's, which is
//! less, is said, and needs a kernel that tells callers apart by their processes. One tree decides for the
//! whole session: with two owners an agent could not work. Trees that are only read are never a reason: where
//! they cannot be mapped they are read with everybody's rights.

use std::os::fd::{AsFd, OwnedFd};

use holdfast_launch_agents::peer::{Tells, tells_processes};
use holdfast_launch_agents::policy::SharedUid;
use holdfast_launch_agents::task::SessionError;
use holdfast_launch_agents::{Access, Idmap, Place, Tree};
use holdfast_protocol::grade::{Grade, SessionUid};
use rustix::fs::fstatfs;

use super::Ground;

/// No session can be made, for the want of a uid.
#[derive(Debug, thiserror::Error)]
pub enum NoUid {
    /// The host's owner wants sessions to have uids of their own.
    #[error(
        "a session of `{place}` could only run under your own uid, and this host's owner refuses that: \
         it lies on {kind}, which has no idmapped mounts"
    )]
    Refused {
        /// The tree.
        place: Place,
        /// Its file system, in words.
        kind: String,
    },
    /// The kernel tells callers apart by their uids alone.
    #[error(
        "a session of `{place}` could only run under your own uid, and this kernel does not tell its processes \
         from your others: it lies on {kind}, which has no idmapped mounts"
    )]
    Untold {
        /// The tree.
        place: Place,
        /// Its file system, in words.
        kind: String,
    },
    /// The human is root.
    #[error(
        "a session of `{place}` could only run as root, which none does: it lies on {kind}, which has no \
         idmapped mounts"
    )]
    Root {
        /// The tree.
        place: Place,
        /// Its file system, in words.
        kind: String,
    },
    /// What agents keep cannot be shown to them as theirs.
    #[error(
        "what agents keep lies on a file system without idmapped mounts, and could not be theirs"
    )]
    Homes,
    /// The launcher does not say.
    #[error("it cannot be told whether the session's trees can be mapped to a uid of its own")]
    Launcher(#[source] SessionError),
    /// The host fails us.
    #[error("it cannot be told whether this kernel tells processes apart")]
    Host(#[source] std::io::Error),
}

/// What was decided.
#[derive(Debug)]
pub struct Decided {
    /// Under whose uid.
    pub runs_as: SessionUid,
    /// What the human has to know of it.
    pub note: Option<String>,
}

/// Decides for a session of `human` that is lent `trees`.
pub async fn decide(ground: &Ground, human: u32, trees: &[Tree]) -> Result<Decided, NoUid> {
    // Without root there is no other; what that means is said of the whole installation.
    if ground.grade == Grade::Contained {
        return Ok(Decided {
            runs_as: SessionUid::Humans,
            note: ground.notice().map(str::to_owned),
        });
    }
    let changed: Vec<&Tree> = trees
        .iter()
        .filter(|tree| tree.access == Access::Write)
        .collect();
    let copies = std::iter::once(ground.homes.root())
        .chain(changed.iter().map(|tree| tree.source.try_clone()))
        .collect::<Result<Vec<OwnedFd>, _>>()
        .map_err(NoUid::Host)?;
    let mapped = ground.sessions.map(copies).await.map_err(NoUid::Launcher)?;
    let (homes, mapped) = mapped.split_first().ok_or(NoUid::Homes)?;
    if *homes == Idmap::Cannot {
        return Err(NoUid::Homes);
    }
    let mut changed = changed.iter().zip(mapped);
    let Some((tree, _)) = changed.find(|(_, idmap)| **idmap == Idmap::Cannot) else {
        return Ok(Decided {
            runs_as: SessionUid::Own,
            note: None,
        });
    };
    let (place, kind) = (tree.place.clone(), file_system(&tree.source));
    if ground.launch.shared_uid == SharedUid::Refuse {
        return Err(NoUid::Refused { place, kind });
    }
    if human == 0 {
        return Err(NoUid::Root { place, kind });
    }
    match tells_processes().map_err(NoUid::Host)? {
        Tells::Process => Ok(Decided {
            runs_as: SessionUid::Humans,
            note: Some(note(human, &place, &kind)),
        }),
        Tells::Uid => Err(NoUid::Untold { place, kind }),
    }
}

fn note(human: u32, place: &Place, kind: &str) -> String {
    format!(
        "LOWER GRADE: the session runs under your own uid {human}, because `{place}` lies on {kind}, which has no \
         idmapped mounts. Your other processes cannot read it or act in its name, but they can signal it, kill it \
         and slow it down"
    )
}

/// A file system's name, for those that are met most (statfs(2)).
fn file_system(source: impl AsFd) -> String {
    let Ok(found) = fstatfs(source) else {
        return "a file system".to_owned();
    };
    let name = match u32::try_from(found.f_type).unwrap_or_default() {
        0x794c_7630 => "overlayfs",
        0x8584_58f6 => "ramfs",
        0x6573_5546 => "FUSE",
        0x4d44 => "FAT",
        0x2011_bab0 => "exFAT",
        0x6969 => "NFS",
        0x0102_1997 => "9p",
        0xff53_4d42 | 0xfe53_4d42 => "SMB",
        0x0102_1994 => "tmpfs",
        0x2fc1_2fc1 => "ZFS",
        kind => return format!("a file system of type {kind:#x}"),
    };
    name.to_owned()
}
