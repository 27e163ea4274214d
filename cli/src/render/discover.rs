//! Agents that were found, in words: for whoever has to know them all.

use std::fmt::Write;
use std::path::Path;

use super::printable;
use crate::discover::installs::{Install, InstallKind};
use crate::discover::keys::{Key, KeyPlace};
use crate::discover::processes::Process;
use crate::discover::reach;
use crate::discover::servers::{Server, Way};
use crate::discover::{Found, OfHuman, Report};

/// All of it.
pub fn report(report: &Report) -> String {
    let mut text = String::new();
    for human in &report.humans {
        of_human(&mut text, human);
    }
    if !report.sealed.is_empty() {
        text.push_str("in sessions of Holdfast\n");
        for sealed in &report.sealed {
            let _ = writeln!(
                text,
                "  {:<12}pid {}: {}",
                sealed.agent.as_str(),
                sealed.process.pid,
                command(&sealed.process.command)
            );
        }
    }
    text
}

fn of_human(text: &mut String, of: &OfHuman) {
    let home = &of.human.home;
    let _ = writeln!(
        text,
        "{} (uid {}), {}\n",
        printable(&of.human.name),
        of.human.uid,
        path(home)
    );
    if of.agents.is_empty() {
        text.push_str("  no coding agent was found\n\n");
    }
    for found in &of.agents {
        agent(text, found, home);
    }
    if !of.keys.is_empty() {
        text.push_str("  keys that an agent here can read\n");
    }
    for key in &of.keys {
        let _ = writeln!(text, "    {}", key_line(key, home));
    }
    text.push_str("  what an agent here can reach\n");
    for reach in &of.reach {
        let by = match &reach.by {
            reach::Way::Place(place) => short(place, home),
            reach::Way::Group(group) => format!("group {group}"),
            reach::Way::Uid(uid) => format!("uid {uid}"),
        };
        let _ = writeln!(text, "    {} ({by})", reach.what.words());
    }
    if !of.unread.is_empty() {
        text.push_str("  not read\n");
    }
    for unread in &of.unread {
        let _ = writeln!(
            text,
            "    {}: {}",
            short(&unread.place, home),
            printable(&unread.why)
        );
    }
    text.push('\n');
}

fn agent(text: &mut String, found: &Found, home: &Path) {
    let _ = writeln!(text, "  {}", found.title);
    for install in &found.installed {
        let _ = writeln!(text, "    installed   {}", installed(install, home));
    }
    for process in &found.running {
        let _ = writeln!(text, "    RUNNING     {}", running(process, home));
    }
    for settings in &found.settings {
        let _ = writeln!(text, "    settings    {}", short(settings, home));
    }
    for server in &found.servers {
        let _ = writeln!(text, "    MCP server  {}", served(server, home));
    }
    if !found.bring_in.is_empty() {
        let _ = writeln!(text, "    bring it in {}", found.bring_in.join("   or: "));
    }
    text.push('\n');
}

fn installed(install: &Install, home: &Path) -> String {
    let what = match install.what {
        InstallKind::Program => "",
        InstallKind::Shim => "sealed by ",
        InstallKind::NpmPackage => "npm package ",
        InstallKind::PythonTool => "Python tool ",
        InstallKind::Extension => "editor extension ",
    };
    let version = install
        .version
        .as_ref()
        .map(|version| format!(" {}", printable(version)))
        .unwrap_or_default();
    format!("{what}{}{version}", short(&install.place, home))
}

fn running(process: &Process, home: &Path) -> String {
    let directory = process
        .directory
        .as_ref()
        .map(|directory| format!(", in {}", short(directory, home)))
        .unwrap_or_default();
    format!(
        "outside Holdfast, pid {}{directory}: {}",
        process.pid,
        command(&process.command)
    )
}

fn served(server: &Server, home: &Path) -> String {
    let way = match &server.way {
        Way::Command(words) => command(words),
        Way::Url(url) => printable(url),
        Way::Unknown => "reached in a way that is not known".to_owned(),
    };
    let given = if server.given.is_empty() {
        String::new()
    } else {
        format!("; given {}", printable(&server.given.join(", ")))
    };
    format!(
        "{}: {way}{given} ({})",
        printable(&server.name),
        short(&server.file, home)
    )
}

fn key_line(key: &Key, home: &Path) -> String {
    let place = match &key.place {
        KeyPlace::Environment => "this shell's environment".to_owned(),
        KeyPlace::Process(pid) => format!("the environment of pid {pid}"),
        KeyPlace::File(file) => short(file, home),
    };
    let kind = key.kind.map(|kind| format!("{kind}, ")).unwrap_or_default();
    let bring_in = key
        .bring_in
        .map(|command| format!(" -> {command}"))
        .unwrap_or_default();
    format!(
        "{}: {kind}{} bytes, in {place}{bring_in}",
        printable(&key.name),
        key.length
    )
}

fn command(words: &[String]) -> String {
    printable(&words.join(" "))
}

/// A path, with the home as people write it.
fn short(place: &Path, home: &Path) -> String {
    match place.strip_prefix(home) {
        Ok(below) if below.as_os_str().is_empty() => "~".to_owned(),
        Ok(below) => format!("~/{}", path(below)),
        Err(_) => path(place),
    }
}

fn path(path: &Path) -> String {
    printable(&path.to_string_lossy())
}
