//! `holdfast run`: a program in a sealed session, as if it had been started here.
//!
//! The session lives as long as this command. Nothing but what is named on the command line or in the
//! agent's profile, and found on PATH, goes into it.

pub(super) mod keeper;
mod show;
mod waiting;
mod world;

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use holdfast_protocol::id::SessionId;
use holdfast_protocol::run::{MAX_TREES, RunAim, RunEvent, RunKept, RunRequest, RunStdio, RunWhy};
use holdfast_protocol::widening::Widening;
use rustix::termios::tcgetwinsize;
use signal_hook::iterator::Signals;

use self::keeper::{HEARD, Kept, Of};
use crate::args::{Args, Run};
use crate::git::{self, Guard, Report};
use crate::guards::Guards;
use crate::lent::{self, Lent};
use crate::outcome::Problem;
use crate::program::{InProject, Program};
use crate::recovery::{Recovery, Wanted};
use crate::render::printable;
use crate::run_client::RunConnection;
use crate::streams::Streams;
use crate::tools::Ground;
use crate::triggers::Triggers;
use crate::vault;

/// Runs the program and exits as it did.
pub fn run(args: &Args, run: &Run) -> Result<(), Problem> {
    let word = run.command.first().map_or("", String::as_str);
    let project = project(run.project.as_deref())?;
    let in_project = match run.agent {
        Some(_) => InProject::Measured,
        None => InProject::RunsInPlace,
    };
    let program = Program::find(word, &project, in_project)?;
    let directory = std::env::current_dir()
        .ok()
        .filter(|directory| directory.starts_with(&project))
        .unwrap_or_else(|| project.clone());
    let triggers = Triggers::built_in().map_err(|error| Problem::failed(error.to_string(), ""))?;
    let guards = Guards::find(&triggers, &project, &directory, &run.unguard)?;
    let home = home()?;
    let tools = Ground {
        home: &home,
        project: &project,
        variable: &|name| std::env::var_os(name),
    }
    .probe()?;
    let stdio = stdio()?;
    let socket = args.socket.with_file_name("run.sock");
    let mut request = RunRequest {
        agent: run.agent.clone(),
        purpose: run.purpose.clone(),
        program: program.name,
        arguments: program
            .before
            .into_iter()
            .chain(run.command.iter().skip(1).cloned())
            .collect(),
        environment: std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        user: user(),
        home: home.display().to_string(),
        project: project.display().to_string(),
        directory: directory.display().to_string(),
        trees: Vec::new(),
        path: tools
            .path
            .iter()
            .map(|folder| folder.display().to_string())
            .collect(),
        stdio,
        widenings: widenings(run, &guards)?,
        aim: if run.show {
            RunAim::Show
        } else {
            RunAim::Session
        },
        kept: if run.fresh {
            RunKept::Fresh
        } else {
            RunKept::Kept
        },
        profile: None,
        package: program
            .package
            .as_ref()
            .map(|package| package.wanted.clone()),
    };
    let mut lent = world::widen(&socket, run, &home, &tools, &mut request)?;
    for needed in program.package.iter().flat_map(|package| &package.needs) {
        let needed = Lent::to_read(needed)?;
        if !lent.iter().any(|lent| lent.tree.place == needed.tree.place) {
            lent.push(needed);
        }
    }
    // What guards the project goes before tools: without it there is no session, without them there is.
    lent.truncate(MAX_TREES.saturating_sub(guards.lent.len()));
    lent.extend(guards.lent);
    request.trees = lent.iter().map(|lent| lent.tree.clone()).collect();
    let project_folder = lent::open(&project)?;
    if run.show {
        let package = program.package.iter().map(|package| &package.root);
        let owned: Vec<&OwnedFd> = std::iter::once(&project_folder)
            .chain(lent.iter().map(|lent| &lent.source))
            .chain(package)
            .collect();
        let shown = live(args, run, &request, &program.file, &owned, None, &mut None)?;
        return conclude(args, shown);
    }

    for report in git::recover_open(&project)? {
        tell(&report);
    }
    let guard = Guard::prepare(&project)?;
    // So does what stands for `.git`.
    let spare = MAX_TREES.saturating_sub(guard.lent().len());
    while lent.len() > spare {
        let tool = lent.iter().rposition(|lent| lent.tree.why == RunWhy::Tool);
        lent.remove(tool.unwrap_or_default());
    }
    let trees = lent.iter().chain(guard.lent());
    request.trees = trees.map(|lent| lent.tree.clone()).collect();
    let trees = lent.iter().chain(guard.lent()).map(|lent| &lent.source);
    let package = program.package.iter().map(|package| &package.root);
    let owned: Vec<&OwnedFd> = std::iter::once(&project_folder)
        .chain(trees)
        .chain(package)
        .collect();
    for note in &guards.notes {
        eprintln!("holdfast: {note}");
    }
    for lifted in &guards.lifted {
        let lifted = printable(&lifted.to_string());
        eprintln!("holdfast: the session may change `{lifted}`");
    }
    let wanted = if run.no_snapshot {
        Wanted::Nothing
    } else {
        Wanted::Snapshot
    };
    let name = &request.program;
    let recovery = Recovery::before(&home, &project, name, &guards.lifted, triggers, wanted)?;
    recovery.let_signals_end_us();
    let mut session = None;
    let (program, recovery) = (&program.file, Some(recovery));
    let ended = live(args, run, &request, program, &owned, recovery, &mut session);
    match session {
        Some(session) => tell(&guard.bring_back(session)),
        None => guard.discard(),
    }
    conclude(args, ended?)
}

/// Keeps the session until it is over; `session` is its name from the moment that it has begun.
fn live(
    args: &Args,
    run: &Run,
    request: &RunRequest,
    program: &File,
    owned: &[&OwnedFd],
    mut recovery: Option<Recovery>,
    begun: &mut Option<SessionId>,
) -> Result<RunEvent, Problem> {
    let streams = match request.stdio {
        RunStdio::Pipes => Some(Streams::lend().map_err(|error| host(&error))?),
        RunStdio::Terminal { .. } => None,
    };
    let mut owned = owned.iter().map(AsFd::as_fd);
    let mut descriptors: Vec<BorrowedFd<'_>> = vec![program.as_fd()];
    descriptors.extend(owned.next());
    descriptors.extend(streams.iter().flat_map(Streams::descriptors));
    descriptors.extend(owned);

    if !run.show {
        vault::open_for_a_session(&args.socket);
    }
    let socket = args.socket.with_file_name("run.sock");
    let connection = RunConnection::open(&socket).map_err(|error| no_sessions(&socket, &error))?;
    // Signals that arrive while the wish is on its way are for the session, too.
    let mut signals = Signals::new(HEARD).map_err(|error| host(&error))?;
    if let Some(recovery) = &mut recovery {
        recovery.stop_listening();
    }
    connection
        .ask(request, &descriptors)
        .map_err(|error| host(&error))?;
    let decided = waiting::until_decided(&connection, &mut signals);
    let (event, other_end) = match decided {
        Ok(decided) => decided,
        Err(problem) => {
            if let Some(recovery) = recovery {
                recovery.none();
            }
            return Err(problem);
        }
    };
    let RunEvent::Started {
        session,
        spiffe_id,
        notes,
    } = event
    else {
        if let Some(recovery) = recovery {
            recovery.none();
        }
        return Ok(event);
    };
    *begun = Some(session);
    if let Some(recovery) = &mut recovery {
        recovery.begun(session);
    }
    for note in &notes {
        eprintln!("holdfast: {}", printable(note));
    }
    if run.verbose {
        eprintln!("holdfast: session {session} is {spiffe_id}");
    }
    let shown = streams.map(Streams::given);
    let kept = Kept::take_over(Of::Session, &connection, other_end, signals);
    let kept = kept.map_err(|error| host(&error))?;
    let event = loop {
        let (event, _) = connection.next().map_err(|_| {
            Problem::failed(
                "the broker went away, and the session with it",
                "see holdfastd's log",
            )
        })?;
        match event {
            // On a terminal in raw mode a line does not begin by itself.
            RunEvent::Note { text } => eprint!("\r\nholdfast: {}\r\n", printable(&text)),
            RunEvent::Stopped { continued } => kept.stopped(continued),
            event @ (RunEvent::Started { .. }
            | RunEvent::Waiting(_)
            | RunEvent::ShellOpened { .. }
            | RunEvent::Ended { .. }
            | RunEvent::Shown(_)
            | RunEvent::Needs(_)
            | RunEvent::Failed(_)) => break event,
        }
    };
    drop(kept);
    if let Some(shown) = shown {
        shown.wait();
    }
    if let Some(recovery) = recovery {
        recovery.after();
    }
    Ok(event)
}

/// Says what became of a session's git.
fn tell(report: &Report) {
    for line in report.lines() {
        eprintln!("holdfast: {line}");
    }
}

/// Exits as the program did, or shows what was asked to be shown.
pub(super) fn conclude(args: &Args, event: RunEvent) -> Result<(), Problem> {
    match event {
        RunEvent::Shown(world) => super::show(args, &world, &show::text(&world)),
        RunEvent::Ended { code, how } => {
            if let Some(how) = how {
                eprintln!("holdfast: the session ended: {}", printable(&how));
            }
            std::process::exit(i32::from(code))
        }
        RunEvent::Failed(failure) => Err(failure.into()),
        RunEvent::Started { .. }
        | RunEvent::Waiting(_)
        | RunEvent::ShellOpened { .. }
        | RunEvent::Note { .. }
        | RunEvent::Stopped { .. }
        | RunEvent::Needs(_) => Err(Problem::failed(
            "the broker said what it was not asked",
            "use a `holdfast` of the same version as holdfastd",
        )),
    }
}

/// What the command line adds to the session's network, and which guards it lifts.
fn widenings(run: &Run, guards: &Guards) -> Result<Vec<Widening>, Problem> {
    let lifted = guards.lifted.iter().map(|lifted| {
        let path = lifted.to_string().parse().map_err(|error| {
            let words = format!("a guard cannot be lifted: {error}");
            Problem::usage(words, "name files and folders in UTF-8")
        })?;
        Ok(Widening::Unguard(path))
    });
    let reaches = run.reach.iter().cloned().map(Widening::Reach);
    reaches
        .chain(run.host.iter().cloned().map(Widening::Host))
        .chain(run.publish.iter().copied().map(Widening::Publish))
        .map(Ok)
        .chain(lifted)
        .collect()
}

/// A terminal of its own where this is one, both ways.
pub(super) fn stdio() -> Result<RunStdio, Problem> {
    if !(std::io::stdin().is_terminal() && std::io::stdout().is_terminal()) {
        return Ok(RunStdio::Pipes);
    }
    let size = tcgetwinsize(std::io::stdin()).map_err(|error| host(&error.into()))?;
    Ok(RunStdio::Terminal {
        rows: size.ws_row,
        columns: size.ws_col,
    })
}

/// The project: what was named, else the git work tree that this folder is in, else this folder.
pub(super) fn project(named: Option<&Path>) -> Result<PathBuf, Problem> {
    let folder = match named {
        Some(named) => named.to_owned(),
        None => {
            let here = std::env::current_dir().map_err(|error| host(&error))?;
            here.ancestors()
                .find(|folder| folder.join(".git").exists())
                .unwrap_or(&here)
                .to_owned()
        }
    };
    folder.canonicalize().map_err(|error| {
        Problem::usage(
            format!("the project `{}` is not there: {error}", folder.display()),
            "name a folder with --project",
        )
    })
}

/// Home by its real place: tools and what is never lent are found below it, and both are judged by real places.
pub(super) fn home() -> Result<PathBuf, Problem> {
    std::env::home_dir()
        .filter(|home| home.is_absolute())
        .and_then(|home| home.canonicalize().ok())
        .ok_or_else(|| {
            Problem::usage(
                "you have no home folder",
                "set HOME to a folder that is there",
            )
        })
}

/// The human's name inside: cut down to what a user's name may be.
fn user() -> String {
    let name: String = std::env::var("USER")
        .unwrap_or_default()
        .chars()
        .filter(|c| matches!(c, 'a'..='z' | '0'..='9' | '_' | '-'))
        .take(32)
        .collect();
    if name.is_empty() {
        "human".to_owned()
    } else {
        name
    }
}

pub(super) fn no_sessions(socket: &Path, error: &std::io::Error) -> Problem {
    Problem::failed(
        format!("no sessions are made at `{}`: {error}", socket.display()),
        "start holdfast-launcher and holdfastd; `holdfast doctor` looks for the cause",
    )
}

pub(super) fn host(error: &std::io::Error) -> Problem {
    Problem::failed(
        format!("the session could not be kept: {error}"),
        "see holdfastd's log",
    )
}
