//! `holdfast connect`: has an agent's bare command start it sealed.

use std::fmt::Write;
use std::path::PathBuf;

use holdfast_protocol::words::with_causes;

use super::show;
use crate::args::{Args, Connect};
use crate::connect::rc::Shell;
use crate::connect::{Act, Around, ConnectError, Connection, PartState, connect};
use crate::discover::catalog::Catalog;
use crate::outcome::Problem;
use crate::render::printable;

/// Adds the shim, takes it back, or shows what is there.
pub fn run(args: &Args, wish: &Connect) -> Result<(), Problem> {
    let home = std::env::home_dir()
        .filter(|home| home.is_absolute())
        .ok_or_else(|| Problem::usage("you have no home folder", "set HOME"))?;
    let shims = match &wish.dir {
        Some(folder) => std::path::absolute(folder).map_err(|error| {
            Problem::usage(
                format!("`{}` is no folder: {error}", folder.display()),
                "name a folder with --dir",
            )
        })?,
        None => home.join(".local/share/holdfast/bin"),
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let shell = std::env::var_os("SHELL").map(PathBuf::from);
    let around = Around {
        path: std::env::split_paths(&path).collect(),
        shims,
        holdfast: std::env::current_exe().map_err(|error| {
            Problem::failed(
                format!("this program does not know where it lies: {error}"),
                "install `holdfast` again",
            )
        })?,
        shell: shell.as_deref().and_then(Shell::of),
        zdotdir: std::env::var_os("ZDOTDIR")
            .map(PathBuf::from)
            .filter(|folder| folder.is_absolute()),
        home,
    };
    let act = match (wish.write, wish.undo, wish.show) {
        (true, _, _) => Act::Write,
        (_, true, _) => Act::Undo,
        (_, _, true) => Act::Show,
        (false, false, false) => Act::Add,
    };
    let command = command(wish)?;
    let connection =
        connect(&around, &wish.agent, &command, act).map_err(|error| problem(&error))?;
    show(args, &connection, words(&connection, act).trim_end())
}

/// The program that the agent is started by; an agent that is not known is called as its program.
fn command(wish: &Connect) -> Result<String, Problem> {
    let catalog = Catalog::built_in().map_err(|error| {
        Problem::failed(
            format!("the list of known agents cannot be read: {error}"),
            "install `holdfast` again",
        )
    })?;
    let known = catalog
        .agents
        .iter()
        .find(|agent| agent.kind == wish.agent)
        .and_then(|agent| agent.programs.first());
    Ok(known.map_or_else(|| wish.agent.to_string(), Clone::clone))
}

fn problem(error: &ConnectError) -> Problem {
    let advice = match error {
        ConnectError::NoProgram(_) => {
            "install the agent first, or name it as its program is called"
        }
        ConnectError::Foreign(_) => "move it away, or name another folder with --dir",
        ConnectError::Path(_) => "name another folder with --dir",
        ConnectError::File(_) => "see that you may change it",
    };
    Problem::usage(with_causes(error), advice)
}

fn words(connection: &Connection, act: Act) -> String {
    let mut text = String::new();
    let mut line = |what: &str, words: String| {
        let _ = writeln!(text, "{what:<12}{}", printable(&words));
    };
    let shim = &connection.shim;
    line(
        "shim",
        format!("{} ({})", shim.file.display(), state(shim.state)),
    );
    if let Some(program) = &connection.program {
        line("starts", format!("{}, sealed", program.display()));
    }
    if let Some(startup) = &connection.startup {
        let words = format!("{} ({})", startup.file.display(), state(startup.state));
        line("shell", words);
    }
    for editor in &connection.editors {
        let words = format!("{} ({})", editor.file.display(), state(editor.state));
        line("editor", words);
    }
    if act == Act::Undo {
        return text;
    }
    let absent = |state| matches!(state, PartState::Absent | PartState::Foreign);
    if connection.first_on_path {
        line("in force", "here, now".to_owned());
    } else if connection
        .startup
        .as_ref()
        .is_none_or(|part| absent(part.state))
    {
        line("to add", connection.line.clone());
        line(
            "",
            "to your shell's startup file, or say --write".to_owned(),
        );
    } else {
        line("in force", "in every new shell".to_owned());
    }
    if let Some(setting) = &connection.setting
        && connection.editors.iter().any(|part| absent(part.state))
    {
        line("to add", setting.clone());
        line("", "to your editor's settings, or say --write".to_owned());
    }
    text
}

fn state(state: PartState) -> &'static str {
    match state {
        PartState::There => "there",
        PartState::Added => "added",
        PartState::Removed => "removed",
        PartState::Absent => "not there",
        PartState::Foreign => "left alone: somebody else's is there",
    }
}
