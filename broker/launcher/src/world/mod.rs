//! The root that a session sees: made of nothing, with only what is listed here and was lent.
//!
//! Built by root in a mount namespace that the initial user namespace owns, so that no right inside
//! the session's own user namespace can change it. It must never follow a symbolic link, nor leave
//! any mount of the host reachable.

mod devices;
mod etc;
mod kernel;
mod root;
mod system;

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, open};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{chdir, fchdir, pivot_root};

pub(crate) use devices::Terminal;
use root::Root;

use crate::failure::{At, Refusal, Stage};
use crate::message::{Human, Limits, WindowSize};
use crate::plan::Plan;
use crate::tree;

/// Where the program is mounted.
pub(crate) const PROGRAMS: &str = "/opt/holdfast/bin";

/// A root that stands, and is not yet entered.
pub(crate) struct World {
    root: Root,
    host: Human,
}

impl World {
    /// Builds everything that the plan says, in a mount namespace of this process's own.
    pub(crate) fn build(plan: &Plan) -> Result<Self, Refusal> {
        let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        mount_change("/", private).at(Stage::Root)?;
        let root = base(plan).at(Stage::Root)?;
        lend(&root, plan).at(Stage::Mount)?;
        // What the launcher put there stays as it is; the trees have attributes of their own.
        tree::set(root.as_fd(), tree::SEALED, None, 0).at(Stage::Root)?;
        Ok(Self {
            root,
            host: plan.host,
        })
    }

    /// A terminal of the session's own.
    pub(crate) fn terminal(&self, size: WindowSize) -> Result<Terminal, Refusal> {
        devices::terminal(&self.root, self.host, size).at(Stage::Terminal)
    }

    /// Makes it this process's root, and forgets the host's.
    pub(crate) fn enter(self) -> Result<(), Refusal> {
        let enter = || -> Result<(), Errno> {
            fchdir(self.root.as_fd())?;
            pivot_root(".", ".")?;
            unmount(".", UnmountFlags::DETACH)?;
            chdir("/")
        };
        enter().at(Stage::Root)
    }
}

/// Whether this process may mount: a user namespace that may be made need not be one that may be used.
pub(crate) fn may_mount() -> bool {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).is_ok()
}

/// What every session has.
fn base(plan: &Plan) -> Result<Root, Errno> {
    let root = Root::new(plan.keeper)?;
    system::mount(&root)?;
    etc::make(&root, plan)?;
    kernel::mount(&root)?;
    let Limits { scratch, home, .. } = plan.launch.limits;
    devices::make(&root, plan, scratch)?;
    let tmp = root.folder(&["tmp"])?;
    tree::attach(
        root::tmpfs(0o1777, plan.keeper, scratch)?.as_fd(),
        tmp.as_fd(),
    )?;
    root.folder(&["var"])?;
    root.link("/tmp", "var/tmp")?;
    root.link("/run", "var/run")?;
    let private = root::tmpfs(0o700, plan.host, home)?;
    let home: Vec<&str> = plan.launch.home.components().collect();
    tree::attach(private.as_fd(), root.folder(&home)?.as_fd())?;
    Ok(root)
}

/// What this session was lent.
fn lend(root: &Root, plan: &Plan) -> Result<(), Errno> {
    let sockets = root.folder(&["run", "holdfast"])?;
    tree::attach(plan.sockets.as_fd(), sockets.as_fd())?;
    let program = ["opt", "holdfast", "bin", plan.launch.name.as_str()];
    let program = root.file(&program)?;
    tree::attach(plan.program.as_fd(), program.as_fd())?;
    for lent in &plan.trees {
        let place: Vec<&str> = lent.place.components().collect();
        let target = if tree::is_folder(lent.tree.as_fd())? {
            root.folder(&place)?
        } else {
            root.file(&place)?
        };
        tree::attach(lent.tree.as_fd(), target.as_fd())?;
    }
    Ok(())
}

/// A path of the host, for mounting; the host's root is still this process's.
fn host_path(path: &str) -> Result<OwnedFd, Errno> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// The kind of a host path, without following a link; `None` if there is nothing.
fn host_kind(path: &str) -> Result<Option<rustix::fs::FileType>, Errno> {
    match rustix::fs::statat(CWD, path, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(rustix::fs::FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}
