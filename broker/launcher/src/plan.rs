//! A launch, checked against the host: whose it is, and everything it lends already detached.
//!
//! All of this happens before the session's process exists. It must never trust the message for
//! who the human is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Gid, Uid, fchown, fstat, fstatfs};
use rustix::mount::MountAttrFlags;
use rustix::net::{SocketAddrUnix, getpeername};
use rustix::termios::isatty;

use crate::failure::{At, Refusal, Stage};
use crate::message::{Access, Human, Launch, Stdio, Tree};
use crate::options::{Options, RootHuman};
use crate::place::Place;
use crate::{sys, tree, userns};

/// What the session's process builds its world from.
pub(crate) struct Plan {
    /// The request; its descriptors have served, but for `stdio`.
    pub(crate) launch: Launch,
    /// Whose session it is.
    pub(crate) human: Human,
    /// The session's host uid; its gid is the same number.
    pub(crate) uid: u32,
    /// The session's user namespace.
    pub(crate) identity: OwnedFd,
    /// The program, detached and sealed.
    pub(crate) program: OwnedFd,
    /// The folder of sockets, detached.
    pub(crate) sockets: OwnedFd,
    /// The trees, detached, in the order of the request.
    pub(crate) trees: Vec<Lent>,
}

/// One tree, ready to be attached.
pub(crate) struct Lent {
    pub(crate) tree: OwnedFd,
    pub(crate) place: Place,
    pub(crate) access: Access,
}

/// Who made the connection, if that is a human who may have sessions.
pub(crate) fn human(connection: BorrowedFd<'_>, options: &Options) -> Result<Human, Refusal> {
    let (uid, gid) = sys::peer_credentials(connection).at(Stage::Credentials)?;
    let may = match uid {
        0 => options.root == RootHuman::Allow,
        // System users, nobody, and the kernel's "no credentials".
        1..=999 | 65534 | u32::MAX => false,
        _ => uid != options.broker && !options.uids.contains(&uid),
    };
    if may {
        Ok(Human { uid, gid })
    } else {
        Err(Refusal::Human(uid))
    }
}

/// Detaches everything that the session is lent.
pub(crate) fn prepare(
    launch: Launch,
    human: Human,
    uid: u32,
    broker: u32,
) -> Result<Plan, Refusal> {
    let file = fstat(&launch.program).at(Stage::Tree)?.st_mode;
    let folder = fstat(&launch.sockets).at(Stage::Tree)?.st_mode;
    if !FileType::from_raw_mode(file).is_file() || !FileType::from_raw_mode(folder).is_dir() {
        return Err(Refusal::Descriptors);
    }
    give_pipes(&launch.stdio, uid)?;
    let identity = userns::mapping(human, uid)?;
    let no_run = tree::SEALED | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let trees = launch
        .trees
        .iter()
        .map(|wanted| lend(wanted, human, identity.as_fd(), uid, broker))
        .collect::<Result<_, _>>()?;
    Ok(Plan {
        program: tree::lend(launch.program.as_fd(), tree::SEALED).at(Stage::Tree)?,
        sockets: tree::lend(launch.sockets.as_fd(), no_run).at(Stage::Tree)?,
        trees,
        launch,
        human,
        uid,
        identity,
    })
}

fn lend(
    wanted: &Tree,
    human: Human,
    identity: BorrowedFd<'_>,
    uid: u32,
    broker: u32,
) -> Result<Lent, Refusal> {
    let source = wanted.source.as_fd();
    tree::refuse_kernel_interfaces(source)?;
    let tree = match wanted.access {
        Access::Public => tree::lend(source, tree::SEALED),
        // Where the file system has no idmaps the session reads with everybody's rights: less.
        Access::Read => tree::lend_as(source, tree::SEALED, identity)
            .or_else(|_| tree::lend(source, tree::SEALED)),
        Access::Write => {
            // Idmapped, somebody else's tree would be nobody's; refusing says so.
            if fstat(source).at(Stage::Tree)?.st_uid != human.uid {
                return Err(Refusal::Descriptors);
            }
            tree::lend_as(source, tree::LOCKED, identity)
        }
        Access::Keep => {
            let owner = fstat(source).at(Stage::Tree)?;
            if owner.st_uid != broker {
                return Err(Refusal::Descriptors);
            }
            let owner = Human {
                uid: owner.st_uid,
                gid: owner.st_gid,
            };
            let idmap = userns::mapping(owner, uid)?;
            tree::lend_as(source, tree::LOCKED, idmap.as_fd())
        }
    };
    Ok(Lent {
        tree: tree.at(Stage::Tree)?,
        place: wanted.place.clone(),
        access: wanted.access,
    })
}

/// Refuses terminals of the host and connections to its servers, and makes anonymous pipes the session's own: a program that opens
/// `/dev/stderr` asks for its rights again.
fn give_pipes(stdio: &Stdio, uid: u32) -> Result<(), Refusal> {
    const PIPEFS: i64 = 0x5049_5045;
    let Stdio::Pipes {
        input,
        output,
        errors,
    } = stdio
    else {
        return Ok(());
    };
    for fd in [input, output, errors] {
        if is_the_hosts(fd) {
            return Err(Refusal::Descriptors);
        }
        if fstatfs(fd).at(Stage::Tree)?.f_type == PIPEFS {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(uid));
            fchown(fd, Some(uid), Some(gid)).at(Stage::Tree)?;
        }
    }
    Ok(())
}

/// Whether no session may have this for a standard stream: a terminal of the host, or a connection to a
/// server on it.
pub(crate) fn is_the_hosts(fd: &OwnedFd) -> bool {
    isatty(fd) || calls_a_server(fd)
}

/// Whether this is a connection to a Unix socket that has a name: the human's agent for keys, their bus,
/// the broker's own. Whoever writes on it speaks as its human. The pairs that programs are started with
/// have no names.
fn calls_a_server(fd: &OwnedFd) -> bool {
    let Ok(Some(peer)) = getpeername(fd) else {
        return false;
    };
    // Of no name the library makes an abstract one that is empty.
    SocketAddrUnix::try_from(peer).is_ok_and(|peer| {
        peer.path_bytes()
            .or(peer.abstract_name())
            .is_some_and(|name| !name.is_empty())
    })
}
