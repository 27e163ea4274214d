//! `holdfast run`: a program in a sealed session, as if it had been started here.
//!
//! The session lives as long as this command. Nothing but what is named on the command line and
//! found on PATH goes into it.

use std::io::IsTerminal;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;

use holdfast_protocol::run::{MAX_TREES, RunControl, RunEvent, RunRequest, RunStdio};
use rustix::termios::tcgetwinsize;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;

use crate::args::{Args, Run};
use crate::lent::{self, Lent};
use crate::outcome::Problem;
use crate::program::Program;
use crate::render::printable;
use crate::run_client::RunConnection;
use crate::screen::Screen;
use crate::streams::Streams;
use crate::vault;

/// What every session has anyway.
const SYSTEM: [&str; 4] = ["/usr", "/bin", "/sbin", "/lib"];

/// Runs the program and exits as it did.
pub fn run(args: &Args, run: &Run) -> Result<(), Problem> {
    let word = run.command.first().map_or("", String::as_str);
    let program = Program::find(word)?;
    let project = project(run.project.as_deref())?;
    let directory = std::env::current_dir()
        .ok()
        .filter(|directory| directory.starts_with(&project))
        .unwrap_or_else(|| project.clone());
    let path = tools(&project);
    let lent = path
        .iter()
        .map(|folder| Lent::to_read(folder))
        .collect::<Result<Vec<_>, _>>()?;
    let home = home()?;
    let stdio = stdio()?;
    let request = RunRequest {
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
        trees: lent.iter().map(|lent| lent.tree.clone()).collect(),
        path: path.iter().map(|tool| tool.display().to_string()).collect(),
        stdio,
    };
    if run.show {
        return show(args, &request);
    }

    let project_folder = lent::open(&project)?;
    let streams = match stdio {
        RunStdio::Pipes => Some(Streams::lend().map_err(|error| host(&error))?),
        RunStdio::Terminal { .. } => None,
    };
    let mut descriptors: Vec<BorrowedFd<'_>> = vec![program.file.as_fd(), project_folder.as_fd()];
    descriptors.extend(streams.iter().flat_map(Streams::descriptors));
    descriptors.extend(lent.iter().map(|lent| lent.source.as_fd()));

    vault::open_for_a_session(&args.socket);
    let socket = args.socket.with_file_name("run.sock");
    let connection = RunConnection::open(&socket).map_err(|error| no_sessions(&socket, &error))?;
    // Signals that arrive while the wish is on its way are for the session, too.
    let signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM, SIGWINCH]).map_err(|error| host(&error))?;
    connection
        .ask(&request, &descriptors)
        .map_err(|error| host(&error))?;
    let (event, other_end) = connection.next().map_err(|error| host(&error))?;
    let RunEvent::Started {
        session,
        spiffe_id,
        notes,
    } = event
    else {
        return conclude(event);
    };
    for note in &notes {
        eprintln!("holdfast: {}", printable(note));
    }
    if run.verbose {
        eprintln!("holdfast: session {session} is {spiffe_id}");
    }
    let shown = streams.map(Streams::given);
    let orders = connection.try_clone().map_err(|error| host(&error))?;
    let screen = other_end
        .map(Screen::take)
        .transpose()
        .map_err(|error| host(&error))?;
    let window = screen
        .as_ref()
        .map(Screen::other_end)
        .transpose()
        .map_err(|error| host(&error))?;
    // It only waits for signals, and ends with this process.
    thread::spawn(move || pass_signals(signals, &orders, window.as_ref()));
    let (event, _) = connection.next().map_err(|_| {
        Problem::failed(
            "the broker went away, and the session with it",
            "see holdfastd's log",
        )
    })?;
    drop(screen);
    if let Some(shown) = shown {
        shown.wait();
    }
    conclude(event)
}

/// Exits as the program did.
pub(super) fn conclude(event: RunEvent) -> Result<(), Problem> {
    match event {
        RunEvent::Ended { code, how } => {
            if let Some(how) = how {
                eprintln!("holdfast: the session was {how}");
            }
            std::process::exit(i32::from(code))
        }
        RunEvent::Failed(failure) => Err(failure.into()),
        RunEvent::Started { .. } | RunEvent::ShellOpened { .. } => Err(Problem::failed(
            "the broker said twice that the session began",
            "use a `holdfast` of the same version as holdfastd",
        )),
    }
}

pub(super) fn pass_signals(mut signals: Signals, orders: &RunConnection, window: Option<&OwnedFd>) {
    for signal in signals.forever() {
        let order = match signal {
            SIGINT => RunControl::Interrupt,
            SIGTERM => RunControl::Terminate,
            SIGHUP => RunControl::Hangup,
            _ => {
                if let Some(window) = window {
                    Screen::resize(window);
                }
                continue;
            }
        };
        if orders.tell(order).is_err() {
            return;
        }
    }
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

/// What the session would have, without making it.
fn show(args: &Args, request: &RunRequest) -> Result<(), Problem> {
    let text = format!(
        "program     {} {}\nproject     {} (read and write)\nstarts in   {}\ntools       {}\n\
         home        {} (private)\nnetwork     none",
        request.program,
        request.arguments.join(" "),
        request.project,
        request.directory,
        if request.path.is_empty() {
            "the system's".to_owned()
        } else {
            format!("{} (read only)", request.path.join(", "))
        },
        request.home,
    );
    // The environment is the human's whole one here; what passes is the broker's to say.
    let shown = RunRequest {
        environment: Vec::new(),
        ..request.clone()
    };
    super::show(args, &shown, &text)
}

/// The project: what was named, else the git work tree that this folder is in, else this folder.
fn project(named: Option<&Path>) -> Result<PathBuf, Problem> {
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

/// Folders on PATH that hold the human's own tools; what lies in the project is there anyway.
fn tools(project: &Path) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut tools: Vec<PathBuf> = std::env::split_paths(&path)
        .filter_map(|folder| folder.canonicalize().ok())
        .filter(|folder| folder.is_dir() && !folder.starts_with(project))
        .filter(|folder| !SYSTEM.iter().any(|system| folder.starts_with(system)))
        .collect();
    tools.sort();
    tools.dedup();
    tools.truncate(MAX_TREES);
    tools
}

fn home() -> Result<PathBuf, Problem> {
    std::env::home_dir()
        .filter(|home| home.is_absolute())
        .ok_or_else(|| Problem::usage("you have no home folder", "set HOME"))
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
