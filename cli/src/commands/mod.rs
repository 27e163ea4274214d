//! One module a command: ask, then show.

mod agents;
mod approvals;
mod audit;
mod config;
mod connect;
mod doctor;
mod enroll;
mod git;
mod import;
mod receipts;
mod run;
mod secrets;
mod sessions;
mod shell;
mod status;
mod undo;

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

pub use self::doctor::{Examined, Finding};

use crate::args::{Args, Command, Credential};
use crate::contained;
use crate::outcome::Problem;

/// Does what the command line says.
pub fn run(args: &Args) -> Result<ExitCode, Problem> {
    let done = match &args.command {
        Command::Enroll {
            url,
            token_file,
            authority,
        } => enroll::run(args, url, token_file.as_deref(), authority.as_deref()),
        Command::Run(command) if command.contained => {
            let socket = contained::broker()?;
            run::run(&args.at(socket), command)
        }
        Command::Run(command) => run::run(args, command),
        Command::Git(command) => git::run(args, command),
        Command::Shell { session } => shell::run(args, *session),
        Command::Agents(command) => return agents::run(args, command),
        Command::Connect(wish) => connect::run(args, wish),
        Command::Sessions { command } => sessions::run(args, command.as_ref()),
        Command::Undo(command) => undo::run(args, command),
        Command::Approvals { command } => approvals::run(args, command.as_ref()),
        Command::Factors(command) => approvals::factors(args, command),
        Command::Status { renew } => status::run(args, *renew),
        Command::Doctor => doctor::run(args),
        Command::Audit(command) => audit::run(args, command),
        Command::Secrets { command } => secrets::run(args, command.as_ref()),
        Command::Config(command) => config::run(command),
        Command::Hook { agent } => return Ok(holdfast_hook::hook([agent.clone()])),
        Command::Sub { arguments } => return Ok(holdfast_hook::sub(arguments.iter().cloned())),
        Command::Credential(Credential::Git { operation }) => {
            return Ok(holdfast_hook::credential(["git".into(), operation.clone()]));
        }
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Prints `value` as JSON, or `text`.
fn show<T: Serialize>(args: &Args, value: &T, text: &str) -> Result<(), Problem> {
    if args.json {
        let json = serde_json::to_string_pretty(value)
            .map_err(|error| Problem::failed(format!("no JSON could be made: {error}"), ""))?;
        print_line(&json)
    } else {
        print_line(text)
    }
}

/// Prints a line; a reader that has gone (`| head`) ends the command, quietly.
fn print_line(text: &str) -> Result<(), Problem> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Problem::failed(
            format!("standard output cannot be written: {error}"),
            "",
        )),
    }
}
