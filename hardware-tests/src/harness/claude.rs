//! Claude Code outside any session: what the others are held against.
//!
//! It must never find a home, a hook or a key that a test did not give it.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Agent, ModelServer, Scratch};

/// Claude Code's native program; `None`, loudly, where it is not installed.
///
/// # Panics
/// Where `CI` says that nothing may be left out.
pub fn claude() -> Option<PathBuf> {
    Agent::Claude.program()
}

/// Claude Code outside any session, asking `model`: with a home of its own and no hook.
pub fn bare_claude(program: &Path, scratch: &Scratch, model: &ModelServer, key: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", scratch.folder("claude-home"))
        .env("ANTHROPIC_BASE_URL", model.url())
        .env("ANTHROPIC_AUTH_TOKEN", key)
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_AUTOUPDATER", "1")
        // What is refused once is refused: otherwise it tries for minutes.
        .env("CLAUDE_CODE_MAX_RETRIES", "0")
        // It refuses to leave out its questions as root, unless it is told that it is in a sandbox.
        .env("IS_SANDBOX", "1")
        .current_dir(scratch.folder("claude-project"));
    command
}
