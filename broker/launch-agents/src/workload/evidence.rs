//! The evidence of a process that Holdfast did not launch, as selectors.
//!
//! Every fact is read of a process that a pidfd holds fast: looked up by its pid only between two
//! checks that it is still that process. What cannot be told is left out, which fits no registration
//! that asks for it. It must never follow a path that the process chose.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use holdfast_launcher::peer;
use holdfast_protocol::Sha256Digest;

use super::Selector;
use super::unit::{self, Named};
use crate::measure::{self, Memory, Version};
use crate::peer::cgroup_of;

/// Where systemd looks for units (systemd.unit(5)), those that win first.
const UNIT_FOLDERS: [&str; 7] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/transient",
];
/// The most of a file of names, in bytes.
const MAX_NAMES: u64 = 4 << 20;

/// What the kernel says of a process without anybody's leave.
#[derive(Debug)]
pub struct Evidence {
    /// Its effective uid.
    pub uid: u32,
    /// The unit or container that it is in, where root put it there.
    pub named: Option<Named>,
    /// All of it.
    pub selectors: BTreeSet<Selector>,
}

/// The process cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// It is gone, or the kernel does not say.
    #[error("the process cannot be looked at")]
    Kernel(#[source] io::Error),
    /// Two words of the kernel's do not agree.
    #[error("the process is not what it was when it connected")]
    Changed,
}

/// Reads what there is of `process`, which connected with `uid`. Blocks for as long as `/proc` takes.
///
/// # Errors
/// [`EvidenceError`].
pub fn gather(process: &OwnedFd, uid: u32) -> Result<Evidence, EvidenceError> {
    let status = peer::by_pid(process, |pid| {
        std::fs::read_to_string(format!("/proc/{pid}/status"))
    });
    let status = status.map_err(EvidenceError::Kernel)?;
    let ids = Ids::read(&status).ok_or(EvidenceError::Changed)?;
    if ids.uid != uid {
        return Err(EvidenceError::Changed);
    }
    let mut selectors = BTreeSet::new();
    let mut has = |kind: &str, value: &str| selectors.extend(Selector::of(kind, value));
    has("unix:uid", &ids.uid.to_string());
    has("unix:gid", &ids.gid.to_string());
    let groups = names("/etc/group");
    if let Some(user) = name_of(&names("/etc/passwd"), ids.uid) {
        has("unix:user", user);
    }
    if let Some(group) = name_of(&groups, ids.gid) {
        has("unix:group", group);
    }
    for gid in &ids.supplementary {
        has("unix:supplementary_gid", &gid.to_string());
        if let Some(group) = name_of(&groups, *gid) {
            has("unix:supplementary_group", group);
        }
    }
    let named = place(process).map_err(EvidenceError::Kernel)?;
    if let Some(Named::Unit { id, .. }) = &named {
        has("systemd:id", id);
        if let Some(path) = fragment(id) {
            has("systemd:fragment_path", &path.display().to_string());
        }
    }
    Ok(Evidence {
        uid,
        named,
        selectors,
    })
}

/// What a container's engine says of it, as selectors.
pub fn of_container(engine: unit::Engine, container: &super::engine::Container) -> Vec<Selector> {
    let engine = engine.name();
    let kind = |kind: &str| format!("{engine}:{kind}");
    let mut all = vec![
        Selector::of(&kind("image_id"), &container.image),
        Selector::of(&kind("image_config_digest"), &container.image_digest),
    ];
    for (name, value) in &container.labels {
        all.push(Selector::of(&kind("label"), format!("{name}:{value}")));
    }
    for variable in &container.environment {
        all.push(Selector::of(&kind("env"), variable));
    }
    all.into_iter().flatten().collect()
}

/// What an executable is, as selectors: its path where it has one, and its digest. Blocks for as long
/// as reading takes.
pub fn of_executable(file: &File, path: Option<&Path>, memory: &mut Memory) -> Vec<Selector> {
    let mut all = Vec::new();
    if let Some(path) = path.and_then(Path::to_str) {
        all.extend(Selector::of("unix:path", path));
    }
    if let Some(digest) = digest(file, memory) {
        all.extend(Selector::of("unix:sha256", digest));
    }
    all
}

fn digest(file: &File, memory: &mut Memory) -> Option<Sha256Digest> {
    let version = Version::of(file).ok()?;
    if let Some(known) = memory.recall(version) {
        return Some(known);
    }
    let digest = measure::measure(file, |_| Ok(())).ok()?;
    memory.remember(version, digest);
    Some(digest)
}

/// The unit or container whose cgroup the process is in, if root alone can put processes there.
fn place(process: &OwnedFd) -> io::Result<Option<Named>> {
    let path = peer::cgroup_path(process)?;
    let Some(named) = unit::named(&path).or_else(|| unit::of_engine_folder(&path)) else {
        return Ok(None);
    };
    let hierarchy = peer::cgroup_hierarchy()?;
    let whole = hierarchy.join(path.strip_prefix("/").unwrap_or(&path));
    // The path is of that very cgroup.
    if std::fs::metadata(whole)?.ino() != cgroup_of(process)? {
        return Ok(None);
    }
    let mut folder = hierarchy.clone();
    let below = named.cgroup().strip_prefix("/").unwrap_or(named.cgroup());
    for name in below {
        folder.push(name);
        if !is_roots(&folder)? || !is_roots(&folder.join("cgroup.procs"))? {
            return Ok(None);
        }
    }
    Ok(Some(named))
}

/// Whether root alone may change it.
fn is_roots(path: &Path) -> io::Result<bool> {
    let facts = std::fs::symlink_metadata(path)?;
    Ok(facts.uid() == 0 && facts.mode() & 0o022 == 0)
}

/// The file that a unit comes from, by systemd's order of folders.
fn fragment(id: &str) -> Option<PathBuf> {
    let template = id.split_once('@').and_then(|(name, rest)| {
        let (_, kind) = rest.rsplit_once('.')?;
        Some(format!("{name}@.{kind}"))
    });
    let ids = std::iter::once(id.to_owned()).chain(template);
    ids.flat_map(|id| UNIT_FOLDERS.map(|folder| Path::new(folder).join(&id)))
        .find(|path| path.is_file())
}

/// The ids of a process.
#[derive(Debug, PartialEq, Eq)]
struct Ids {
    uid: u32,
    gid: u32,
    supplementary: Vec<u32>,
}

impl Ids {
    /// Reads a `/proc/<pid>/status` (proc_pid_status(5)): the effective ids.
    fn read(status: &str) -> Option<Self> {
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let effective = |name| line(name)?.split_whitespace().nth(1)?.parse().ok();
        let groups = line("Groups:")?.split_whitespace();
        Some(Self {
            uid: effective("Uid:")?,
            gid: effective("Gid:")?,
            supplementary: groups.map(|gid| gid.parse().ok()).collect::<Option<_>>()?,
        })
    }
}

/// A file of names, `name:x:number:…`; empty where it cannot be read.
fn names(path: &str) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_NAMES).read_to_string(&mut text));
    match read {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

fn name_of(names: &str, number: u32) -> Option<&str> {
    let number = number.to_string();
    names.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn effective_ids_count() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t9 10 \n";
        let ids = Ids::read(status).unwrap();
        assert_eq!((ids.uid, ids.gid), (2, 6));
        assert_eq!(ids.supplementary, [9, 10]);
        assert_eq!(Ids::read("Uid:\t1\n"), None);
    }

    #[test]
    fn names_are_of_whole_numbers() {
        let passwd = "root:x:0:0::/:/bin/sh\nmqtt:x:100:1::/:/bin/sh\nother:x:10:1::/:\n";
        assert_eq!(name_of(passwd, 10), Some("other"));
        assert_eq!(name_of(passwd, 1), None);
    }

    #[test]
    fn this_process_has_evidence_and_is_no_unit_of_another() {
        let own = rustix::process::pidfd_open(
            rustix::process::getpid(),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let evidence = gather(&own, uid).unwrap();
        let expected = format!("unix:uid:{uid}").parse().unwrap();
        assert!(evidence.selectors.contains(&expected), "{evidence:?}");
        assert!(matches!(gather(&own, uid + 1), Err(EvidenceError::Changed)));
        let file = File::open("/proc/self/exe").unwrap();
        let path = std::env::current_exe().unwrap();
        let all = of_executable(&file, Some(&path), &mut Memory::default());
        assert_eq!(all.len(), 2, "{all:?}");
    }
}
