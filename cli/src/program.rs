//! Which program a word on the command line means, opened as the human.
//!
//! What is opened here is what runs: the broker is given the descriptor, never the path.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::outcome::Problem;

/// The longest `#!` line that the kernel takes.
const MAX_SHEBANG: u64 = 255;

/// How many scripts may run scripts.
const MAX_SCRIPTS: usize = 4;

/// A program that can be launched.
#[derive(Debug)]
pub struct Program {
    /// What is executed: a native program.
    pub file: File,
    /// What it is called.
    pub name: String,
    /// What stands before the human's own arguments: a script and its interpreter's options.
    pub before: Vec<String>,
}

impl Program {
    /// Finds the program that `word` names: a path, or a name on PATH. A script's interpreter is
    /// what runs, with the script as its argument.
    pub fn find(word: &str) -> Result<Self, Problem> {
        let path = locate(word)?;
        let name = file_name(&path);
        let mut path = path
            .canonicalize()
            .map_err(|error| unusable(&path, &error))?;
        let mut before = Vec::new();
        for _ in 0..MAX_SCRIPTS {
            let file = File::open(&path).map_err(|error| unusable(&path, &error))?;
            let Some((interpreter, option)) =
                shebang(&file).map_err(|error| unusable(&path, &error))?
            else {
                return Ok(Self { file, name, before });
            };
            let mut arguments = vec![path.display().to_string()];
            arguments.extend(before);
            before = option.into_iter().chain(arguments).collect();
            path = if interpreter == Path::new("/usr/bin/env") {
                let wanted = before.remove(0);
                locate(&wanted)?
            } else {
                interpreter
            };
            path = path
                .canonicalize()
                .map_err(|error| unusable(&path, &error))?;
        }
        Err(Problem::usage(
            format!("`{word}` is a script of a script, {MAX_SCRIPTS} deep"),
            "name the program itself",
        ))
    }
}

/// The interpreter and its one option, where the file is a script.
fn shebang(file: &File) -> std::io::Result<Option<(PathBuf, Option<String>)>> {
    let mut line = Vec::new();
    BufReader::new(file.take(MAX_SHEBANG)).read_until(b'\n', &mut line)?;
    let Some(line) = line.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let line = String::from_utf8_lossy(line);
    let line = line.trim();
    let (interpreter, option) = match line.split_once(char::is_whitespace) {
        Some((interpreter, option)) => (interpreter, Some(option.trim().to_owned())),
        None => (line, None),
    };
    Ok(Some((PathBuf::from(interpreter), option)))
}

fn locate(word: &str) -> Result<PathBuf, Problem> {
    if word.contains('/') {
        return Ok(PathBuf::from(word));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(word))
        .find(|candidate| is_program(candidate))
        .ok_or_else(|| {
            Problem::usage(
                format!("no program `{word}` on your PATH"),
                "install it, or name it by its path",
            )
        })
}

fn is_program(path: &Path) -> bool {
    path.metadata()
        .is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn unusable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::usage(
        format!("`{}` cannot be run: {error}", path.display()),
        "name a program that you may run",
    )
}
