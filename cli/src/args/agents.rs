//! The words of `holdfast agents` and `holdfast connect`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Subcommand};
use holdfast_protocol::id::AgentKind;

/// The agents of this machine.
#[derive(Clone, Debug, Subcommand)]
pub enum Agents {
    /// List coding agents that are installed or run outside Holdfast.
    ///
    /// It tells where they are, their MCP servers, the keys that they can read, by name and place and never by value,
    /// what else they could reach, and the command that brings each in. It needs no broker, changes nothing and runs
    /// nothing. Root sees every human's; anybody else their own.
    Discover(Discover),
}

/// Where to look.
#[derive(Clone, Debug, ClapArgs)]
pub struct Discover {
    /// Look at this project's configuration, too; the folder here is looked at anyway.
    #[arg(long, value_name = "DIR")]
    pub project: Vec<PathBuf>,
    /// Exit with 1 when an agent is there that is not sealed.
    #[arg(long)]
    pub fail: bool,
}

/// An agent that is to start sealed.
#[derive(Clone, Debug, ClapArgs)]
pub struct Connect {
    /// The agent: its kind, such as claude or codex, or a program's name.
    #[arg(value_name = "AGENT")]
    pub agent: AgentKind,
    /// The folder of shims [default: ~/.local/share/holdfast/bin].
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Also write what is needed into your shell's startup file and your editor's settings.
    #[arg(long, conflicts_with_all = ["undo", "show"])]
    pub write: bool,
    /// Take back everything that was added.
    #[arg(long, conflicts_with = "show")]
    pub undo: bool,
    /// Show what is there and what would be added; change nothing.
    #[arg(long)]
    pub show: bool,
}
