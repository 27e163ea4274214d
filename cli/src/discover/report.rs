//! What `holdfast agents discover` tells: its fields are a contract for scripts.

use std::path::PathBuf;

use holdfast_protocol::id::AgentKind;
use serde::Serialize;

use super::humans::Human;
use super::installs::{Install, InstallKind};
use super::keys::Key;
use super::lossy;
use super::processes::Process;
use super::reach::Reach;
use super::servers::Server;

/// What was found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// By human.
    pub humans: Vec<OfHuman>,
    /// Agents that run in sessions of Holdfast's, whoever's they are.
    pub sealed: Vec<Sealed>,
}

/// What was found of one human's.
#[derive(Debug, Serialize)]
pub struct OfHuman {
    /// Who.
    #[serde(flatten)]
    pub human: Human,
    /// The agents.
    pub agents: Vec<Found>,
    /// Keys that any of them can read.
    pub keys: Vec<Key>,
    /// What any of them could reach.
    pub reach: Vec<Reach>,
    /// What was there and could not be read.
    pub unread: Vec<NotRead>,
}

/// One agent.
#[derive(Debug, Serialize)]
pub struct Found {
    /// Its kind.
    pub agent: AgentKind,
    /// What people call it.
    pub title: String,
    /// Where it is installed.
    pub installed: Vec<Install>,
    /// Where it runs, outside Holdfast.
    pub running: Vec<Process>,
    /// Its settings.
    #[serde(serialize_with = "lossy::all")]
    pub settings: Vec<PathBuf>,
    /// Its MCP servers.
    pub servers: Vec<Server>,
    /// The commands that bring it in.
    pub bring_in: Vec<String>,
}

/// An agent's process in a session.
#[derive(Debug, Serialize)]
pub struct Sealed {
    /// Its kind.
    pub agent: AgentKind,
    /// The process.
    #[serde(flatten)]
    pub process: Process,
}

/// A file that was not read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct NotRead {
    /// The file.
    #[serde(serialize_with = "lossy::path")]
    pub place: PathBuf,
    /// Why.
    pub why: String,
}

impl Found {
    /// Whether it is installed, and its bare command starts it as it is.
    pub fn is_bare(&self) -> bool {
        let sealed = |install: &Install| install.what == InstallKind::Shim;
        !self.installed.is_empty() && !self.installed.iter().any(sealed)
    }
}
