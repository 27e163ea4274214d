//! The bounds of sessions, as the configuration states them: for all kinds of agents, and for one.
//!
//! Numbers as people write them, 0 for none; turned into bounds once. It must never leave a session
//! without a bound that is written for it.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};

use holdfast_launch_agents::Limits;
use holdfast_launch_agents::life::Lifetimes;
use holdfast_protocol::bounds::Bounds;
use holdfast_protocol::id::AgentKind;
use serde::Deserialize;

/// The fewest processes that a bound may leave: a shell with its tools.
const FEWEST_PROCESSES: u32 = 16;
/// The fewest open files: what a dynamic linker and a language's engine open at their start.
const FEWEST_FILES: u32 = 64;
/// The highest `cpu.weight` (Linux, admin-guide/cgroup-v2).
const HIGHEST_WEIGHT: u16 = 10_000;

/// What sessions may take, and how long they may live.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct LimitsConfig {
    /// Memory, in MiB.
    pub memory_mib: u32,
    /// Processes and threads.
    pub processes: u32,
    /// The share of the processors beside other sessions.
    pub cpu_weight: u16,
    /// Open files of one process.
    pub open_files: u32,
    /// Size of one file, in MiB.
    pub file_mib: u32,
    /// Each temporary folder, in MiB.
    pub tmp_mib: u32,
    /// The private home, in MiB.
    pub home_mib: u32,
    /// From start to end, in seconds.
    pub lifetime_seconds: u32,
    /// Without a sign of life, in seconds.
    pub idle_seconds: u32,
    /// What sessions leave free of each disk that they write to, in MiB.
    pub keep_free_mib: u32,
    /// Sessions of one human at once.
    pub per_human: usize,
    /// What differs for one kind of agent.
    pub kinds: BTreeMap<AgentKind, KindLimits>,
}

/// What differs for one kind of agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct KindLimits {
    memory_mib: Option<u32>,
    processes: Option<u32>,
    cpu_weight: Option<u16>,
    open_files: Option<u32>,
    file_mib: Option<u32>,
    tmp_mib: Option<u32>,
    home_mib: Option<u32>,
    lifetime_seconds: Option<u32>,
    idle_seconds: Option<u32>,
}

impl LimitsConfig {
    /// The bounds of a session of this kind.
    pub fn of(&self, kind: &AgentKind) -> Bounds {
        let none = KindLimits::default();
        let own = self.kinds.get(kind).unwrap_or(&none);
        Bounds {
            memory: mib(own.memory_mib.unwrap_or(self.memory_mib)),
            processes: NonZeroU32::new(own.processes.unwrap_or(self.processes)),
            cpu_weight: NonZeroU16::new(own.cpu_weight.unwrap_or(self.cpu_weight)),
            open_files: NonZeroU32::new(own.open_files.unwrap_or(self.open_files)),
            file_size: mib(own.file_mib.unwrap_or(self.file_mib)),
            tmp: mib(own.tmp_mib.unwrap_or(self.tmp_mib)),
            home: mib(own.home_mib.unwrap_or(self.home_mib)),
            lifetime: NonZeroU32::new(own.lifetime_seconds.unwrap_or(self.lifetime_seconds)),
            idle: NonZeroU32::new(own.idle_seconds.unwrap_or(self.idle_seconds)),
        }
    }

    /// How many sessions one human may have at once.
    pub fn each(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.per_human)
    }

    /// What sessions leave free of each disk that they write to, in bytes.
    pub fn keep_free(&self) -> u64 {
        u64::from(self.keep_free_mib) << 20
    }

    /// What cannot be used, and why; the first of it.
    pub fn flaw(&self) -> Option<(&'static str, &'static str)> {
        let kinds = self.kinds.keys().map(|kind| self.of(kind));
        let general = LimitsConfig {
            kinds: BTreeMap::new(),
            ..self.clone()
        };
        // Any kind that has nothing of its own.
        let all = "shell".parse().ok().map(|kind| general.of(&kind));
        all.into_iter()
            .chain(kinds)
            .find_map(|bounds| flaw(&bounds))
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            memory_mib: 16_384,
            processes: 8_192,
            cpu_weight: 100,
            open_files: 65_536,
            file_mib: 0,
            tmp_mib: 8_192,
            home_mib: 4_096,
            lifetime_seconds: 604_800,
            idle_seconds: 86_400,
            keep_free_mib: 1_024,
            per_human: 128,
            kinds: BTreeMap::new(),
        }
    }
}

/// The part of bounds that the launcher keeps.
pub fn limits(bounds: &Bounds) -> Limits {
    Limits {
        processes: bounds.processes,
        memory: bounds.memory,
        cpu_weight: bounds.cpu_weight,
        files: bounds.open_files,
        file_size: bounds.file_size,
        scratch: bounds.tmp,
        home: bounds.home,
    }
}

/// The part of bounds that the broker keeps.
pub fn lifetimes(bounds: &Bounds) -> Lifetimes {
    let seconds = |bound: Option<NonZeroU32>| {
        bound.map(|seconds| std::time::Duration::from_secs(seconds.get().into()))
    };
    Lifetimes {
        longest: seconds(bounds.lifetime),
        idle: seconds(bounds.idle),
    }
}

fn mib(mebibytes: u32) -> Option<NonZeroU64> {
    NonZeroU64::new(u64::from(mebibytes) << 20)
}

fn flaw(bounds: &Bounds) -> Option<(&'static str, &'static str)> {
    let few = |most: Option<NonZeroU32>, fewest| most.is_some_and(|most| most.get() < fewest);
    let heavy = |weight: NonZeroU16| weight.get() > HIGHEST_WEIGHT;
    if few(bounds.processes, FEWEST_PROCESSES) {
        Some((
            "limits.processes",
            "has to be 16 at least, or 0 for no bound",
        ))
    } else if few(bounds.open_files, FEWEST_FILES) {
        Some((
            "limits.open-files",
            "has to be 64 at least, or 0 for no bound",
        ))
    } else if bounds.cpu_weight.is_some_and(heavy) {
        Some((
            "limits.cpu-weight",
            "may be 10000 at most, or 0 for the host's own",
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> LimitsConfig {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_kind_has_its_own_and_the_rest_of_all() {
        let config = parse(
            "memory-mib = 512\ntmp-mib = 0\n[kinds.claude]\nmemory-mib = 1024\nprocesses = 0\n",
        );
        let claude = config.of(&"claude".parse().unwrap());
        assert_eq!(claude.memory, NonZeroU64::new(1 << 30));
        assert_eq!((claude.processes, claude.tmp), (None, None));
        let shell = config.of(&"shell".parse().unwrap());
        assert_eq!(shell.memory, NonZeroU64::new(512 << 20));
        assert_eq!(shell.processes, NonZeroU32::new(8192));
    }

    #[test]
    fn bounds_that_nothing_could_run_in_are_named() {
        assert_eq!(LimitsConfig::default().flaw(), None);
        let key = |text| parse(text).flaw().map(|(key, _)| key);
        assert_eq!(key("processes = 3"), Some("limits.processes"));
        assert_eq!(
            key("[kinds.claude]\nopen-files = 3"),
            Some("limits.open-files")
        );
        assert_eq!(key("cpu-weight = 10001"), Some("limits.cpu-weight"));
        assert_eq!(key("processes = 0\nopen-files = 0\ncpu-weight = 0"), None);
    }
}
