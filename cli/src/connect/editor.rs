//! Editors' settings: the one that has an extension start its agent by a program of our choice.
//!
//! Settings are JSON with comments that their human wrote: one line is put in after the first brace, and taken out again;
//! nothing else of the text changes. Of JetBrains' plugin there is nothing to set: it opens a terminal, where the shim counts.

use std::path::{Path, PathBuf};

use holdfast_protocol::id::AgentKind;

use super::files::Change;
use super::{Act, Edit};
use crate::discover::jsonc;

/// Extensions that take such a program, by agent.
const SETTINGS: [(&str, &str); 1] = [("claude", "claudeCode.claudeProcessWrapper")];

/// Editors' folders of settings, below a home.
const FOLDERS: [&str; 7] = [
    ".config/Code/User",
    ".config/Code - Insiders/User",
    ".config/VSCodium/User",
    ".config/Cursor/User",
    ".config/Windsurf/User",
    ".vscode-server/data/Machine",
    ".cursor-server/data/Machine",
];

/// A setting and its value.
#[derive(Clone, Debug)]
pub struct Setting {
    name: &'static str,
    value: String,
}

impl Setting {
    /// As it stands in JSON.
    pub fn text(&self) -> String {
        format!("\"{}\": \"{}\"", self.name, self.value)
    }
}

/// The name of an agent's setting.
pub fn setting_of(agent: &AgentKind) -> Option<&'static str> {
    SETTINGS
        .iter()
        .find(|(kind, _)| *kind == agent.as_str())
        .map(|(_, name)| *name)
}

/// The setting that names `wrapper`.
pub fn setting(name: &'static str, wrapper: &Path) -> Setting {
    // A shim's path has neither quotes nor backslashes.
    Setting {
        name,
        value: wrapper.display().to_string(),
    }
}

/// The settings of editors that are in use here.
pub fn settings_files(home: &Path) -> Vec<PathBuf> {
    FOLDERS
        .iter()
        .map(|folder| home.join(folder))
        .filter(|folder| folder.is_dir())
        .map(|folder| folder.join("settings.json"))
        .collect()
}

/// Puts the setting in, or takes it out.
pub fn change<'a>(act: Act, setting: &Setting) -> Edit<'a> {
    let setting = setting.clone();
    Box::new(move |text| {
        let line = setting.text();
        let ours = [format!("\n    {line},"), format!("\n    {line}\n")];
        let plain = jsonc::plain(text);
        let there = ours.iter().find(|ours| text.contains(ours.as_str()));
        match (act, there) {
            (Act::Undo, Some(ours)) => Change::Remove(text.replacen(ours.as_str(), "", 1)),
            (_, Some(_)) => Change::There,
            (_, None) if plain.contains(&format!("\"{}\"", setting.name)) => Change::Foreign,
            (Act::Write, None) => put(text, &plain, &ours),
            (Act::Add | Act::Show | Act::Undo, None) => Change::Absent,
        }
    })
}

/// After the brace that opens the settings; a file that has none is left alone.
fn put(text: &str, plain: &str, [before_more, alone]: &[String; 2]) -> Change {
    if plain.trim().is_empty() && text.trim().is_empty() {
        return Change::Add(format!("{{{alone}}}\n"));
    }
    let Some((before, after)) = plain.split_once('{') else {
        return Change::Foreign;
    };
    let Some((head, rest)) = text.split_at_checked(before.len().saturating_add(1)) else {
        return Change::Foreign;
    };
    let added = if after.trim_start().starts_with('}') {
        alone
    } else {
        before_more
    };
    Change::Add(format!("{head}{added}{rest}"))
}
