//! Coding agents that are installed or run outside Holdfast: what they are, what they could reach, how each comes in.
//!
//! It reads what others wrote: bounded, and for another human's home never out of it. It must never change anything,
//! run what it found, or tell a secret: of a key there are only its name, its place, its kind and its length.

pub mod assignments;
pub mod catalog;
pub mod folder;
pub mod humans;
pub mod installs;
pub mod jsonc;
pub mod keys;
pub mod lossy;
pub mod processes;
pub mod reach;
pub mod report;
pub mod servers;
pub mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use self::catalog::{Agent, Catalog};
use self::folder::{Folder, Unread, Whose};
use self::humans::Human;
use self::installs::Around;
use self::keys::{Form, Key, KeyPlace};
use self::processes::{Inside, Process, Running};

pub use self::report::{Found, NotRead, OfHuman, Report, Sealed};

/// The most projects whose configuration is looked at.
const MAX_PROJECTS: usize = 100;

/// The machine, as values; tests give it one of their own.
pub struct Machine<'a> {
    /// `/`.
    pub root: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
    /// Whose homes are looked at.
    pub humans: Vec<Human>,
    /// Who runs this command.
    pub own_uid: u32,
    /// The folders of this command's PATH.
    pub path: Vec<PathBuf>,
    /// This command's environment.
    pub environment: Vec<(&'a str, &'a str)>,
    /// Projects to look at besides those that agents know.
    pub projects: Vec<PathBuf>,
}

impl Report {
    /// Looks around.
    pub fn look(machine: &Machine<'_>, catalog: &Catalog) -> Self {
        let known = |uid| machine.humans.iter().any(|human| human.uid == uid);
        let (sealed, running): (Vec<_>, Vec<_>) = processes::running(&machine.proc, catalog, known)
            .into_iter()
            .partition(|running| running.process.inside == Inside::Session);
        let humans = machine
            .humans
            .iter()
            .map(|human| {
                let running = running
                    .iter()
                    .filter(|running| running.process.uid == human.uid);
                OfHuman::look(human, machine, catalog, &running.collect::<Vec<_>>())
            })
            .collect();
        let sealed = sealed.into_iter().map(|running| Sealed {
            agent: running.agent.kind.clone(),
            process: running.process,
        });
        Self {
            humans,
            sealed: sealed.collect(),
        }
    }

    /// Whether an agent is there that Holdfast does not seal.
    pub fn found_some(&self) -> bool {
        let mut agents = self.humans.iter().flat_map(|human| &human.agents);
        agents.any(|found| !found.running.is_empty() || found.is_bare())
    }
}

/// One human's home while it is looked at.
struct Look<'a> {
    home: Folder,
    system: Folder,
    unread: BTreeSet<NotRead>,
    running: &'a [&'a Running<'a>],
}

impl OfHuman {
    fn look(
        human: &Human,
        machine: &Machine<'_>,
        catalog: &Catalog,
        running: &[&Running<'_>],
    ) -> Self {
        let own = human.uid == machine.own_uid;
        let whose = if own { Whose::Own } else { Whose::Foreign };
        let mut of = Self {
            human: human.clone(),
            agents: Vec::new(),
            keys: Vec::new(),
            reach: Vec::new(),
            unread: Vec::new(),
        };
        let opened = Folder::open(&human.home, whose)
            .and_then(|home| Ok((home, Folder::open(&machine.root, Whose::Own)?)));
        let (home, system) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                of.unread.push(NotRead {
                    place: human.home.clone(),
                    why: format!("the home cannot be opened: {errno}"),
                });
                return of;
            }
        };
        let mut look = Look {
            home,
            system,
            unread: BTreeSet::new(),
            running,
        };
        let path = if own { machine.path.as_slice() } else { &[] };
        let given = if own {
            machine.projects.as_slice()
        } else {
            &[]
        };
        let environment = if own {
            machine.environment.as_slice()
        } else {
            &[]
        };
        let projects = look.projects(catalog, given);
        for agent in &catalog.agents {
            of.agents
                .extend(look.agent(agent, catalog, path, &projects));
        }
        of.keys = look.keys(catalog, environment, &projects);
        let variable = |name: &str| {
            let theirs = running
                .iter()
                .filter_map(|running| running.environment.get(name))
                .map(|value| value.as_str());
            let own = environment.iter().filter(|(own, _)| *own == name);
            own.map(|(_, value)| *value).chain(theirs).collect()
        };
        of.reach = reach::reach(human.uid, &human.groups, &look.home, &look.system, variable);
        of.unread = look.unread.into_iter().collect();
        of
    }
}

impl Look<'_> {
    /// Folders that agents work in: where they run, what Claude Code remembers, what was named.
    fn projects(&mut self, catalog: &Catalog, given: &[PathBuf]) -> BTreeSet<PathBuf> {
        let mut projects: BTreeSet<PathBuf> = given.iter().cloned().collect();
        for running in self.running {
            projects.extend(running.process.directory.clone());
        }
        let files = catalog.agents.iter().flat_map(|agent| &agent.servers);
        for file in files {
            if let Some(text) = self.text(Path::new(&file.file)) {
                projects.extend(servers::projects(&text));
            }
        }
        projects.remove(self.home.path());
        projects.retain(|project| project.is_absolute());
        projects.into_iter().take(MAX_PROJECTS).collect()
    }

    fn agent(
        &mut self,
        agent: &Agent,
        catalog: &Catalog,
        path: &[PathBuf],
        projects: &BTreeSet<PathBuf>,
    ) -> Option<Found> {
        let around = Around {
            home: &self.home,
            system: &self.system,
            path,
            places: &catalog.places,
        };
        let installed = around.installs(agent);
        let running: Vec<Process> = self
            .running
            .iter()
            .filter(|running| running.agent.kind == agent.kind)
            .map(|running| running.process.clone())
            .collect();
        let settings: Vec<PathBuf> = agent
            .settings
            .iter()
            .filter(|file| self.home.has(Path::new(file)))
            .map(|file| self.home.place(Path::new(file)))
            .collect();
        let in_home = agent
            .servers
            .iter()
            .map(|file| (PathBuf::from(&file.file), &file.table));
        let in_projects = projects.iter().flat_map(|project| {
            agent
                .project_servers
                .iter()
                .map(move |file| (project.join(&file.file), &file.table))
        });
        let mut servers = Vec::new();
        for (file, table) in in_home.chain(in_projects) {
            let Some(text) = self.text(&file) else {
                continue;
            };
            let place = self.home.place(&file);
            match servers::servers(&text, &place, table) {
                Some(found) => servers.extend(found),
                None => self.skip(&file, "it is not written as such files are"),
            }
        }
        servers.sort();
        servers.dedup();
        if installed.is_empty() && running.is_empty() && settings.is_empty() && servers.is_empty() {
            return None;
        }
        let mut found = Found {
            agent: agent.kind.clone(),
            title: agent.title.clone(),
            installed,
            running,
            settings,
            servers,
            bring_in: Vec::new(),
        };
        if let Some(program) = agent.programs.first() {
            if found.is_bare() {
                found
                    .bring_in
                    .push(format!("holdfast connect {}", agent.kind));
            }
            if found.is_bare() || !found.running.is_empty() {
                found.bring_in.push(format!("holdfast run -- {program}"));
            }
        }
        Some(found)
    }

    fn keys(
        &mut self,
        catalog: &Catalog,
        environment: &[(&str, &str)],
        projects: &BTreeSet<PathBuf>,
    ) -> Vec<Key> {
        let known: Vec<&str> = catalog
            .agents
            .iter()
            .flat_map(|agent| agent.variables.iter().map(String::as_str))
            .collect();
        let mut keys =
            keys::in_environment(environment.iter().copied(), &known, &KeyPlace::Environment);
        for running in self.running {
            let variables = running.environment.iter();
            let variables = variables.map(|(name, value)| (name.as_str(), value.as_str()));
            let place = KeyPlace::Process(running.process.pid);
            keys.extend(keys::in_environment(variables, &known, &place));
        }
        let mut files: BTreeMap<PathBuf, Form> = BTreeMap::new();
        for file in &catalog.keys {
            for path in self.home.matching(&file.file) {
                files.insert(path, file.form);
            }
        }
        for login in catalog.agents.iter().flat_map(|agent| &agent.logins) {
            let json = login.ends_with(".json");
            let form = if json { Form::Json } else { Form::Assignments };
            files.insert(PathBuf::from(login), form);
        }
        for project in projects {
            files.insert(project.join(".env"), Form::Assignments);
        }
        for (file, form) in files {
            if let Some(text) = self.text(&file) {
                let place = KeyPlace::File(self.home.place(&file));
                keys.extend(keys::in_text(&text, form, &place));
            }
        }
        for key in &mut keys {
            key.bring_in = bring_in(key);
        }
        keys.sort();
        keys.dedup();
        keys
    }

    fn text(&mut self, file: &Path) -> Option<zeroize::Zeroizing<String>> {
        match self.home.text(file) {
            Ok(text) => text,
            Err(Unread(why)) => {
                self.skip(file, why);
                None
            }
        }
    }

    fn skip(&mut self, file: &Path, why: impl Into<String>) {
        self.unread.insert(NotRead {
            place: self.home.place(file),
            why: why.into(),
        });
    }
}

/// The command that takes a key into the vault, where there is one.
fn bring_in(key: &Key) -> Option<&'static str> {
    let import = match &key.place {
        KeyPlace::Environment => {
            matches!(
                key.name.as_str(),
                "ANTHROPIC_API_KEY" | "CLAUDE_CODE_OAUTH_TOKEN"
            )
        }
        KeyPlace::Process(_) => false,
        KeyPlace::File(path) => {
            path.ends_with(".git-credentials")
                || path.ends_with("git/credentials")
                || (path.ends_with(".claude/.credentials.json") && key.name == "accessToken")
        }
    };
    if import {
        return Some("holdfast secrets import");
    }
    let anthropic = matches!(
        key.name.as_str(),
        "ANTHROPIC_API_KEY" | "ANTHROPIC_AUTH_TOKEN" | "CLAUDE_CODE_OAUTH_TOKEN"
    );
    anthropic.then_some("holdfast secrets add")
}

#[cfg(test)]
mod tests;
