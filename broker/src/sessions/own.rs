//! What a session is shown of Holdfast's own: the hook's program, and the settings that make agents
//! ask it.
//!
//! The agent's admin layer, which its own flags and files do not override. Made by the broker,
//! mounted read-only; a session must never be able to change it.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use holdfast_attest_host::durable;
use holdfast_launch_agents::{Access, Place, Tree};
use rustix::fs::{Mode, OFlags};

use super::launch::RunError;
use crate::state_folder::make_public;

/// The hook's program, inside.
const HOOK: &str = "/opt/holdfast/libexec/holdfast-hook";

/// Claude Code's admin layer, inside.
const CLAUDE: &str = "/etc/claude-code";

/// Where all of it is, inside.
pub const PLACES: [&str; 2] = [HOOK, CLAUDE];

/// Managed settings for Claude Code: every tool call is asked about, and a hook that fails blocks.
const CLAUDE_SETTINGS: &str = include_str!("claude-settings.json");

/// Folders and files for every session.
#[derive(Clone, Debug)]
pub struct Own {
    hook: PathBuf,
    claude: PathBuf,
}

impl Own {
    /// Writes the settings below `folder`; the hook's program is beside this one.
    pub fn prepare(folder: &Path) -> io::Result<Self> {
        let claude = folder.join("claude-code");
        make_public(folder)?;
        make_public(&claude)?;
        durable::publish(
            &claude.join("managed-settings.json"),
            CLAUDE_SETTINGS.as_bytes(),
        )?;
        let hook = std::env::current_exe()?.with_file_name("holdfast-hook");
        if !hook.exists() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("`{}` is missing; agents could not ask", hook.display()),
            ));
        }
        Ok(Self { hook, claude })
    }

    /// The trees, opened for one session.
    pub fn trees(&self) -> Result<Vec<Tree>, RunError> {
        [(&self.hook, HOOK), (&self.claude, CLAUDE)]
            .into_iter()
            .map(|(path, place)| {
                Ok(Tree {
                    source: open(path).map_err(|source| RunError::Own {
                        path: path.clone(),
                        source,
                    })?,
                    place: Place::parse(place)?,
                    access: Access::Public,
                })
            })
            .collect()
    }
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}
