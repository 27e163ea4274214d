//! The cgroup v2 leaves that sessions live in: root's, so that no session can leave or enter one.
//!
//! Sessions hang below the launcher's own cgroup, in `holdfast-sessions/`. It must never touch a cgroup
//! that lies elsewhere. On a hybrid host the v2 hierarchy carries no controllers: sessions are then
//! frozen and killed as ever, and not limited.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode, OFlags, fstat, mkdirat, open, openat, unlinkat};
use rustix::io::Errno;

use crate::failure::{At, Refusal, Stage};
use crate::message::{CgroupFiles, Limits};

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
}

impl Sessions {
    /// Opens the folder, and ends whatever an earlier launcher left in it.
    pub(crate) fn open() -> io::Result<Self> {
        let own = own_cgroup()?;
        let path = own.join(FOLDER);
        fs::create_dir_all(&path)?;
        delegate(&own, &path);
        for entry in fs::read_dir(&path)? {
            let leaf = entry?.path();
            if leaf.is_dir() {
                fs::write(leaf.join("cgroup.kill"), "1")?;
                remove_below(&leaf)?;
                remove_soon(&leaf)?;
            }
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(&path, flags, Mode::empty())?;
        Ok(Self { folder, made: 0 })
    }

    /// Makes a session's cgroup.
    pub(crate) fn make(&mut self, uid: u32, limits: Limits) -> Result<Leaf, Refusal> {
        self.made = self.made.wrapping_add(1);
        let name = format!("{uid}-{}", self.made);
        mkdirat(&self.folder, &name, Mode::from(0o755)).at(Stage::Cgroup)?;
        let leaf = self.open_leaf(name).at(Stage::Cgroup)?;
        let processes = limits.processes.map(|n| ("pids.max", n.to_string()));
        let memory = limits.memory.map(|n| ("memory.max", n.to_string()));
        for (file, value) in processes.into_iter().chain(memory) {
            match open_file(&leaf, file, OFlags::WRONLY) {
                Ok(fd) => {
                    rustix::io::write(fd, value.as_bytes()).at(Stage::Cgroup)?;
                }
                // The host's v2 hierarchy has no such controller.
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno).at(Stage::Cgroup),
            }
        }
        Ok(leaf)
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
    Ok(Leaf { name, folder, id })
}

impl Leaf {
    /// The files that the broker gets.
    pub(crate) fn files(&self) -> Result<CgroupFiles, Refusal> {
        Ok(CgroupFiles {
            kill: open_file(self, "cgroup.kill", OFlags::WRONLY).at(Stage::Cgroup)?,
            freeze: open_file(self, "cgroup.freeze", OFlags::WRONLY).at(Stage::Cgroup)?,
            events: open_file(self, "cgroup.events", OFlags::RDONLY).at(Stage::Cgroup)?,
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

    /// Kills everything in it, frozen or not.
    pub(crate) fn kill(&self) -> Result<(), Errno> {
        rustix::io::write(open_file(self, "cgroup.kill", OFlags::WRONLY)?, b"1")?;
        Ok(())
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
    for controller in ["+pids", "+memory"] {
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
