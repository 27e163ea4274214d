//! What a session may take of its host and how long it may live, and what stops one beside its human.
//!
//! The same words serve the record, listings and the jobs. Types only; how a bound is kept is not said
//! here.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

/// Bounds on one session; an absent one leaves the host's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// Memory of all its processes together, in bytes.
    pub memory: Option<NonZeroU64>,
    /// Processes and threads.
    pub processes: Option<NonZeroU32>,
    /// Its share of the processors beside other sessions, 1 to 10,000.
    pub cpu_weight: Option<NonZeroU16>,
    /// Open files of one process.
    pub open_files: Option<NonZeroU32>,
    /// Size of one file that it writes, in bytes.
    pub file_size: Option<NonZeroU64>,
    /// What each of its temporary folders may hold, in bytes.
    pub tmp: Option<NonZeroU64>,
    /// What its private home may hold, in bytes.
    pub home: Option<NonZeroU64>,
    /// How long it may live, in seconds.
    pub lifetime: Option<NonZeroU32>,
    /// How long it may do nothing, in seconds.
    pub idle: Option<NonZeroU32>,
}

/// A bound that a host may be unable to put on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// [`Bounds::memory`].
    Memory,
    /// [`Bounds::cpu_weight`].
    CpuWeight,
    /// [`Bounds::home`].
    Home,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::CpuWeight => "processor share",
            Self::Home => "home size",
        })
    }
}

/// What stops a session, or lets it go on, without its human's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// It has lived as long as it may.
    LifetimeOver,
    /// It has done nothing for as long as it may.
    Idle,
    /// Its human's screen was locked.
    ScreenLocked,
    /// Its human's screen was unlocked.
    ScreenUnlocked,
    /// Its human logged out.
    LoggedOut,
    /// A disk that it writes to has too little room left.
    DiskFull,
    /// The disks that it writes to have room again.
    DiskRoom,
    /// It takes more memory than it may, where no controller of the kernel's keeps that bound.
    MemoryOver,
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LifetimeOver => "it has lived as long as it may",
            Self::Idle => "it has done nothing for as long as it may",
            Self::ScreenLocked => "its human's screen was locked",
            Self::ScreenUnlocked => "its human's screen was unlocked",
            Self::LoggedOut => "its human logged out",
            Self::DiskFull => "too little room is left on a disk that it writes to",
            Self::DiskRoom => "there is room again on the disks that it writes to",
            Self::MemoryOver => "it takes more memory than it may",
        })
    }
}

/// A size in the unit that says it shortest (`4 GiB`, `1500 MiB`).
pub fn size(bytes: u64) -> String {
    const UNITS: [(u32, &str); 4] = [(30, "GiB"), (20, "MiB"), (10, "KiB"), (0, "bytes")];
    let whole = |(shift, _): &&(u32, &str)| bytes.trailing_zeros() >= *shift && bytes >> shift > 0;
    let (shift, unit) = UNITS.iter().find(whole).unwrap_or(&(0, "bytes"));
    format!("{} {unit}", bytes >> shift)
}

/// A span of time in the unit that says it shortest (`2 h`, `90 s`).
pub fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let whole = |(unit, _): &&(u64, &str)| seconds >= *unit && seconds.is_multiple_of(*unit);
    let (unit, name) = UNITS.iter().find(whole).unwrap_or(&(1, "s"));
    format!("{} {name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_said_in_the_largest_whole_unit() {
        let sizes = [0, 1, 1024, 1536 << 20, 4 << 30].map(size);
        assert_eq!(sizes, ["0 bytes", "1 bytes", "1 KiB", "1536 MiB", "4 GiB"]);
        let spans = [0, 59, 60, 90, 7200, 604_800].map(span);
        assert_eq!(spans, ["0 s", "59 s", "1 min", "90 s", "2 h", "7 d"]);
    }
}
