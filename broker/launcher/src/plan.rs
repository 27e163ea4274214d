//! A launch, checked against the host: whose it is, and everything it lends already detached.
//!
//! All of this happens before the session's process exists. It must never trust the message for
//! who the human is.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Gid, Uid, fchown, fstat, fstatfs};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::net::{SocketAddrUnix, getpeername};
use rustix::termios::isatty;

use crate::failure::{At, Refusal, Stage};
use crate::message::{Access, Human, Idmap, Launch, SessionUid, Stdio, Tree};
use crate::options::{Options, RootHuman};
use crate::place::Place;
use crate::{sys, tree, userns};

/// What the session's process builds its world from.
pub(crate) struct Plan {
    /// The request; its descriptors have served, but for `stdio`.
    pub(crate) launch: Launch,
    /// Whose session it is.
    pub(crate) human: Human,
    /// What the session runs under on the host.
    pub(crate) host: Human,
    /// Who owns what the launcher puts into the session's world.
    pub(crate) keeper: Human,
    /// How the first process comes to the session's user namespace.
    pub(crate) identity: Identity,
    /// The program, detached and sealed.
    pub(crate) program: OwnedFd,
    /// The folder of sockets, detached.
    pub(crate) sockets: OwnedFd,
    /// The trees, detached, in the order of the request.
    pub(crate) trees: Vec<Lent>,
}

/// A session's user namespace, which owns nothing.
pub(crate) enum Identity {
    /// Root made it; a host uid of the session's own is mapped in it.
    Made(OwnedFd),
    /// Nobody has yet: the first process makes it for itself, without root. See [`crate::contained`].
    Unmade,
}

/// Owns what root makes.
const ROOT: Human = Human { uid: 0, gid: 0 };

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

/// What a session of `human` runs under: `own`, if it has a uid of its own, whose gid is the same number.
pub(crate) fn host(human: Human, own: Option<u32>) -> Result<Human, Refusal> {
    match own {
        Some(uid) => Ok(Human { uid, gid: uid }),
        // Without capabilities uid 0 still owns the kernel's own files.
        None if human.uid == 0 || human.gid == 0 => Err(Refusal::Human(0)),
        None => Ok(human),
    }
}

/// Detaches everything that the session is lent.
pub(crate) fn prepare(
    launch: Launch,
    human: Human,
    host: Human,
    broker: u32,
) -> Result<Plan, Refusal> {
    let file = fstat(&launch.program).at(Stage::Tree)?.st_mode;
    let folder = fstat(&launch.sockets).at(Stage::Tree)?.st_mode;
    if !FileType::from_raw_mode(file).is_file() || !FileType::from_raw_mode(folder).is_dir() {
        return Err(Refusal::Descriptors);
    }
    give_pipes(&launch.stdio, host)?;
    let identity = userns::mapping(human, host)?;
    let no_run = tree::SEALED | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let lender = Lender {
        human,
        host,
        broker,
        idmap: match launch.uid {
            SessionUid::Own => Some(identity.as_fd()),
            SessionUid::Humans => None,
        },
    };
    let trees = launch.trees.iter().map(|wanted| lender.lend(wanted));
    let trees = trees.collect::<Result<_, _>>()?;
    Ok(Plan {
        program: tree::lend(launch.program.as_fd(), tree::SEALED).at(Stage::Tree)?,
        sockets: tree::lend(launch.sockets.as_fd(), no_run).at(Stage::Tree)?,
        trees,
        launch,
        human,
        host,
        keeper: ROOT,
        identity: Identity::Made(identity),
    })
}

/// Who lends to whom.
struct Lender<'a> {
    human: Human,
    host: Human,
    broker: u32,
    /// Makes the human's trees the session's; `None` where the session runs under the human's uid.
    idmap: Option<BorrowedFd<'a>>,
}

impl Lender<'_> {
    fn lend(&self, wanted: &Tree) -> Result<Lent, Refusal> {
        let source = wanted.source.as_fd();
        tree::refuse_kernel_interfaces(source)?;
        let tree = match wanted.access {
            Access::Public => tree::lend(source, tree::SEALED),
            // Where the file system has no idmaps the session reads with everybody's rights: less.
            Access::Read => self
                .lend_humans(source, tree::SEALED)
                .or_else(|_| tree::lend(source, tree::SEALED)),
            Access::Write => {
                // Idmapped, somebody else's tree would be nobody's; refusing says so.
                if fstat(source).at(Stage::Tree)?.st_uid != self.human.uid {
                    return Err(Refusal::Descriptors);
                }
                self.lend_humans(source, tree::LOCKED)
            }
            Access::Keep => {
                let owner = fstat(source).at(Stage::Tree)?;
                if owner.st_uid != self.broker {
                    return Err(Refusal::Descriptors);
                }
                let owner = Human {
                    uid: owner.st_uid,
                    gid: owner.st_gid,
                };
                let idmap = userns::mapping(owner, self.host)?;
                tree::lend_as(source, tree::LOCKED, idmap.as_fd())
            }
        };
        Ok(Lent {
            tree: tree.at(Stage::Tree)?,
            place: wanted.place.clone(),
            access: wanted.access,
        })
    }

    fn lend_humans(
        &self,
        source: BorrowedFd<'_>,
        attributes: MountAttrFlags,
    ) -> Result<OwnedFd, Errno> {
        match self.idmap {
            Some(idmap) => tree::lend_as(source, attributes, idmap),
            None => tree::lend(source, attributes),
        }
    }
}

/// Which of `trees` can be mapped; `any` is a uid for trying.
pub(crate) fn map(trees: &[OwnedFd], any: u32) -> Result<Vec<Idmap>, Refusal> {
    let any = Human { uid: any, gid: any };
    let idmap = userns::mapping(any, any)?;
    let tried = trees.iter().map(|source| {
        tree::refuse_kernel_interfaces(source.as_fd())?;
        match tree::lend_as(source.as_fd(), tree::SEALED, idmap.as_fd()) {
            Ok(_) => Ok(Idmap::Can),
            // No idmapped mounts of it; or it is one already, as a home of systemd-homed's.
            Err(Errno::INVAL | Errno::PERM | Errno::OPNOTSUPP) => Ok(Idmap::Cannot),
            other => other.map(|_| Idmap::Can).at(Stage::Tree),
        }
    });
    tried.collect()
}

/// Refuses terminals of the host and connections to its servers, and makes anonymous pipes the session's own: a program that opens
/// `/dev/stderr` asks for its rights again.
fn give_pipes(stdio: &Stdio, host: Human) -> Result<(), Refusal> {
    const PIPEFS: i64 = 0x5049_5045;
    let Stdio::Pipes {
        input,
        output,
        errors,
    } = stdio
    else {
        return Ok(());
    };
    refuse_the_hosts([input, output, errors])?;
    for fd in [input, output, errors] {
        if fstatfs(fd).at(Stage::Tree)?.f_type == PIPEFS {
            let (uid, gid) = (Uid::from_raw(host.uid), Gid::from_raw(host.gid));
            fchown(fd, Some(uid), Some(gid)).at(Stage::Tree)?;
        }
    }
    Ok(())
}

/// Refuses standard streams that lead out: a terminal of the host could be typed into from inside, and whoever writes to a
/// server of the host's speaks as its human.
pub(crate) fn refuse_the_hosts<'f>(
    streams: impl IntoIterator<Item = &'f OwnedFd>,
) -> Result<(), Refusal> {
    if streams.into_iter().any(is_the_hosts) {
        return Err(Refusal::Stream);
    }
    Ok(())
}

/// Whether no session may have this for a standard stream: a terminal of the host, or a connection to a
/// server on it.
fn is_the_hosts(fd: &OwnedFd) -> bool {
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
