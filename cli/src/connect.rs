//! Makes an agent's bare command sealed: a shim that comes first on PATH, and what makes it come first.
//!
//! Every text that it adds is marked, so that it is known again: adding twice adds once, and taking back takes exactly
//! that. It must never change a file that it was not told to write, nor take its own shim for the agent.

pub mod editor;
pub mod files;
pub mod rc;
pub mod shim;

use std::path::{Path, PathBuf};

use holdfast_protocol::id::AgentKind;
use serde::Serialize;

use self::files::{Change, FileError};
use self::rc::Shell;

/// Where to add things: the world around this command, as values.
#[derive(Debug)]
pub struct Around {
    /// The human's home.
    pub home: PathBuf,
    /// The folders of PATH.
    pub path: Vec<PathBuf>,
    /// The folder of shims.
    pub shims: PathBuf,
    /// This program.
    pub holdfast: PathBuf,
    /// The human's shell, where it is known.
    pub shell: Option<Shell>,
    /// Where zsh keeps its files, if that is not the home.
    pub zdotdir: Option<PathBuf>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The shim alone.
    Add,
    /// The shim, and what makes it count.
    Write,
    /// Nothing of it.
    Undo,
    /// Only to know.
    Show,
}

/// An agent cannot be connected.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It is not installed.
    #[error("no program `{0}` is on your PATH")]
    NoProgram(String),
    /// Something of that name is there, and is not ours.
    #[error("`{0}` is there, and is no shim of Holdfast's")]
    Foreign(PathBuf),
    /// A path cannot stand in a shell's text.
    #[error("`{0}` has characters that no shim can hold")]
    Path(PathBuf),
    /// A file cannot be changed.
    #[error(transparent)]
    File(#[from] FileError),
}

/// How an agent is connected.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Connection {
    /// The agent.
    pub agent: AgentKind,
    /// Its command.
    pub command: String,
    /// The shim.
    pub shim: Part,
    /// What the shim starts, where it is installed.
    pub program: Option<PathBuf>,
    /// Whether the bare command means the shim in this shell.
    pub first_on_path: bool,
    /// The shell's startup file, where the shell is known.
    pub startup: Option<Part>,
    /// The line that puts the shims first, for the shell.
    pub line: String,
    /// Editors whose extension starts the agent by itself.
    pub editors: Vec<Part>,
    /// The setting that has an editor's extension start it sealed, where the agent has one.
    pub setting: Option<String>,
}

/// One thing that is added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// The file.
    pub file: PathBuf,
    /// What there is.
    pub state: PartState,
}

/// What there is of a [`Part`], after this command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PartState {
    /// It was there before.
    There,
    /// It was added now.
    Added,
    /// It was taken back now.
    Removed,
    /// It is not there.
    Absent,
    /// Somebody else's stands in its place; it was left alone.
    Foreign,
}

/// Does what is asked, for the agent that `command` starts.
///
/// # Errors
/// [`ConnectError`]; what was done before stays done, and doing it again goes on from there.
pub fn connect(
    around: &Around,
    agent: &AgentKind,
    command: &str,
    act: Act,
) -> Result<Connection, ConnectError> {
    let place = around.shims.join(command);
    let program = find(&around.path, command, &place);
    if act == Act::Add || act == Act::Write {
        program
            .as_ref()
            .ok_or_else(|| ConnectError::NoProgram(command.to_owned()))?;
    }
    let texts = shim::Texts::new(&around.holdfast, &around.shims, command, program.as_deref())?;
    let wrapper = around.shims.join("editor").join(command);
    let has_wrapper = editor::setting_of(agent).is_some();
    // It lies in a folder of the shim's: the shim is the last to go.
    if has_wrapper {
        own_file(&wrapper, &texts.editor, act)?;
    }
    let shim = Part {
        state: own_file(&place, &texts.shim, act)?,
        file: place,
    };
    // The last one takes the line along.
    let others = act == Act::Undo && shim::any_in(&around.shims);
    let line_act = if others { Act::Show } else { act };
    let startup = around.shell.map(|shell| {
        let file = shell.startup_file(&around.home, around.zdotdir.as_deref());
        let change = rc::change(line_act, &shell.line(&around.shims));
        files::edit(&file, line_act, change).map(|state| Part { file, state })
    });
    let setting = editor::setting_of(agent).map(|name| editor::setting(name, &wrapper));
    let mut editors = Vec::new();
    if let Some(setting) = &setting {
        for file in editor::settings_files(&around.home) {
            let state = files::edit(&file, act, editor::change(act, setting))?;
            editors.push(Part { file, state });
        }
    }
    let first = first_of(&around.path, command);
    Ok(Connection {
        agent: agent.clone(),
        command: command.to_owned(),
        first_on_path: first.is_some_and(|first| first == shim.file),
        shim,
        program,
        startup: startup.transpose()?,
        line: around.shell.unwrap_or(Shell::Bash).line(&around.shims),
        editors,
        setting: setting.map(|setting| setting.text()),
    })
}

/// A file that is wholly ours.
fn own_file(file: &Path, text: &str, act: Act) -> Result<PartState, ConnectError> {
    let there = files::beginning(file)?;
    match (there, act) {
        (Some(there), Act::Add | Act::Write) if shim::is_marked(&there) => {
            Ok(files::write_program(file, text)?)
        }
        (Some(there), _) if !shim::is_marked(&there) => match act {
            Act::Add | Act::Write => Err(ConnectError::Foreign(file.to_owned())),
            Act::Undo | Act::Show => Ok(PartState::Foreign),
        },
        (Some(_), Act::Undo) => {
            files::remove(file)?;
            Ok(PartState::Removed)
        }
        (Some(_), _) => Ok(PartState::There),
        (None, Act::Add | Act::Write) => Ok(files::write_program(file, text)?),
        (None, Act::Undo | Act::Show) => Ok(PartState::Absent),
    }
}

/// The agent's own program on PATH: the first of that name that is no shim.
fn find(path: &[PathBuf], command: &str, shim: &Path) -> Option<PathBuf> {
    path.iter()
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(command))
        .filter(|candidate| candidate != shim && files::is_program(candidate))
        .find(|candidate| {
            let beginning = files::beginning(candidate).ok().flatten();
            beginning.is_some_and(|beginning| !shim::is_marked(&beginning))
        })
}

fn first_of(path: &[PathBuf], command: &str) -> Option<PathBuf> {
    path.iter()
        .map(|folder| folder.join(command))
        .find(|candidate| files::is_program(candidate))
}

/// What becomes of a text that is somebody else's, when ours is added to it or taken from it.
pub type Edit<'a> = Box<dyn Fn(&str) -> Change + 'a>;

#[cfg(test)]
mod tests;
