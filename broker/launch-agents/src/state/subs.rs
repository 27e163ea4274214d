//! The sub-agents of one session: who is below whom, and which cgroup means which.
//!
//! Pure. It must never give out a number twice while the one who asks lives, nor let a sub-agent
//! outlive the one that it is of.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use holdfast_protocol::Timestamp;
use holdfast_protocol::sub::{SubName, SubPath};

/// The most sub-agents that one session has at once.
pub const MAX_SUBS: usize = 16;

/// One sub-agent that lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sub {
    /// What people call it.
    pub name: Option<SubName>,
    /// When it was asked for.
    pub started: Timestamp,
    /// Where it is in its life.
    pub phase: SubPhase,
}

/// Where a sub-agent is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubPhase {
    /// Its cgroup is being made.
    Starting,
    /// Calls from this cgroup are its.
    Running(u64),
    /// It was ended: calls from its cgroup are nobody's.
    Ending,
}

/// There is no such sub-agent, or there can be none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubError {
    /// The caller names one that does not live, or not as far.
    #[error("{0} does not live")]
    Unknown(SubPath),
    /// Sub-agents of sub-agents have none.
    #[error("sub-agents go two deep at most")]
    Depth,
    /// The session has its fill.
    #[error("{MAX_SUBS} sub-agents of this session live already")]
    Full,
    /// All numbers were given out.
    #[error("no number is left for another sub-agent")]
    Numbers,
    /// The session has no cgroup that theirs could be below.
    #[error(
        "a contained session has no sub-agents: they are told apart by cgroups, which take root"
    )]
    NoCgroup,
    /// The launcher gave out a cgroup that another has.
    #[error("its cgroup is another's")]
    Cgroup,
}

/// The sub-agents of a session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subs {
    live: BTreeMap<SubPath, Sub>,
    /// The last number given out below the session itself, and below each that lives.
    numbers: BTreeMap<Option<SubPath>, NonZeroU16>,
}

impl Subs {
    /// One is about to be made, below `parent` or the session itself.
    ///
    /// # Errors
    /// [`SubError`].
    pub fn start(
        &mut self,
        now: Timestamp,
        parent: Option<SubPath>,
        name: Option<SubName>,
    ) -> Result<SubPath, SubError> {
        if let Some(parent) = parent {
            self.running(parent)?;
        }
        if self.live.len() >= MAX_SUBS {
            return Err(SubError::Full);
        }
        let number = match self.numbers.get(&parent) {
            None => NonZeroU16::MIN,
            Some(last) => last.checked_add(1).ok_or(SubError::Numbers)?,
        };
        let path = match parent {
            None => SubPath::of_session(number),
            Some(parent) => parent.below(number).ok_or(SubError::Depth)?,
        };
        self.numbers.insert(parent, number);
        let sub = Sub {
            name,
            started: now,
            phase: SubPhase::Starting,
        };
        self.live.insert(path, sub);
        Ok(path)
    }

    /// The launcher made its cgroup.
    ///
    /// # Errors
    /// [`SubError`] unless it starts, and the cgroup is new.
    pub fn made(&mut self, path: SubPath, cgroup: u64) -> Result<(), SubError> {
        if self.of(cgroup).is_some() {
            return Err(SubError::Cgroup);
        }
        let sub = self.live.get_mut(&path).ok_or(SubError::Unknown(path))?;
        match sub.phase {
            SubPhase::Starting => {
                sub.phase = SubPhase::Running(cgroup);
                Ok(())
            }
            SubPhase::Running(_) | SubPhase::Ending => Err(SubError::Unknown(path)),
        }
    }

    /// It, and all that are of it, are to end: nothing that they say is heard any more.
    ///
    /// # Errors
    /// [`SubError::Unknown`].
    pub fn ending(&mut self, path: SubPath) -> Result<(), SubError> {
        if !self.live.contains_key(&path) {
            return Err(SubError::Unknown(path));
        }
        for (each, sub) in &mut self.live {
            if *each == path || each.parent() == Some(path) {
                sub.phase = SubPhase::Ending;
            }
        }
        Ok(())
    }

    /// Nothing of it is left. Those that are of it are ending, if they are not gone.
    pub fn ended(&mut self, path: SubPath) {
        // Unknown if it was gone, which is what was wanted.
        self.ending(path).ok();
        self.live.remove(&path);
        self.numbers.remove(&Some(path));
    }

    /// Whose cgroup this is.
    pub fn of(&self, cgroup: u64) -> Option<SubPath> {
        self.live.iter().find_map(|(path, sub)| match sub.phase {
            SubPhase::Running(own) if own == cgroup => Some(*path),
            SubPhase::Starting | SubPhase::Running(_) | SubPhase::Ending => None,
        })
    }

    /// The cgroup of one that runs.
    ///
    /// # Errors
    /// [`SubError::Unknown`].
    pub fn running(&self, path: SubPath) -> Result<u64, SubError> {
        match self.live.get(&path).map(|sub| sub.phase) {
            Some(SubPhase::Running(cgroup)) => Ok(cgroup),
            Some(SubPhase::Starting | SubPhase::Ending) | None => Err(SubError::Unknown(path)),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// All that live.
    pub fn iter(&self) -> impl Iterator<Item = (SubPath, &Sub)> {
        self.live.iter().map(|(path, sub)| (*path, sub))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn numbers_count_up_and_depth_is_bounded() {
        let mut subs = Subs::default();
        let first = subs.start(at(1), None, None).unwrap();
        // One that starts has no cgroup, so nobody can be below it yet.
        assert_eq!(
            subs.start(at(1), Some(first), None),
            Err(SubError::Unknown(first))
        );
        subs.made(first, 10).unwrap();
        let inner = subs.start(at(2), Some(first), None).unwrap();
        assert_eq!(inner.to_string(), "sub/1/sub/1");
        subs.made(inner, 11).unwrap();
        assert_eq!(subs.start(at(3), Some(inner), None), Err(SubError::Depth));
        assert_eq!(subs.of(11), Some(inner));
        subs.ended(inner);
        subs.ended(first);
        let next = subs.start(at(4), None, None).unwrap();
        assert_eq!(next.to_string(), "sub/2");
    }

    #[test]
    fn ending_one_ends_those_that_are_of_it_and_no_other() {
        let mut subs = Subs::default();
        let one = subs.start(at(1), None, None).unwrap();
        let other = subs.start(at(1), None, None).unwrap();
        subs.made(one, 1).unwrap();
        subs.made(other, 2).unwrap();
        let inner = subs.start(at(1), Some(one), None).unwrap();
        subs.made(inner, 3).unwrap();
        subs.ending(one).unwrap();
        assert_eq!((subs.of(1), subs.of(3)), (None, None));
        assert_eq!(subs.of(2), Some(other));
    }

    #[test]
    fn cgroups_are_unique_and_sub_agents_are_few() {
        let mut subs = Subs::default();
        for n in 0..MAX_SUBS as u64 {
            let path = subs.start(at(1), None, None).unwrap();
            subs.made(path, n).unwrap();
        }
        assert_eq!(subs.start(at(1), None, None), Err(SubError::Full));
        subs.ended("sub/3".parse().unwrap());
        let path = subs.start(at(1), None, None).unwrap();
        assert_eq!(subs.made(path, 0), Err(SubError::Cgroup));
    }
}
