//! What the broker asks of the launcher, and what it gets.
//!
//! A [`Greeting`] when the broker connects; then one [`Launch`] (or another [`Request`]) in one
//! datagram with its descriptors, one [`Answer`] back, and so on. No field is a path of
//! the host, none names a uid: things of the host arrive as descriptors, and the human is whoever
//! the kernel says made the connection that is passed. Types only; [`crate::socket`] carries them.

use std::ffi::CString;
use std::num::{NonZeroU16, NonZeroU32, NonZeroU64};
use std::os::fd::OwnedFd;

use crate::Refusal;
use crate::place::{Place, ProgramName, UserName};

/// The largest message, in bytes: arguments and environment count.
pub const MAX_MESSAGE: usize = 128 * 1024;
/// The most trees that a session gets.
pub const MAX_TREES: usize = 128;
/// The most doors that a session gets.
pub const MAX_DOORS: usize = 32;
/// The most arguments, and the most variables.
pub const MAX_STRINGS: usize = 1024;

/// What the launcher says first: the boot records that only root can open, where the host has them.
#[derive(Debug, Default)]
pub struct Greeting {
    /// The firmware's event log (TCG PC Client Platform Firmware Profile §10), for reading.
    pub event_log: Option<OwnedFd>,
    /// The kernel's list of IMA measurements, for reading; it grows.
    pub ima_list: Option<OwnedFd>,
    /// systemd's log of what it measured (systemd `docs/TPM2_PCR_MEASUREMENTS.md`), for reading; it grows.
    pub systemd_log: Option<OwnedFd>,
}

/// What the broker asks.
#[derive(Debug)]
pub enum Request {
    /// Make a session.
    Launch(Box<Launch>),
    /// Make a cgroup for a sub-agent, and a way out of its own.
    Child {
        /// The cgroup id of the session, or of the sub-agent, that it is to be below.
        parent: u64,
    },
    /// Take a sub-agent's cgroup away, once nothing runs in it.
    Remove {
        /// Its id.
        cgroup: u64,
    },
    /// Say what a process runs.
    Describe {
        /// The process.
        process: OwnedFd,
    },
    /// Say whether trees can be shown to a session as another uid's.
    Map {
        /// They, opened (`O_PATH` suffices); at most [`MAX_TREES`].
        trees: Vec<OwnedFd>,
    },
}

/// Make one sealed session.
///
/// Inside, the session has the human's uid and primary group, no other group.
#[derive(Debug)]
pub struct Launch {
    /// The human's own connection to the broker: its peer credentials say whose session this is.
    pub human: OwnedFd,
    /// The program: a regular file of the content store, mounted at `/opt/holdfast/bin/<name>`.
    pub program: OwnedFd,
    /// The folder with the session's sockets, mounted at `/run/holdfast`.
    pub sockets: OwnedFd,
    /// Under whose uid it runs on the host.
    pub uid: SessionUid,
    /// Where input and output go.
    pub stdio: Stdio,
    /// What the program is called inside.
    pub name: ProgramName,
    /// `argv`, the program's own name first.
    pub arguments: Vec<CString>,
    /// The whole environment, `NAME=value`.
    pub environment: Vec<CString>,
    /// What the human is called inside.
    pub user: UserName,
    /// The home folder: private and empty, unless a tree is mounted there.
    pub home: Place,
    /// The folder that the program starts in.
    pub directory: Place,
    /// What else of the host the session sees, mounted in this order.
    pub trees: Vec<Tree>,
    /// The bridge's port on the session's own 127.0.0.1.
    pub bridge: NonZeroU16,
    /// Further ports of the session's own 127.0.0.1 that lead to the broker, each by its own listener.
    pub doors: Vec<NonZeroU16>,
    /// Bounds, where the host's cgroup controllers can keep them.
    pub limits: Limits,
}

/// Under whose uid a session runs on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionUid {
    /// One that nothing but this session runs under.
    Own,
    /// The human's, for trees that it changes and that cannot be mapped to another uid. Never root's.
    Humans,
}

/// A folder or file of the host that a session sees.
#[derive(Debug)]
pub struct Tree {
    /// It, opened (`O_PATH` suffices).
    pub source: OwnedFd,
    /// Where it appears.
    pub place: Place,
    /// What the session may do there.
    pub access: Access,
}

/// What a session may do with a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read it and run what is in it, with the rights of everybody.
    Public,
    /// Read it and run what is in it, with the rights of the human who owns it.
    Read,
    /// Change it, with the rights of the human, who owns it; what is made there is the human's.
    Write,
    /// Change it; it is the broker's, who keeps it for the agent: a home, a cache.
    Keep,
}

/// Where a session's input and output go.
#[derive(Debug)]
pub enum Stdio {
    /// To these descriptors, none of them a terminal.
    Pipes {
        /// Standard input.
        input: OwnedFd,
        /// Standard output.
        output: OwnedFd,
        /// Standard error.
        errors: OwnedFd,
    },
    /// To a terminal of the session's own; [`Launched::terminal`] is its other end.
    Terminal(WindowSize),
}

/// The size of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
}

/// Bounds on a session; `None` leaves the host's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Processes and threads.
    pub processes: Option<NonZeroU32>,
    /// Memory, in bytes; none of it may be swapped out.
    pub memory: Option<NonZeroU64>,
    /// Its share of the processors beside other sessions, 1 to 10,000 (cgroup v2, `cpu.weight`).
    pub cpu_weight: Option<NonZeroU16>,
    /// Open files of one process.
    pub files: Option<NonZeroU32>,
    /// Size of one file that it writes, in bytes.
    pub file_size: Option<NonZeroU64>,
    /// What each of its temporary folders may hold, in bytes.
    pub scratch: Option<NonZeroU64>,
    /// What its private home may hold, in bytes.
    pub home: Option<NonZeroU64>,
}

/// A bound that this host could not put on a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unkept {
    /// [`Limits::memory`]: no memory controller in the v2 hierarchy.
    Memory,
    /// [`Limits::cpu_weight`]: no processor controller in the v2 hierarchy.
    CpuWeight,
    /// [`Limits::home`]: its home is a folder of the broker's, on the host's disk.
    Home,
}

/// What a session ran into, as its cgroup counted it; all 0 where the controllers are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reached {
    /// How often it was killed for the memory that it took.
    pub memory: u32,
    /// How often it was refused another process.
    pub processes: u32,
}

impl Reached {
    /// The bytes of the last word on a session, which comes from [`Launched::last_word`].
    pub const LENGTH: usize = 8;

    pub(crate) fn encode(self) -> [u8; Self::LENGTH] {
        (u64::from(self.memory) << 32 | u64::from(self.processes)).to_le_bytes()
    }

    /// Reads it; `None` if the launcher went away before it could say it.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let both = u64::from_le_bytes(bytes.try_into().ok()?);
        Some(Self {
            memory: u32::try_from(both >> 32).ok()?,
            processes: u32::try_from(both & u64::from(u32::MAX)).ok()?,
        })
    }
}

/// The launcher's answer to a [`Launch`].
#[derive(Debug)]
pub enum Answer {
    /// The session exists; its program waits for [`crate::control::START`].
    Launched(Box<Launched>),
    /// To [`Request::Child`].
    Child(Child),
    /// To [`Request::Remove`]: it goes, or will once it is empty.
    Removed,
    /// To [`Request::Describe`].
    Described(Described),
    /// To [`Request::Map`], in its order.
    Mapped(Vec<Idmap>),
    /// It does not exist.
    Refused(Refusal),
}

/// A sub-agent's cgroup, below its session's.
#[derive(Debug)]
pub struct Child {
    /// Its id.
    pub cgroup_id: u64,
    /// Its files.
    pub cgroup: CgroupFiles,
    /// Its `cgroup.procs`, opened by root: only the session's first process is to have it.
    pub processes: OwnedFd,
    /// Listens on the session's loopback, for this sub-agent.
    pub bridge: OwnedFd,
}

/// Whether a tree can be shown as another uid's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idmap {
    /// It can.
    Can,
    /// Its file system has no idmapped mounts, or it is one already.
    Cannot,
}

/// What a process runs.
#[derive(Debug)]
pub struct Described {
    /// Its executable, for reading.
    pub executable: OwnedFd,
    /// The path of that very file, as the host sees it; absent where there it is another file, or none.
    pub path: Option<std::path::PathBuf>,
}

/// A session, in the broker's hands.
#[derive(Debug)]
pub struct Launched {
    /// The host uid that it runs under, which nothing else does if it is one of its own.
    pub uid: u32,
    /// The human's uid and gid, as the kernel gave them.
    pub human: Human,
    /// What tells its processes from all others.
    pub told: Told,
    /// The session's first process; readable when it has ended.
    pub pidfd: OwnedFd,
    /// The cgroup's own files, if it has one.
    pub cgroup: Option<CgroupFiles>,
    /// To start and signal the program, and to learn how it ended: see [`crate::control`].
    pub control: OwnedFd,
    /// Listens on the session's own loopback: what is accepted here comes from this session.
    pub bridge: OwnedFd,
    /// The listeners of [`Launch::doors`], in their order.
    pub doors: Vec<OwnedFd>,
    /// What makes names work inside.
    pub names: Names,
    /// The other end of the session's terminal.
    pub terminal: Option<OwnedFd>,
    /// The bounds that this host could not put on it.
    pub unkept: Vec<Unkept>,
    /// Once the session has ended, its [`Reached`] is read here.
    pub last_word: OwnedFd,
}

/// By what the kernel tells a session's processes from all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A cgroup of its own, which root made: this is its id, its inode number. No process can enter or leave it.
    Cgroup(u64),
    /// Its pid namespace, whose inode number this is. Without root there is no more; who has the human's uid can enter it.
    PidNamespace(u64),
}

/// The sockets inside by which names work for programs that ask no proxy.
#[derive(Debug)]
pub struct Names {
    /// The resolver's UDP socket, on 127.0.0.1:53.
    pub datagrams: OwnedFd,
    /// The resolver's listener, there too.
    pub streams: OwnedFd,
    /// Where TCP connections to 198.18.0.0/15 arrive, whatever their port; where the kernel cannot
    /// lead them all to one listener, one for each of the usual ports.
    pub connections: Vec<OwnedFd>,
}

/// The most listeners that [`Names::connections`] has.
pub(crate) const MAX_USUAL: usize = 8;

/// Whose session it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Human {
    /// The uid on the host; also the session's uid as it sees itself.
    pub uid: u32,
    /// The primary gid at the time of the connection.
    pub gid: u32,
}

/// Files of the session's cgroup, opened by root: who holds them holds the session's life.
#[derive(Debug)]
pub struct CgroupFiles {
    /// Write `1`: everything in the session dies.
    pub kill: OwnedFd,
    /// Write `1` to freeze, `0` to thaw.
    pub freeze: OwnedFd,
    /// `populated` and `frozen`; signals priority data on change.
    pub events: OwnedFd,
    /// `usage_usec`: the processor time that it has taken.
    pub usage: OwnedFd,
    /// Its processes, a line each.
    pub processes: OwnedFd,
}
