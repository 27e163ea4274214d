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
use crate::guards::Guards;
use crate::lent::{self, Lent};
use crate::outcome::Problem;
use crate::program::Program;
use crate::recovery::{Recovery, Wanted};
use crate::render::printable;
use crate::run_client::RunConnection;
use crate::screen::Screen;
use crate::snapshot::path::RelPath;
use crate::triggers::Triggers;
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
    let triggers = Triggers::built_in().map_err(|error| Problem::failed(error.to_string(), ""))?;
    let guards = Guards::find(&triggers, &project, &directory, &run.unguard)?;
    let path = tools(&project, MAX_TREES.saturating_sub(guards.lent.len()));
    let mut lent = path
        .iter()
        .map(|folder| Lent::to_read(folder))
        .collect::<Result<Vec<_>, _>>()?;
    lent.extend(guards.lent);
    let home = home()?;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let stdio = if terminal {
        let size = tcgetwinsize(std::io::stdin()).map_err(|error| host(&error.into()))?;
        RunStdio::Terminal {
            rows: size.ws_row,
            columns: size.ws_col,
        }
    } else {
        RunStdio::Pipes
    };
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
        return show(args, &request, &guards.places);
    }

    let project_folder = lent::open(&project)?;
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut descriptors: Vec<BorrowedFd<'_>> = vec![program.file.as_fd(), project_folder.as_fd()];
    if !terminal {
        descriptors.extend([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()]);
    }
    descriptors.extend(lent.iter().map(|lent| lent.source.as_fd()));

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
    let mut recovery = Recovery::before(&home, &project, name, &guards.lifted, triggers, wanted)?;
    recovery.let_signals_end_us();

    vault::open_for_a_session(&args.socket);
    let socket = args.socket.with_file_name("run.sock");
    let connection = RunConnection::open(&socket).map_err(|error| no_sessions(&socket, &error))?;
    // Signals that arrive while the wish is on its way are for the session, too.
    let signals =
        Signals::new([SIGHUP, SIGINT, SIGTERM, SIGWINCH]).map_err(|error| host(&error))?;
    recovery.stop_listening();
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
        recovery.none();
        return conclude(event);
    };
    recovery.begun(session);
    for note in &notes {
        eprintln!("holdfast: {}", printable(note));
    }
    if run.verbose {
        eprintln!("holdfast: session {session} is {spiffe_id}");
    }
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
    recovery.after();
    conclude(event)
}

/// Exits as the program did.
fn conclude(event: RunEvent) -> Result<(), Problem> {
    match event {
        RunEvent::Ended { code, how } => {
            if let Some(how) = how {
                eprintln!("holdfast: the session was {how}");
            }
            std::process::exit(i32::from(code))
        }
        RunEvent::Failed(failure) => Err(failure.into()),
        RunEvent::Started { .. } => Err(Problem::failed(
            "the broker said twice that the session began",
            "use a `holdfast` of the same version as holdfastd",
        )),
    }
}

fn pass_signals(mut signals: Signals, orders: &RunConnection, window: Option<&OwnedFd>) {
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

/// What the session would have, without making it.
fn show(args: &Args, request: &RunRequest, guarded: &[RelPath]) -> Result<(), Problem> {
    let guarded: Vec<String> = guarded
        .iter()
        .map(|place| printable(&place.to_string()))
        .collect();
    let text = format!(
        "program     {} {}\nproject     {} (read and write)\nguarded     {}\nstarts in   {}\ntools       {}\n\
         home        {} (private)\nnetwork     none",
        request.program,
        request.arguments.join(" "),
        request.project,
        if guarded.is_empty() {
            "nothing".to_owned()
        } else {
            let guarded = guarded.join(", ");
            format!("{guarded} (read only; --unguard PATH lifts one)")
        },
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

/// Folders on PATH that hold the human's own tools; what lies in the project is there anyway.
fn tools(project: &Path, most: usize) -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut tools: Vec<PathBuf> = std::env::split_paths(&path)
        .filter_map(|folder| folder.canonicalize().ok())
        .filter(|folder| folder.is_dir() && !folder.starts_with(project))
        .filter(|folder| !SYSTEM.iter().any(|system| folder.starts_with(system)))
        .collect();
    tools.sort();
    tools.dedup();
    tools.truncate(most);
    tools
}

/// The human's home.
pub(super) fn home() -> Result<PathBuf, Problem> {
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

fn no_sessions(socket: &Path, error: &std::io::Error) -> Problem {
    Problem::failed(
        format!("no sessions are made at `{}`: {error}", socket.display()),
        "start holdfast-launcher and holdfastd; `holdfast doctor` looks for the cause",
    )
}

fn host(error: &std::io::Error) -> Problem {
    Problem::failed(
        format!("the session could not be kept: {error}"),
        "see holdfastd's log",
    )
}
