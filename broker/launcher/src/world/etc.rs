//! A session's `/etc`: what programs need to run, and nothing that tells of the host or its users.
//!
//! It must never show the host's accounts, keys, network or service configuration.

use std::os::fd::AsFd;

use rustix::fs::{CWD, FileType, readlinkat};
use rustix::io::Errno;

use super::host_kind;
use super::root::{Root, copy_host};
use crate::plan::Plan;
use crate::tree;

/// Taken from the host, where it has them; everybody can read all of these there.
const SHARED: &[&str] = &[
    "alternatives",
    "bash.bashrc",
    "bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "fonts",
    "gai.conf",
    "gitconfig",
    "gnutls",
    "inputrc",
    "java",
    "java-11-openjdk",
    "java-17-openjdk",
    "java-21-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "login.defs",
    "lsb-release",
    "magic",
    "maven",
    "mime.types",
    "npmrc",
    "openssl",
    "os-release",
    "perl",
    "pip.conf",
    "pki",
    "profile",
    "profile.d",
    "protocols",
    "python3",
    "rpc",
    "services",
    "shells",
    "skel",
    "ssl",
    "terminfo",
    "timezone",
    "vimrc",
    "xdg",
    "zsh",
    "zshrc",
];

pub(super) fn make(root: &Root, plan: &Plan) -> Result<(), Errno> {
    let etc = root.folder(&["etc"])?;
    for name in SHARED {
        let path = format!("/etc/{name}");
        match host_kind(&path)? {
            // Kept as links: what they lead to is in /usr, or is not for the session.
            Some(FileType::Symlink) => {
                let target = readlinkat(CWD, &path, Vec::new())?;
                if let Ok(target) = target.to_str() {
                    rustix::fs::symlinkat(target, &etc, *name)?;
                }
            }
            Some(FileType::Directory) => {
                let target = root.folder(&["etc", name])?;
                tree::attach(copy_host(&path)?.as_fd(), target.as_fd())?;
            }
            Some(FileType::RegularFile) => {
                let target = root.file(&["etc", name])?;
                tree::attach(copy_host(&path)?.as_fd(), target.as_fd())?;
            }
            Some(_) | None => {}
        }
    }
    accounts(root, plan)?;
    root.write("etc/hostname", "holdfast\n")?;
    root.write("etc/hosts", "127.0.0.1 localhost holdfast\n::1 localhost\n")?;
    // The broker answers there, see `network`.
    root.write("etc/resolv.conf", "nameserver 127.0.0.1\n")?;
    root.write(
        "etc/nsswitch.conf",
        "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n\
         services: files\nprotocols: files\n",
    )
}

/// The human, root and nobody; files of the host's other users appear as nobody's.
fn accounts(root: &Root, plan: &Plan) -> Result<(), Errno> {
    let (name, human) = (plan.launch.user.as_str(), plan.human);
    let home = &plan.launch.home;
    let mut users = format!("{name}:x:{}:{}::{home}:/bin/bash\n", human.uid, human.gid);
    let mut groups = format!("{name}:x:{}:\n", human.gid);
    if human.uid != 0 {
        users.push_str("root:x:0:0:root:/:/usr/sbin/nologin\n");
    }
    if human.gid != 0 {
        groups.push_str("root:x:0:\n");
    }
    users.push_str("nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n");
    groups.push_str("nogroup:x:65534:\n");
    root.write("etc/passwd", &users)?;
    root.write("etc/group", &groups)
}
