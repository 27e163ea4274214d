//! A real agent: Claude Code, as its package brings it.
//!
//! It must never be one that somebody else keeps on this machine: its version would be anybody's.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{ModelServer, Scratch, skipped};

/// Where the set-up puts agents, unless this variable names another folder.
const AGENTS: (&str, &str) = ("HOLDFAST_AGENTS", "/opt/holdfast/agents");

/// Claude Code's native program; `None`, loudly, where it is not installed.
///
/// # Panics
/// Where `CI` says that nothing may be left out.
pub fn claude() -> Option<PathBuf> {
    let (variable, usual) = AGENTS;
    let folder = std::env::var_os(variable).map_or_else(|| usual.into(), PathBuf::from);
    let found = native(&folder.join("node_modules/@anthropic-ai"));
    if found.is_none() {
        skipped(&format!(
            "no Claude Code for this machine below {}: run packaging/test.sh, or `npm ci` in a copy of packaging/agents there",
            folder.display()
        ));
    }
    found
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

/// The program in the package for this machine's processor and C library.
fn native(packages: &Path) -> Option<PathBuf> {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return None,
    };
    // npm installs the one that fits; a glibc machine is what Holdfast is for.
    ["", "-musl"]
        .iter()
        .map(|libc| packages.join(format!("claude-code-linux-{processor}{libc}/claude")))
        .find(|path| path.is_file())
}
