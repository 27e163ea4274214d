//! What a script knows at one point: variables, folder, functions, arguments.
//!
//! Where two ways meet, only what both agree on stays known.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use brush_parser::ast::FunctionBody;

use super::arg::Arg;
use crate::world::World;

/// The most folders that a script may be in at one point, as far as we can tell.
const MAX_FOLDERS: usize = 4;

/// The state of a shell at one point of a script.
#[derive(Clone, Debug, Default)]
pub(super) struct Env {
    /// Variables that the script set; `None` means that only the shell knows.
    variables: BTreeMap<String, Option<String>>,
    /// The folders that it may be in; none means that only the shell knows.
    folders: BTreeSet<PathBuf>,
    /// Every body that a name may have here.
    functions: BTreeMap<String, Vec<Arc<FunctionBody>>>,
    aliases: BTreeMap<String, Vec<Arg>>,
    arguments: Option<Vec<Arg>>,
}

impl Env {
    pub(super) fn at(cwd: &Path) -> Self {
        Self {
            folders: BTreeSet::from([cwd.to_owned()]),
            ..Self::default()
        }
    }

    /// A variable's value, if the script or the session tells it.
    pub(super) fn lookup(&self, name: &str, world: &World) -> Option<String> {
        if let Some(value) = self.variables.get(name) {
            return value.clone();
        }
        match name {
            "HOME" => Some(world.home.to_string_lossy().into_owned()),
            "PWD" => {
                let mut folders = self.folders.iter();
                let only = folders.next()?;
                folders
                    .next()
                    .is_none()
                    .then(|| only.to_string_lossy().into_owned())
            }
            _ => None,
        }
    }

    /// Sets a variable.
    pub(super) fn assign(&mut self, name: &str, value: &Arg) {
        self.variables
            .insert(name.to_owned(), value.whole().map(str::to_owned));
    }

    /// Forgets a variable's value.
    pub(super) fn forget(&mut self, name: &str) {
        self.variables.insert(name.to_owned(), None);
    }

    /// Forgets every variable's value.
    pub(super) fn forget_all(&mut self) {
        for value in self.variables.values_mut() {
            *value = None;
        }
    }

    /// Whether fields are split at something else than blanks.
    pub(super) fn splits_oddly(&self) -> bool {
        self.variables.contains_key("IFS")
    }

    pub(super) fn folders(&self) -> impl Iterator<Item = &PathBuf> {
        self.folders.iter()
    }

    /// Changes the folder; `None` if only the shell knows where to.
    pub(super) fn change_folder(&mut self, to: Option<&str>) {
        self.folders = match to {
            Some(to) => self
                .folders
                .iter()
                .map(|from| crate::world::absolute(Path::new(to), from))
                .chain(
                    Path::new(to)
                        .is_absolute()
                        .then(|| crate::world::absolute(Path::new(to), Path::new("/"))),
                )
                .collect(),
            None => BTreeSet::new(),
        };
    }

    pub(super) fn argument(&self, number: u32) -> Option<String> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        let argument = self.arguments.as_ref()?.get(index)?;
        argument.whole().map(str::to_owned)
    }

    pub(super) fn arguments(&self) -> Option<&[Arg]> {
        self.arguments.as_deref()
    }

    /// Sets `$1` and so on; `None` if only the shell knows them.
    pub(super) fn set_arguments(&mut self, arguments: Option<Vec<Arg>>) {
        self.arguments = arguments;
    }

    pub(super) fn define(&mut self, name: &str, body: &FunctionBody) {
        self.functions
            .insert(name.to_owned(), vec![Arc::new(body.clone())]);
    }

    pub(super) fn bodies(&self, name: &str) -> Vec<Arc<FunctionBody>> {
        self.functions.get(name).cloned().unwrap_or_default()
    }

    pub(super) fn alias(&mut self, name: &str, words: Vec<Arg>) {
        self.aliases.insert(name.to_owned(), words);
    }

    /// An alias's words, which it gives up, so that it cannot expand to itself for ever.
    pub(super) fn take_alias(&mut self, name: &str) -> Option<Vec<Arg>> {
        self.aliases.remove(name)
    }

    /// Keeps what this and `other` agree on.
    pub(super) fn join(&mut self, other: &Env) {
        let names: BTreeSet<String> = self
            .variables
            .keys()
            .chain(other.variables.keys())
            .cloned()
            .collect();
        for name in names {
            if self.variables.get(&name) != other.variables.get(&name) {
                self.variables.insert(name, None);
            }
        }
        if self.folders.is_empty() || other.folders.is_empty() {
            self.folders.clear();
        } else {
            self.folders.extend(other.folders.iter().cloned());
            if self.folders.len() > MAX_FOLDERS {
                self.folders.clear();
            }
        }
        for (name, bodies) in &other.functions {
            let mine = self.functions.entry(name.clone()).or_default();
            for body in bodies {
                if !mine.iter().any(|known| Arc::ptr_eq(known, body)) {
                    mine.push(body.clone());
                }
            }
        }
        for (name, words) in &other.aliases {
            let mine = self
                .aliases
                .entry(name.clone())
                .or_insert_with(|| words.clone());
            if mine != words {
                *mine = vec![Arg::unknown()];
            }
        }
        if self.arguments != other.arguments {
            self.arguments = None;
        }
    }

    /// Whether variables and folders are the same: what a loop's second turn could change.
    pub(super) fn agrees(&self, other: &Env) -> bool {
        self.variables == other.variables
            && self.folders == other.folders
            && self.arguments == other.arguments
    }
}
