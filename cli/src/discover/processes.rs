//! Agents that run: what `/proc` says of processes, without their secrets.
//!
//! A process that ends while it is looked at is left out. Whether one is sealed is told by its uid and its cgroup
//! together: its human could give a process of their own a cgroup of any name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use super::catalog::{Agent, Catalog};
use super::words;

/// The longest command line or environment that is read, in bytes.
const MAX_FILE: u64 = 256 * 1024;

/// The most processes that are looked at.
const MAX_PROCESSES: usize = 50_000;

/// The launcher's folder of sessions' cgroups.
const SESSIONS: &str = "/holdfast-sessions/";

/// Programs that run other programs' text.
const INTERPRETERS: [&str; 5] = ["node", "bun", "deno", "python", "nodejs"];

/// A process that is an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Whose it is.
    pub uid: u32,
    /// Where it runs.
    pub inside: Inside,
    /// What it executes, where that may be read.
    #[serde(serialize_with = "super::lossy::known")]
    pub exe: Option<PathBuf>,
    /// Its command line, without what could be secret.
    pub command: Vec<String>,
    /// Its folder, where that may be read.
    #[serde(serialize_with = "super::lossy::known")]
    pub directory: Option<PathBuf>,
}

/// Where a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inside {
    /// In a session of Holdfast's.
    Session,
    /// Outside of all of them.
    Nothing,
}

/// Variables of a process, by name.
pub type Environment = BTreeMap<String, Zeroizing<String>>;

/// An agent's process, with what is needed to look around it.
pub struct Running<'a> {
    /// Which agent.
    pub agent: &'a Agent,
    /// The process.
    pub process: Process,
    /// Its environment, where that may be read.
    pub environment: Environment,
}

/// Every agent's process below `proc`; of sessions, and of the uids that `whose` knows.
pub fn running<'a>(
    proc: &Path,
    catalog: &'a Catalog,
    whose: impl Fn(u32) -> bool,
) -> Vec<Running<'a>> {
    let Ok(entries) = std::fs::read_dir(proc) else {
        return Vec::new();
    };
    let mut pids: Vec<u32> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .take(MAX_PROCESSES)
        .collect();
    pids.sort_unstable();
    pids.into_iter()
        .filter_map(|pid| {
            let folder = proc.join(pid.to_string());
            let uid = uid(&bounded(&folder.join("status"))?)?;
            let known = whose(uid);
            let inside = if !known && is_session(&bounded(&folder.join("cgroup"))?) {
                Inside::Session
            } else if known {
                Inside::Nothing
            } else {
                return None;
            };
            look(pid, uid, inside, &folder, catalog)
        })
        .collect()
}

fn look<'a>(
    pid: u32,
    uid: u32,
    inside: Inside,
    folder: &Path,
    catalog: &'a Catalog,
) -> Option<Running<'a>> {
    let line = bounded(&folder.join("cmdline"))?;
    let line: Vec<_> = line
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    let words: Vec<&str> = line.iter().map(AsRef::as_ref).collect();
    let words = words.strip_suffix(&[""]).unwrap_or(&words);
    let exe = std::fs::read_link(folder.join("exe")).ok();
    let agent = catalog
        .agents
        .iter()
        .find(|agent| is(agent, words, exe.as_deref()))?;
    let environment = match inside {
        Inside::Nothing => bounded(&folder.join("environ")).map(|bytes| variables(&bytes)),
        Inside::Session => None,
    };
    Some(Running {
        agent,
        process: Process {
            pid,
            uid,
            inside,
            exe,
            command: words::command(words.iter().copied()),
            directory: std::fs::read_link(folder.join("cwd")).ok(),
        },
        environment: environment.unwrap_or_default(),
    })
}

/// Whether a process is this agent: by its program's name, or by the script that an interpreter runs.
fn is(agent: &Agent, words: &[&str], exe: Option<&Path>) -> bool {
    let Some(program) = words.first() else {
        return false;
    };
    let executed = exe.and_then(|exe| std::str::from_utf8(exe.as_os_str().as_bytes()).ok());
    if named(agent, program) || executed.is_some_and(|exe| named(agent, exe)) {
        return true;
    }
    let name = base(program);
    let interprets = INTERPRETERS.iter().any(|interpreter| {
        name.strip_prefix(interpreter)
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
    });
    let script = words.iter().skip(1).find(|word| !word.starts_with('-'));
    interprets && script.is_some_and(|script| named(agent, script))
}

/// Whether a path is one of the agent's programs, or lies in one of its packages.
fn named(agent: &Agent, path: &str) -> bool {
    agent.programs.iter().any(|name| name == base(path))
        || agent
            .npm
            .iter()
            .any(|name| path.contains(&format!("/node_modules/{name}/")))
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn variables(bytes: &[u8]) -> Environment {
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|variable| {
            let (name, value) = std::str::from_utf8(variable).ok()?.split_once('=')?;
            Some((name.to_owned(), Zeroizing::new(value.to_owned())))
        })
        .collect()
}

/// The effective uid (proc_pid_status(5)).
fn uid(status: &[u8]) -> Option<u32> {
    std::str::from_utf8(status)
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("Uid:"))?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn is_session(cgroup: &[u8]) -> bool {
    std::str::from_utf8(cgroup).is_ok_and(|text| {
        text.lines()
            .any(|line| line.starts_with("0::") && line.contains(SESSIONS))
    })
}

fn bounded(path: &Path) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)
        .ok()?
        .take(MAX_FILE)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}
