//! Where a path lies, the most guarded reading first.
//!
//! It must never answer with a place less guarded than the path's text allows: wildcards count for everything that they
//! could match.

use std::path::{Component, Path};

use holdfast_policy::Place;
use holdfast_protocol::run::RunAccess;

use super::path::{could_be, says_something};
use super::{Lent, World};

/// Holdfast's own folders, and the agents' managed configuration that names its hooks.
const HOLDFAST: &[&str] = &[
    "/run/holdfast",
    "/var/run/holdfast",
    "/etc/holdfast",
    "/var/lib/holdfast",
    "/usr/lib/holdfast",
    "/etc/claude-code",
    "/etc/codex",
    "/etc/gemini-cli",
];

/// Folders and files below a home that hold secrets.
const SECRET_IN_HOME: &[&str] = &[
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".config/gcloud",
    ".config/gh",
    ".config/hub",
    ".config/op",
    ".kube",
    ".docker/config.json",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".config/git/credentials",
    ".cargo/credentials",
    ".cargo/credentials.toml",
    ".gem/credentials",
    ".password-store",
    ".local/share/keyrings",
    ".vault-token",
    ".claude/.credentials.json",
    ".codex/auth.json",
    ".gemini/oauth_creds.json",
];

/// What lies in [`SECRET_IN_HOME`] and is public all the same.
const PUBLIC_NAMES: &[&str] = &["known_hosts", "known_hosts.old", "authorized_keys"];

/// Names that mean a secret wherever they lie.
const SECRET_NAMES: &[&str] = &[
    ".env",
    ".netrc",
    ".git-credentials",
    ".vault-token",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_ecdsa_sk",
    "id_ed25519_sk",
];

/// Endings that mean a secret wherever they lie.
const SECRET_ENDINGS: &[&str] = &[".p12", ".pfx", ".kdbx", ".key", ".keystore", ".jks"];

/// Endings of an `.env` file that is a sample for people to copy.
const SAMPLE_ENDINGS: &[&str] = &[".example", ".sample", ".template", ".dist"];

/// Files whose content runs outside the session, or switches its guards, relative to any folder.
const HOOKS: &[&[&str]] = &[
    &[".git", "hooks"],
    &[".git", "config"],
    &[".claude", "settings.json"],
    &[".claude", "settings.local.json"],
    &[".claude", "hooks"],
    &[".codex", "config.toml"],
    &[".codex", "hooks.json"],
    &[".gemini", "settings.json"],
    &[".cursor", "hooks.json"],
    &[".husky"],
];

pub(super) fn place(world: &World, path: &Path) -> Place {
    let parts = parts(path);
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if HOLDFAST.iter().any(|root| is_or_below(&parts, root)) || holds(&parts, &[".holdfast"]) {
        Place::Holdfast
    } else if is_secret(world, &parts) {
        Place::Secret
    } else if HOOKS.iter().any(|hook| holds(&parts, hook)) {
        Place::Hooks
    } else if !world.project.as_os_str().is_empty() && path.starts_with(&world.project) {
        Place::Project
    } else if let Some(lent) = lent(world, path) {
        // What is lent to be changed is the session's to work in, as the project is.
        match lent.access {
            RunAccess::Write => Place::Project,
            RunAccess::Read => Place::Elsewhere,
        }
    } else if world.other_projects.iter().any(|p| path.starts_with(p)) {
        Place::OtherProject
    } else if world.scratch.iter().any(|p| path.starts_with(p)) {
        Place::Scratch
    } else {
        Place::Elsewhere
    }
}

/// The innermost of what was lent that holds this path.
pub(super) fn lent<'w>(world: &'w World, path: &Path) -> Option<&'w Lent> {
    let holds = |lent: &&Lent| path.starts_with(&lent.root);
    let depth = |lent: &&Lent| lent.root.components().count();
    world.lent.iter().filter(holds).max_by_key(depth)
}

/// Whether a place of secrets in the human's home lies below this path.
pub(super) fn holds_secrets(world: &World, path: &Path) -> bool {
    SECRET_IN_HOME
        .iter()
        .any(|secret| world.home.join(secret).starts_with(path))
}

fn is_secret(world: &World, parts: &[&str]) -> bool {
    let name = parts.last().copied().unwrap_or_default();
    let home = world.home.to_string_lossy();
    let guarded = SECRET_IN_HOME
        .iter()
        .any(|secret| is_or_below(parts, &format!("{home}/{secret}")));
    let public = name.ends_with(".pub") || PUBLIC_NAMES.contains(&name);
    if guarded && !public {
        return true;
    }
    // Somebody's home, by its usual place, whoever they are.
    if let ["home", _, rest @ ..] | ["root", rest @ ..] = parts
        && !public
        && SECRET_IN_HOME
            .iter()
            .any(|secret| is_or_below(rest, secret))
    {
        return true;
    }
    if let ["proc", _, "environ" | "mem" | "maps"] = parts {
        return true;
    }
    if let ["etc", "shadow" | "gshadow" | "sudoers"] | ["etc", "ssh", ..] = parts {
        return !public && name != "ssh_config";
    }
    let environment = name
        .strip_prefix(".env.")
        .is_some_and(|_| !SAMPLE_ENDINGS.iter().any(|ending| name.ends_with(ending)));
    environment
        // `*` alone would make every folder one of secrets.
        || (says_something(name) && SECRET_NAMES.iter().any(|secret| could_be(name, secret)))
        || SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether a path is `root` or lies below it, or, where the path holds wildcards, could be or could lie there.
fn is_or_below(parts: &[&str], root: &str) -> bool {
    let mut parts = parts.iter();
    root.split('/')
        .filter(|part| !part.is_empty())
        .all(|wanted| parts.next().is_some_and(|part| could_be(part, wanted)))
}

/// Whether `wanted` stands anywhere in the path.
fn holds(parts: &[&str], wanted: &[&str]) -> bool {
    parts.windows(wanted.len()).any(|window| {
        window
            .iter()
            .zip(wanted)
            .all(|(part, wanted)| could_be(part, wanted))
    })
}

fn parts(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_string_lossy().into_owned()),
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir => None,
        })
        .collect()
}
