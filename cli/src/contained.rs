//! The human's own broker, without root: found, or started in the background.
//!
//! It must never be started where it was not asked for: whoever wants a session that others are kept out of must not get
//! this one for it.

use std::fs::{DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use holdfast_protocol::contained::Places;

use crate::outcome::Problem;
use crate::render::printable;

/// How long it may take to be there: its software TPM is made on its first start.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long another's may take, once this command's own has ended.
const OTHERS: Duration = Duration::from_secs(5);

/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// How much of its log is shown where it does not start.
const LAST_LINES: usize = 3;

/// The management socket of a broker that runs.
pub fn broker() -> Result<PathBuf, Problem> {
    if rustix::process::geteuid().is_root() {
        return Err(Problem::usage(
            "--contained is for a human without root, and you are root",
            "install Holdfast as a system service, or run it as the human whose agent this is",
        ));
    }
    let places = Places::find(|name| std::env::var_os(name)).ok_or_else(|| {
        Problem::usage(
            "you have no home folder",
            "set HOME to a folder that is there",
        )
    })?;
    let socket = places.management();
    if answers(&socket) {
        return Ok(socket);
    }
    let log = places.state.join("holdfastd.log");
    let mut broker = start(&places, &log).map_err(|error| {
        Problem::failed(
            format!("your own broker cannot be started: {error}"),
            "install holdfastd and holdfast-launcher beside holdfast",
        )
    })?;
    eprintln!(
        "holdfast: starting a broker of your own, without root (`kill {}` ends it and its sessions; its log: {})",
        broker.id(),
        printable(&log.display().to_string())
    );
    let mut until = Instant::now() + PATIENCE;
    let mut runs = true;
    loop {
        if answers(&socket) {
            return Ok(socket);
        }
        if runs && !matches!(broker.try_wait(), Ok(None)) {
            // Another command may have started one at the same moment, which has the folder.
            runs = false;
            until = Instant::now() + OTHERS;
        }
        if Instant::now() > until {
            return Err(Problem::failed(
                format!("your own broker did not start:\n{}", last_lines(&log)),
                format!("see `{}`", log.display()),
            ));
        }
        thread::sleep(LOOK);
    }
}

/// Whether a broker answers there that makes sessions as well.
fn answers(management: &Path) -> bool {
    [management, &management.with_file_name("run.sock")]
        .iter()
        .all(|socket| UnixStream::connect(socket).is_ok())
}

/// The process that answers at `socket`, to be shown: whoever starts a broker of their own has to be able to end it.
pub fn process(socket: &Path) -> Option<u32> {
    let stream = UnixStream::connect(socket).ok()?;
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok()?;
    u32::try_from(peer.pid.as_raw_nonzero().get()).ok()
}

fn start(places: &Places, log: &Path) -> std::io::Result<Child> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&places.state)?;
    let log = File::create(log)?;
    let program = std::env::current_exe()?.with_file_name("holdfastd");
    Command::new(program)
        .arg("--contained")
        // The TPM software stack reports what the broker expects and handles.
        .env(
            "TSS2_LOG",
            std::env::var_os("TSS2_LOG").unwrap_or("all+none".into()),
        )
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // What is typed here is not for it.
        .process_group(0)
        .current_dir("/")
        .spawn()
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LAST_LINES);
    printable(&lines.get(from..).unwrap_or_default().join("; "))
}
