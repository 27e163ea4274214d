//! The world of a session that is not made, for people.
//!
//! Much of it is the human's own text, so it is made printable before it is shown.

use std::fmt::Write;

use holdfast_protocol::grade::SessionUid;
use holdfast_protocol::run::{RunWorld, ShownAccess, ShownTree, ShownWhy};

use crate::render::printable;

/// The whole of it.
pub fn text(world: &RunWorld) -> String {
    let mut text = String::new();
    let kind = if world.extended {
        format!("{}, with your own profile", world.kind)
    } else {
        world.kind.to_string()
    };
    line(&mut text, "runs", &world.argv.join(" "));
    line(&mut text, "program", &format!("sha256:{}", world.program));
    line(&mut text, "kind", &kind);
    line(&mut text, "starts in", &world.directory);
    line(&mut text, "runs as", runs_as(world));
    line(&mut text, "network", &world.network);
    line(&mut text, "hosts", &hosts(world));
    list(&mut text, "secrets", &world.secrets, "none");
    line(&mut text, "limits", &limits(world));
    text.push_str("\nIt sees the system, read-only, and:\n");
    let width = world.trees.iter().map(|tree| tree.place.chars().count());
    let width = width.max().unwrap_or_default();
    for tree in &world.trees {
        let place = printable(&tree.place);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {place:width$}  {:<9}{}", access(tree), why(tree));
    }
    text.push_str("\nIts environment:\n");
    for variable in &world.environment {
        let value = variable.value.as_deref().unwrap_or("(the session's own)");
        let _ = writeln!(text, "  {}={}", variable.name, printable(value));
    }
    if !world.asked.is_empty() {
        text.push_str("\nA human is asked about (or it never happens):\n");
        for asked in &world.asked {
            let _ = writeln!(text, "  {}", printable(asked));
        }
    }
    for note in &world.notes {
        let _ = writeln!(text, "\nNote: {}", printable(note));
    }
    text.truncate(text.trim_end().len());
    text
}

fn runs_as(world: &RunWorld) -> &'static str {
    match world.runs_as {
        SessionUid::Own => "a uid of its own",
        SessionUid::Humans => "your own uid (LOWER GRADE)",
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "{name:<12}{}", printable(value));
}

fn list(text: &mut String, name: &str, values: &[String], none: &str) {
    let joined = values.join(", ");
    line(text, name, if values.is_empty() { none } else { &joined });
}

fn hosts(world: &RunWorld) -> String {
    match world.hosts.join(", ") {
        hosts if hosts.is_empty() => "none without a question".to_owned(),
        hosts => format!("{hosts}: fetched from without a question"),
    }
}

fn limits(world: &RunWorld) -> String {
    let processes = world.processes.map(|n| format!("{n} processes"));
    let memory = world.memory.map(|bytes| format!("{} MiB", bytes >> 20));
    let limits: Vec<String> = processes.into_iter().chain(memory).collect();
    if limits.is_empty() {
        "the host's own".to_owned()
    } else {
        limits.join(", ")
    }
}

fn access(tree: &ShownTree) -> &'static str {
    match tree.access {
        ShownAccess::Read => "read",
        ShownAccess::Write => "change",
        ShownAccess::Keep => "kept",
        ShownAccess::Private => "private",
    }
}

fn why(tree: &ShownTree) -> &'static str {
    match tree.why {
        ShownWhy::Project => "the project",
        ShownWhy::Home => "its home",
        ShownWhy::Cache => "what can be fetched again",
        ShownWhy::Tool => "a tool on your PATH",
        ShownWhy::Instruction => "your instructions",
        ShownWhy::Git => "a git folder of its own",
        ShownWhy::Guard if tree.access == ShownAccess::Write => "holds what is guarded",
        ShownWhy::Guard => "guarded; --unguard PATH lifts that",
        ShownWhy::Named => "named by you",
        ShownWhy::Holdfast => "Holdfast's own",
        ShownWhy::Scratch => "scratch space",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use holdfast_protocol::Sha256Digest;
    use holdfast_protocol::run::RunVariable;

    use super::*;

    #[test]
    fn a_session_in_words() {
        let tree = |place: &str, access, why| ShownTree {
            place: place.to_owned(),
            access,
            why,
        };
        let variable = |name: &str, value: Option<&str>| RunVariable {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        let world = RunWorld {
            kind: "claude".parse().unwrap(),
            extended: true,
            program: Sha256Digest::new([0xab; 32]),
            argv: vec![
                "claude".to_owned(),
                "-p".to_owned(),
                "fix\u{1b}[2J it".to_owned(),
            ],
            environment: vec![
                variable("HOLDFAST_SESSION", None),
                variable("HOME", Some("/home/ann")),
            ],
            project: "/home/ann/app".to_owned(),
            directory: "/home/ann/app/src".to_owned(),
            runs_as: SessionUid::Humans,
            trees: vec![
                tree("/home/ann", ShownAccess::Keep, ShownWhy::Home),
                tree("/home/ann/.cargo", ShownAccess::Keep, ShownWhy::Cache),
                tree("/home/ann/.cargo/bin", ShownAccess::Read, ShownWhy::Tool),
                tree(
                    "/home/ann/.claude/skills",
                    ShownAccess::Read,
                    ShownWhy::Instruction,
                ),
                tree("/home/ann/app", ShownAccess::Write, ShownWhy::Project),
                tree("/home/ann/data", ShownAccess::Write, ShownWhy::Named),
                tree("/tmp", ShownAccess::Private, ShownWhy::Scratch),
            ],
            network: "none but the broker's bridge".to_owned(),
            hosts: vec!["api.example".to_owned()],
            processes: Some(512),
            memory: None,
            secrets: vec![],
            asked: vec!["R1: a change outside the project".to_owned()],
            notes: vec!["your vault is locked".to_owned()],
        };
        insta::assert_snapshot!(text(&world));
    }
}
