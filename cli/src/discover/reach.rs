//! What a program of a human's could reach when nothing seals it.
//!
//! It looks whether a way is there, and goes none of them.

use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use serde::Serialize;

use super::folder::Folder;

/// Groups that are as good as root, and why.
const GROUPS: [(&str, Reached); 8] = [
    ("docker", Reached::ContainerEngine),
    ("podman", Reached::ContainerEngine),
    ("incus-admin", Reached::ContainerEngine),
    ("lxd", Reached::ContainerEngine),
    ("libvirt", Reached::VirtualMachines),
    ("sudo", Reached::Root),
    ("wheel", Reached::Root),
    ("admin", Reached::Root),
];

/// Files and folders in a home that open something else.
const IN_HOME: [(&str, Reached); 9] = [
    (".ssh/id_ed25519", Reached::SshKey),
    (".ssh/id_ecdsa", Reached::SshKey),
    (".ssh/id_rsa", Reached::SshKey),
    (".kube/config", Reached::Kubernetes),
    (".gnupg/private-keys-v1.d", Reached::GpgKeys),
    (".config/gcloud", Reached::Cloud),
    (".azure", Reached::Cloud),
    (".aws", Reached::Cloud),
    (".mozilla/firefox", Reached::Browser),
];

/// Sockets below `/run/user/UID`.
const IN_RUN_USER: [(&str, Reached); 6] = [
    ("bus", Reached::DBus),
    ("keyring/ssh", Reached::SshAgent),
    ("gcr/ssh", Reached::SshAgent),
    ("docker.sock", Reached::ContainerEngine),
    ("podman/podman.sock", Reached::ContainerEngine),
    ("wayland-0", Reached::Desktop),
];

/// Variables that name a socket or a file, and what that is.
const VARIABLES: [(&str, Reached); 2] = [
    ("SSH_AUTH_SOCK", Reached::SshAgent),
    ("KUBECONFIG", Reached::Kubernetes),
];

/// What can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// Every file of the human's.
    Home,
    /// Root's rights.
    Root,
    /// Containers, which can mount anything.
    ContainerEngine,
    /// Virtual machines.
    VirtualMachines,
    /// Keys that an agent holds for SSH.
    SshAgent,
    /// A private key for SSH.
    SshKey,
    /// Private keys of GnuPG.
    GpgKeys,
    /// A cluster.
    Kubernetes,
    /// A cloud's command line, logged in.
    Cloud,
    /// A browser's profiles, with its logins.
    Browser,
    /// The session's bus: the keyring, notifications, whatever listens there.
    DBus,
    /// The screen and the keyboard.
    Desktop,
}

impl Reached {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Home => "every file of the home",
            Self::Root => "root",
            Self::ContainerEngine => "a container engine (as good as root)",
            Self::VirtualMachines => "virtual machines",
            Self::SshAgent => "an SSH agent",
            Self::SshKey => "an SSH key",
            Self::GpgKeys => "GnuPG's keys",
            Self::Kubernetes => "a Kubernetes cluster",
            Self::Cloud => "a cloud's login",
            Self::Browser => "a browser's logins",
            Self::DBus => "the session's D-Bus, and the keyring behind it",
            Self::Desktop => "the screen",
        }
    }
}

/// Something that can be reached, and what shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reach {
    /// What.
    pub what: Reached,
    /// By what.
    pub by: Way,
}

/// How something is reached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// A file, folder or socket.
    Place(#[serde(serialize_with = "super::lossy::path")] PathBuf),
    /// A group that the human is in.
    Group(String),
    /// The uid itself.
    Uid(u32),
}

/// What a program of `uid` reaches, by its home, its groups and the values of the variables that it has.
pub fn reach<'a>(
    uid: u32,
    groups: &[String],
    home: &Folder,
    system: &Folder,
    variable: impl Fn(&str) -> Vec<&'a str>,
) -> Vec<Reach> {
    let mut found = vec![at(Reached::Home, home.path().to_owned())];
    if uid == 0 {
        found.push(Reach {
            what: Reached::Root,
            by: Way::Uid(0),
        });
    }
    for (group, what) in GROUPS {
        if groups.iter().any(|name| name == group) {
            found.push(Reach {
                what,
                by: Way::Group(group.to_owned()),
            });
        }
    }
    for (path, what) in IN_HOME {
        if home.has(Path::new(path)) {
            found.push(at(what, home.place(Path::new(path))));
        }
    }
    let run = PathBuf::from(format!("run/user/{uid}"));
    for (path, what) in IN_RUN_USER {
        let path = run.join(path);
        if system.kind(&path) == Some(FileType::Socket) {
            found.push(at(what, system.place(&path)));
        }
    }
    for (name, what) in VARIABLES {
        for value in variable(name) {
            // Only what is there: the value is foreign, and could be anything.
            let path = value.strip_prefix('/').map(Path::new);
            if let Some(path) = path.filter(|path| system.has(path)) {
                found.push(at(what, system.place(path)));
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

fn at(what: Reached, place: PathBuf) -> Reach {
    Reach {
        what,
        by: Way::Place(place),
    }
}
