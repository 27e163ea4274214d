//! The cgroup v2 leaves that sessions live in: root's, so that no session can leave or enter one.
//!
//! Sessions hang below the launcher's own cgroup, in `holdfast-sessions/`. It must never touch a cgroup
//! that lies elsewhere. On a hybrid host the v2 hierarchy carries no controllers: sessions are then
//! frozen and killed as ever, and what the controllers would bound is reported as not bounded.
//!
//! One launcher owns the folder: a second one is refused before it has ended anything.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, FlockOperation, Mode, OFlags, flock, fstat, mkdirat, open, openat, unlinkat,
};
use rustix::io::Errno;

use crate::failure::{At, Refusal, Stage};
use crate::message::{CgroupFiles, Limits, Reached, Unkept};

/// Below the launcher's own cgroup.
const FOLDER: &str = "holdfast-sessions";

/// The folder that all sessions' cgroups are in.
pub(crate) struct Sessions {
    folder: OwnedFd,
    made: u64,
}

/// One session's cgroup.
#[derive(Debug)]
pub(crate) struct Leaf {
    name: String,
    /// The folder itself.
    pub(crate) folder: OwnedFd,
    /// Its id: the inode number.
    pub(crate) id: u64,
    /// The bounds that it could not be given.
    pub(crate) unkept: Vec<Unkept>,
}

impl Sessions {
    /// Opens the folder, and ends whatever an earlier launcher left in it.
    pub(crate) fn open() -> io::Result<Self> {
        let own = own_cgroup()?;
        let path = own.join(FOLDER);
        fs::create_dir_all(&path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(&path, flags, Mode::empty())?;
        own_alone(&folder)?;
        delegate(&own, &path);
        for entry in fs::read_dir(&path)? {
            let leaf = entry?.path();
            if leaf.is_dir() {
                fs::write(leaf.join("cgroup.kill"), "1")?;
                remove_below(&leaf)?;
                remove_soon(&leaf)?;
            }
        }
        Ok(Self { folder, made: 0 })
    }

    /// Makes a session's cgroup.
    pub(crate) fn make(&mut self, uid: u32, limits: Limits) -> Result<Leaf, Refusal> {
        self.made = self.made.wrapping_add(1);
        let name = format!("{uid}-{}", self.made);
        mkdirat(&self.folder, &name, Mode::from(0o755)).at(Stage::Cgroup)?;
        let mut leaf = self.open_leaf(name).at(Stage::Cgroup)?;
        match leaf.bound(limits).at(Stage::Cgroup) {
            Ok(unkept) => {
                leaf.unkept = unkept;
                Ok(leaf)
            }
            Err(refusal) => {
                self.remove(&leaf).at(Stage::Cgroup)?;
                Err(refusal)
            }
        }
    }

    /// Removes a cgroup that nothing runs in; `EBUSY` while something does.
    pub(crate) fn remove(&self, leaf: &Leaf) -> Result<(), Errno> {
        unlinkat(&self.folder, &leaf.name, AtFlags::REMOVEDIR)
    }

    fn open_leaf(&self, name: String) -> Result<Leaf, Errno> {
        open_leaf(&self.folder, name)
    }
}

fn open_leaf(parent: &OwnedFd, name: String) -> Result<Leaf, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(parent, &name, flags, Mode::empty())?;
    let id = fstat(&folder)?.st_ino;
    Ok(Leaf {
        name,
        folder,
        id,
        unkept: Vec::new(),
    })
}

impl Leaf {
    /// The files that the broker gets.
    pub(crate) fn files(&self) -> Result<CgroupFiles, Refusal> {
        Ok(CgroupFiles {
            kill: open_file(self, "cgroup.kill", OFlags::WRONLY).at(Stage::Cgroup)?,
            freeze: open_file(self, "cgroup.freeze", OFlags::WRONLY).at(Stage::Cgroup)?,
            events: open_file(self, "cgroup.events", OFlags::RDONLY).at(Stage::Cgroup)?,
            usage: open_file(self, "cpu.stat", OFlags::RDONLY).at(Stage::Cgroup)?,
            processes: open_file(self, "cgroup.procs", OFlags::RDONLY).at(Stage::Cgroup)?,
        })
    }

    /// Its `cgroup.procs`. Who may write to it is judged by who opened it, which is root.
    pub(crate) fn processes(&self) -> Result<OwnedFd, Errno> {
        open_file(self, "cgroup.procs", OFlags::WRONLY)
    }

    /// Makes a cgroup below this one; its limits are this one's.
    pub(crate) fn make_below(&self, name: String) -> Result<Self, Errno> {
        mkdirat(&self.folder, &name, Mode::from(0o755))?;
        open_leaf(&self.folder, name)
    }

    /// Removes a cgroup below this one; `EBUSY` while something runs in it.
    pub(crate) fn remove_below(&self, below: &Self) -> Result<(), Errno> {
        unlinkat(&self.folder, &below.name, AtFlags::REMOVEDIR)
    }

    /// What it ran into until now.
    pub(crate) fn reached(&self) -> Reached {
        let count = |file, key| {
            let text = self.read(file).unwrap_or_default();
            counted(&text, key)
        };
        Reached {
            memory: count("memory.events", "oom_kill"),
            processes: count("pids.events", "max"),
        }
    }

    /// Kills everything in it, frozen or not.
    pub(crate) fn kill(&self) -> Result<(), Errno> {
        rustix::io::write(open_file(self, "cgroup.kill", OFlags::WRONLY)?, b"1")?;
        Ok(())
    }

    /// Puts on it what the host's controllers can; gives what they cannot.
    ///
    /// The number of processes is bounded in the session itself as well: see [`crate::confine`].
    fn bound(&self, limits: Limits) -> Result<Vec<Unkept>, Errno> {
        let mut unkept = Vec::new();
        if let Some(most) = limits.processes {
            self.set("pids.max", &most.to_string())?;
        }
        if let Some(most) = limits.memory {
            match self.set("memory.max", &most.to_string())? {
                Controller::Present => {
                    // Without a swap of its own it cannot wear down the host's, nor dodge the bound.
                    self.set("memory.swap.max", "0")?;
                    // Half a session is of no use to anybody.
                    self.set("memory.oom.group", "1")?;
                }
                Controller::Absent => unkept.push(Unkept::Memory),
            }
        }
        if let Some(weight) = limits.cpu_weight
            && self.set("cpu.weight", &weight.to_string())? == Controller::Absent
        {
            unkept.push(Unkept::CpuWeight);
        }
        Ok(unkept)
    }

    fn set(&self, file: &str, value: &str) -> Result<Controller, Errno> {
        match open_file(self, file, OFlags::WRONLY) {
            Ok(fd) => rustix::io::write(fd, value.as_bytes()).map(|_| Controller::Present),
            Err(Errno::NOENT) => Ok(Controller::Absent),
            Err(errno) => Err(errno),
        }
    }

    fn read(&self, file: &str) -> Result<String, Errno> {
        let mut buffer = [0; 512];
        let read = rustix::io::read(open_file(self, file, OFlags::RDONLY)?, &mut buffer)?;
        let text = buffer.get(..read).unwrap_or_default();
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}

/// Whether the host's v2 hierarchy has the controller that a file belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Controller {
    Present,
    Absent,
}

/// The number beside `key` in a flat keyed file (Linux, admin-guide/cgroup-v2); 0 if it is not there.
fn counted(text: &str, key: &str) -> u32 {
    let number = text.lines().find_map(|line| {
        let (name, number) = line.split_once(' ')?;
        (name == key).then(|| number.trim().parse::<u64>().ok())?
    });
    u32::try_from(number.unwrap_or(0)).unwrap_or(u32::MAX)
}

/// Takes the folder for this launcher alone, as long as it lives.
///
/// What an earlier one started may still be dying with it, and holds what that one held.
fn own_alone(folder: &OwnedFd) -> io::Result<()> {
    let mut taken = Err(Errno::WOULDBLOCK);
    for _ in 0..100 {
        taken = flock(folder, FlockOperation::NonBlockingLockExclusive);
        if taken != Err(Errno::WOULDBLOCK) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    match taken {
        Err(Errno::WOULDBLOCK) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another launcher runs in this cgroup: stop it first, its sessions would be killed",
        )),
        other => Ok(other?),
    }
}

fn open_file(leaf: &Leaf, name: &str, mode: OFlags) -> Result<OwnedFd, Errno> {
    openat(&leaf.folder, name, mode | OFlags::CLOEXEC, Mode::empty())
}

fn absent() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no cgroup v2 hierarchy is mounted")
}

/// The path in the v2 hierarchy that a `/proc/<pid>/cgroup` names.
pub(crate) fn path_in(text: &str) -> io::Result<PathBuf> {
    let mut lines = text.lines();
    let path = lines.find_map(|line| line.strip_prefix("0::"));
    // A cgroup that was removed under its processes has no path any more.
    let path = path.filter(|path| path.starts_with('/') && !path.ends_with(" (deleted)"));
    path.map(PathBuf::from).ok_or_else(absent)
}

/// Where the v2 hierarchy is mounted.
pub(crate) fn hierarchy() -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let root = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        kind.starts_with("cgroup2 ")
            .then(|| place.split(' ').nth(4))?
    });
    root.map(PathBuf::from).ok_or_else(absent)
}

/// This process's cgroup in the v2 hierarchy.
fn own_cgroup() -> io::Result<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup")?;
    let below = own
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .ok_or_else(absent)?;
    Ok(hierarchy()?.join(below))
}

/// Hands the controllers that exist down to the sessions, where this host lets us.
///
/// A cgroup with processes in it cannot delegate controllers, so the launcher first moves into a
/// leaf of its own. Where any of this is not possible the sessions have no limits, and all else.
fn delegate(own: &std::path::Path, sessions: &std::path::Path) {
    let supervisor = own.join("supervisor");
    let is_root = !own.join("cgroup.type").exists();
    if !is_root && fs::create_dir_all(&supervisor).is_ok() {
        fs::write(supervisor.join("cgroup.procs"), "0").ok();
    }
    for controller in ["+pids", "+memory", "+cpu"] {
        for folder in [own, sessions] {
            fs::write(folder.join("cgroup.subtree_control"), controller).ok();
        }
    }
}

/// Removes what is left of sub-agents below a cgroup whose processes have just been killed.
fn remove_below(leaf: &std::path::Path) -> io::Result<()> {
    for entry in fs::read_dir(leaf)? {
        let below = entry?.path();
        if below.is_dir() {
            remove_below(&below)?;
            remove_soon(&below)?;
        }
    }
    Ok(())
}

/// Removes a cgroup whose processes have just been killed.
fn remove_soon(leaf: &std::path::Path) -> io::Result<()> {
    let mut last = Ok(());
    for _ in 0..200 {
        last = fs::remove_dir(leaf);
        if last.is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_read_from_the_kernels_counters() {
        let memory = "low 0\nhigh 0\nmax 41\noom 2\noom_kill 7\noom_group_kill 1\n";
        assert_eq!(counted(memory, "oom_kill"), 7);
        assert_eq!(counted("max 3\n", "max"), 3);
        assert_eq!(counted("max 18446744073709551615\n", "max"), u32::MAX);
        for nothing in ["", "max\n", "max x\n", "maximum 3\n"] {
            assert_eq!(counted(nothing, "max"), 0, "{nothing:?}");
        }
    }
}
