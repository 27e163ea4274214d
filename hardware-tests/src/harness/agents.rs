//! Real agents, as their packages bring them.
//!
//! They must never be ones that somebody else keeps on this machine: their versions would be anybody's.

use std::path::{Path, PathBuf};

use super::skipped;

/// Where the set-up puts agents, unless this variable names another folder.
const FOLDER: (&str, &str) = ("HOLDFAST_AGENTS", "/opt/holdfast/agents");

/// An agent that npm installs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// Claude Code: a native program.
    Claude,
    /// Codex: a script for Node.js that starts a native program.
    Codex,
    /// GitHub Copilot CLI: a script for Node.js.
    Copilot,
    /// Gemini CLI: a script for Node.js.
    Gemini,
    /// opencode: a native program.
    Opencode,
}

impl Agent {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Claude,
        Self::Codex,
        Self::Copilot,
        Self::Gemini,
        Self::Opencode,
    ];

    /// The kind that its sessions are of.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Copilot => "copilot",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
        }
    }

    /// Its program; `None`, loudly, where it is not installed.
    ///
    /// # Panics
    /// Where `CI` says that nothing may be left out.
    pub fn program(self) -> Option<PathBuf> {
        let (variable, usual) = FOLDER;
        let folder = std::env::var_os(variable).map_or_else(|| usual.into(), PathBuf::from);
        let packages = folder.join("node_modules");
        let found = self.below(&packages).filter(|path| path.is_file());
        if found.is_none() {
            skipped(&format!(
                "no {self:?} for this machine below {}: run packaging/test.sh, or `npm ci` in a copy of packaging/agents there",
                folder.display()
            ));
        }
        found
    }

    fn below(self, packages: &Path) -> Option<PathBuf> {
        let bin = |name: &str| Some(packages.join(".bin").join(name));
        match self {
            Self::Claude => native(&packages.join("@anthropic-ai/claude-code"), "claude"),
            Self::Codex => bin("codex"),
            Self::Copilot => bin("copilot"),
            Self::Gemini => bin("gemini"),
            Self::Opencode => native(&packages.join("opencode"), "bin/opencode"),
        }
    }
}

/// The program in the package for this machine's processor and C library.
fn native(package: &Path, program: &str) -> Option<PathBuf> {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        _ => return None,
    };
    // npm installs the one that fits; a glibc machine is what Holdfast is for.
    ["", "-musl"]
        .iter()
        .map(|libc| format!("{}-linux-{processor}{libc}/{program}", package.display()))
        .map(PathBuf::from)
        .find(|path| path.is_file())
}
