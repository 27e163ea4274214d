//! What goes into a session besides the project: tools, instructions, what the human named.
//!
//! The broker says what the agent's kind wants; everything is opened here, as the human.

use std::path::Path;

use holdfast_protocol::run::{
    MAX_TREES, RunAccess, RunAim, RunEvent, RunNeeds, RunRequest, RunWhy,
};

use super::{host, no_sessions};
use crate::args::Run;
use crate::lent::Lent;
use crate::outcome::Problem;
use crate::own_profile::OwnProfiles;
use crate::run_client::RunConnection;
use crate::tools::Tools;

/// Opens all of it, and writes it into the request.
pub fn widen(
    socket: &Path,
    run: &Run,
    home: &Path,
    tools: &Tools,
    request: &mut RunRequest,
) -> Result<Vec<Lent>, Problem> {
    let own = OwnProfiles::of(home);
    request.profile = match &run.agent {
        Some(kind) => own.of_kind(kind)?,
        None => own.for_program(&request.program)?,
    };
    let mut needs = ask(socket, request)?;
    if request.profile.is_none() {
        request.profile = own.of_kind(&needs.kind)?;
        if request.profile.is_some() {
            needs = ask(socket, request)?;
        }
    }
    let lent = open(run, home, tools, &needs, Path::new(&request.project))?;
    if lent.len() > MAX_TREES {
        return Err(Problem::usage(
            format!(
                "the session would be lent {} folders, and may have {MAX_TREES}",
                lent.len()
            ),
            "name fewer with --ro and --rw, or shorten your PATH",
        ));
    }
    request.trees = lent.iter().map(|lent| lent.tree.clone()).collect();
    Ok(lent)
}

fn open(
    run: &Run,
    home: &Path,
    tools: &Tools,
    needs: &RunNeeds,
    project: &Path,
) -> Result<Vec<Lent>, Problem> {
    let mut lent = Vec::new();
    for folder in &tools.trees {
        lent.push(Lent::to_read(folder)?);
    }
    let wanted = needs.tools.iter().map(|name| (name, RunWhy::Tool));
    let instructions = needs.instructions.iter();
    for (name, why) in wanted.chain(instructions.map(|name| (name, RunWhy::Instruction))) {
        lent.extend(Lent::in_home(home, name, why)?);
    }
    let read = run.ro.iter().map(|path| (path, RunAccess::Read));
    let write = run.rw.iter().map(|path| (path, RunAccess::Write));
    for (path, access) in read.chain(write) {
        let named = Lent::named(path, access)?;
        // The session may change all of its project anyway.
        if access == RunAccess::Write && Path::new(&named.tree.place).starts_with(project) {
            continue;
        }
        // What the human says counts more than what was found.
        lent.retain(|other| other.tree.place != named.tree.place);
        lent.push(named);
    }
    Ok(lent)
}

/// What a session of this kind wants of the human's.
fn ask(socket: &Path, request: &RunRequest) -> Result<RunNeeds, Problem> {
    let question = RunRequest {
        aim: RunAim::Needs,
        arguments: Vec::new(),
        environment: Vec::new(),
        ..request.clone()
    };
    let connection = RunConnection::open(socket).map_err(|error| no_sessions(socket, &error))?;
    connection
        .ask(&question, &[])
        .map_err(|error| host(&error))?;
    match connection.next().map_err(|error| host(&error))?.0 {
        RunEvent::Needs(needs) => Ok(needs),
        RunEvent::Failed(failure) => Err(failure.into()),
        RunEvent::Started { .. }
        | RunEvent::Waiting(_)
        | RunEvent::ShellOpened { .. }
        | RunEvent::Note { .. }
        | RunEvent::Stopped { .. }
        | RunEvent::Ended { .. }
        | RunEvent::Shown(_) => Err(Problem::failed(
            "the broker said what it was not asked",
            "use a `holdfast` of the same version as holdfastd",
        )),
    }
}
