//! Which program a word on the command line means, opened as the human.
//!
//! What is opened here is what the broker measures: it is given the descriptor, never the path.

mod package;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

pub use self::package::{InProject, Package};
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
    /// What it is called: an interpreter whose script is not measured by its own name.
    pub name: String,
    /// What stands before the human's own arguments where a script runs in place: it, and its
    /// interpreter's options.
    pub before: Vec<String>,
    /// What it interprets, to be measured.
    pub package: Option<Package>,
}

impl Program {
    /// Finds the program that `word` names: a path, or a name on PATH. A script's interpreter is
    /// what runs, with the script and what it needs.
    pub fn find(word: &str, project: &Path, in_project: InProject) -> Result<Self, Problem> {
        let path = locate(word)?;
        let name = file_name(&path);
        let mut path = path
            .canonicalize()
            .map_err(|error| unusable(&path, &error))?;
        let script = path.clone();
        let mut called = name.clone();
        let mut before = Vec::new();
        for depth in 0..MAX_SCRIPTS {
            let file = open(&path)?;
            let Some(line) = FirstLine::of(&file).map_err(|error| unusable(&path, &error))? else {
                let package = match depth {
                    1 => package::of(package::Asked {
                        script: &script,
                        name: &name,
                        interpreter: &path,
                        called: &called,
                        project,
                        in_project,
                    })?,
                    _ => None,
                };
                return Ok(match package {
                    Some(package) => Self {
                        file,
                        name,
                        before: Vec::new(),
                        package: Some(package),
                    },
                    None => Self {
                        file,
                        name: called,
                        before,
                        package: None,
                    },
                });
            };
            let script = path.display().to_string();
            before = line
                .options
                .into_iter()
                .chain([script])
                .chain(before)
                .collect();
            path = if line.by_name {
                locate(&line.interpreter)?
            } else {
                PathBuf::from(line.interpreter)
            };
            called = file_name(&path);
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

/// Opens a program; nothing that would make whoever opens it wait.
fn open(path: &Path) -> Result<File, Problem> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(|errno| unusable(path, &errno.into()))?;
    let facts = file.metadata().map_err(|error| unusable(path, &error))?;
    if facts.is_file() {
        Ok(file)
    } else {
        Err(Problem::usage(
            format!("`{}` is not a file", path.display()),
            "name a program that you may run",
        ))
    }
}

/// What a script's first line says.
#[derive(Debug, PartialEq, Eq)]
struct FirstLine {
    /// A path, or a name to be looked up.
    interpreter: String,
    /// Whether it is looked up on PATH, as `env` does.
    by_name: bool,
    /// What stands before the script.
    options: Vec<String>,
}

impl FirstLine {
    /// The first line where the file is a script.
    fn of(file: &File) -> std::io::Result<Option<Self>> {
        let mut line = Vec::new();
        BufReader::new(file.take(MAX_SHEBANG)).read_until(b'\n', &mut line)?;
        let line = String::from_utf8_lossy(&line).into_owned();
        Ok(line.strip_prefix("#!").map(|line| Self::parse(line.trim())))
    }

    fn parse(line: &str) -> Self {
        let (interpreter, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim();
        if !matches!(interpreter, "/usr/bin/env" | "/bin/env") {
            return Self {
                interpreter: interpreter.to_owned(),
                by_name: false,
                options: (!rest.is_empty())
                    .then(|| rest.to_owned())
                    .into_iter()
                    .collect(),
            };
        }
        // What `env` would set is left out: a session's environment is the broker's.
        let mut words = rest
            .split_whitespace()
            .skip_while(|word| word.starts_with('-') || word.contains('='))
            .map(str::to_owned);
        Self {
            interpreter: words.next().unwrap_or_default(),
            by_name: true,
            options: words.collect(),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_line_names_an_interpreter_and_its_options() {
        let parse = |line: &str| {
            let line = FirstLine::parse(line);
            (line.interpreter, line.by_name, line.options.join(" "))
        };
        let expected =
            |name: &str, by_name, options: &str| (name.to_owned(), by_name, options.to_owned());
        assert_eq!(parse("/bin/sh -eu x"), expected("/bin/sh", false, "-eu x"));
        assert_eq!(parse("/usr/bin/env node"), expected("node", true, ""));
        assert_eq!(
            parse("/usr/bin/env -S A=b node --no-warnings=DEP0040"),
            expected("node", true, "--no-warnings=DEP0040")
        );
    }

    #[test]
    fn what_is_no_file_is_no_program() {
        let scratch = tempfile::tempdir().unwrap();
        let pipe = scratch.path().join("pipe");
        let mode = Mode::from(0o755);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        let here = Path::new("/nowhere");
        for path in [&*pipe, scratch.path()] {
            let word = path.to_str().unwrap();
            assert!(Program::find(word, here, InProject::RunsInPlace).is_err());
        }
    }

    #[test]
    fn a_script_that_runs_itself_is_given_up() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("loop");
        std::fs::write(&path, format!("#!{}\n", path.display())).unwrap();
        let word = path.to_str().unwrap();
        let here = Path::new("/nowhere");
        assert!(Program::find(word, here, InProject::RunsInPlace).is_err());
    }
}
