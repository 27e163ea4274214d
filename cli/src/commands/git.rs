//! `holdfast git`: what sessions did in git, brought back where their own command could not.

use std::fmt::Write;

use serde::Serialize;

use crate::args::{Args, GitCommand};
use crate::git;
use crate::outcome::Problem;

/// What became of one session's git.
#[derive(Serialize)]
struct Recovered {
    project: String,
    lines: Vec<String>,
    whole: bool,
}

/// Acts on what is left.
pub fn run(args: &Args, command: &GitCommand) -> Result<(), Problem> {
    let GitCommand::Recover { project } = command;
    let project = project
        .as_deref()
        .map(|named| {
            named.canonicalize().map_err(|error| {
                Problem::usage(
                    format!("the project `{}` is not there: {error}", named.display()),
                    "name a folder with --project",
                )
            })
        })
        .transpose()?;
    let recovered: Vec<Recovered> = git::recover(project.as_deref())?
        .into_iter()
        .map(|(project, report)| Recovered {
            project: project.display().to_string(),
            lines: report.lines(),
            whole: report.is_whole(),
        })
        .collect();
    let mut text = String::new();
    for one in &recovered {
        let _ = writeln!(text, "{}", crate::render::printable(&one.project));
        for line in &one.lines {
            let _ = writeln!(text, "  {line}");
        }
    }
    if recovered.is_empty() {
        text.push_str("nothing is left of any session");
    }
    super::show(args, &recovered, text.trim_end())?;
    if recovered.iter().all(|one| one.whole) {
        Ok(())
    } else {
        Err(Problem::failed(
            "not everything could be brought back",
            "the folders named above have it; remove one when you need nothing of it",
        ))
    }
}
