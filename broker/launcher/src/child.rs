//! Cgroups for sub-agents, below their session's.
//!
//! Root's like the session's own, so that a process in one can neither leave it nor enter another. It
//! must never make one below anything but a session of the connection that asks.

use std::os::fd::AsFd;

use rustix::io::Errno;

use crate::cgroup::Leaf;
use crate::failure::{At, Refusal, Stage};
use crate::message::Child;
use crate::network;
use crate::spawn::Session;

/// The most that one session has at once, those that are being taken away included.
const MAX_CHILDREN: usize = 32;
/// How deep they go.
const MAX_DEPTH: usize = 2;

/// The sub-agents' cgroups of one session, outer ones first.
#[derive(Debug, Default)]
pub(crate) struct Children {
    all: Vec<Below>,
    made: u64,
}

#[derive(Debug)]
struct Below {
    leaf: Leaf,
    /// The id of the cgroup that it is in.
    parent: u64,
    depth: usize,
    over: Over,
}

/// Whether a cgroup is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    No,
    Yes,
}

impl Children {
    /// Whether this is one of them.
    pub(crate) fn has(&self, id: u64) -> bool {
        self.all.iter().any(|below| below.leaf.id == id)
    }

    /// Makes one below `parent`, which is the session's own cgroup or one of these.
    pub(crate) fn make(&mut self, session: &Session, parent: u64) -> Result<Child, Refusal> {
        let within = self.all.iter().find(|below| below.leaf.id == parent);
        let (leaf, depth) = match within {
            Some(below) => (&below.leaf, below.depth.saturating_add(1)),
            None => (&session.leaf, 1),
        };
        if self.all.len() >= MAX_CHILDREN || depth > MAX_DEPTH {
            return Err(Refusal::Exhausted);
        }
        let bridge = network::listen_in(session.pidfd.as_fd())?;
        self.made = self.made.wrapping_add(1);
        let made = leaf
            .make_below(format!("sub-{}", self.made))
            .at(Stage::Cgroup)?;
        let child = made.files().and_then(|cgroup| {
            Ok(Child {
                cgroup_id: made.id,
                cgroup,
                processes: made.processes().at(Stage::Cgroup)?,
                bridge,
            })
        });
        self.all.push(Below {
            leaf: made,
            parent,
            depth,
            over: if child.is_ok() { Over::No } else { Over::Yes },
        });
        child
    }

    /// One is not needed any more: whatever is left in it dies.
    pub(crate) fn let_go(&mut self, id: u64) {
        for below in &mut self.all {
            if below.leaf.id == id {
                below.over = Over::Yes;
                below.leaf.kill().ok();
            }
        }
    }

    /// Whether some are to go and are still there.
    pub(crate) fn linger(&self) -> bool {
        self.all.iter().any(|below| below.over == Over::Yes)
    }

    /// Everything is to go: the session itself is over.
    pub(crate) fn end(&mut self) {
        for below in &mut self.all {
            below.over = Over::Yes;
        }
    }

    /// Takes away what is to go, inner ones first.
    pub(crate) fn clean(&mut self, session: &Leaf) {
        let mut kept: Vec<Below> = Vec::with_capacity(self.all.len());
        while let Some(below) = self.all.pop() {
            let outer = self.all.iter().find(|outer| outer.leaf.id == below.parent);
            let outer = outer.map_or(session, |outer| &outer.leaf);
            let stays = match below.over {
                Over::No => true,
                Over::Yes => !matches!(outer.remove_below(&below.leaf), Ok(()) | Err(Errno::NOENT)),
            };
            if stays {
                kept.push(below);
            }
        }
        kept.reverse();
        self.all = kept;
    }
}
