//! `holdfast approvals` and `holdfast factors`: what waits for this human, and the proof of consent.
//!
//! A PIN is typed at the terminal without being shown, or read from a file that only its owner can
//! read; it is never an argument, where others could see it.

use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use holdfast_protocol::approval::{HumanAnswer, Question, Surface};
use holdfast_protocol::grade::Tier;
use holdfast_protocol::id::CallId;
use holdfast_protocol::management::{Request, Response};
use holdfast_protocol::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use super::{print_line, show};
use crate::args::{Approvals, Args, Factors};
use crate::client::{ask, unexpected};
use crate::outcome::Problem;
use crate::render;

/// The longest line that can be a PIN.
const MAX_PIN: u64 = 256;

/// Lists questions, shows one, or answers it.
pub fn run(args: &Args, command: Option<&Approvals>) -> Result<(), Problem> {
    match command {
        None | Some(Approvals::List) => {
            let questions = questions(args)?;
            show(args, &questions, render::questions(&questions).trim_end())
        }
        Some(Approvals::Show { id }) => {
            let question = question(args, *id)?;
            show(args, &question, &render::question(&question))
        }
        Some(Approvals::Deny { id }) => {
            answer(args, *id, HumanAnswer::Deny)?;
            print_line("denied")
        }
        Some(Approvals::Approve { id, pin_file }) => {
            approve(args, *id, pin_file.as_deref())?;
            print_line("approved")
        }
    }
}

/// Enrolls a factor.
pub fn factors(args: &Args, command: &Factors) -> Result<(), Problem> {
    let Factors::Enroll { pin_file } = command;
    let pin = match pin_file {
        Some(file) => from_file(file)?,
        None => {
            let pin = typed("Choose a PIN (4 to 64 characters): ")?;
            let again = typed("Type it again: ")?;
            if *pin.expose() != *again.expose() {
                return Err(Problem::usage("the two are not the same", "start again"));
            }
            pin
        }
    };
    let Response::PinEnrolled { recovery } = ask(&args.socket, &Request::EnrollPin { pin })? else {
        return Err(unexpected());
    };
    let code = recovery.expose();
    if args.json {
        return print_line(&format!("{{\"recovery\": \"{}\"}}", *code));
    }
    print_line(&format!(
        "enrolled: approvals are signed by the TPM under this PIN\n\
         recovery    {}\n\
         Write it down and keep it apart: it alone unlocks the PIN after three wrong ones, and it is\n\
         not shown again.",
        *code
    ))
}

fn approve(args: &Args, id: CallId, pin_file: Option<&Path>) -> Result<(), Problem> {
    let question = question(args, id)?;
    let consent = if question.tier < Tier::R2 {
        HumanAnswer::Click
    } else {
        if pin_file.is_none() {
            // The human sees what they consent to before they prove it.
            print_line(&render::question(&question))?;
        }
        let (pin, surface) = match pin_file {
            Some(file) => (from_file(file)?, Surface::File),
            None => (typed("PIN: ")?, Surface::Terminal),
        };
        HumanAnswer::Pin { pin, surface }
    };
    answer(args, id, consent)
}

fn answer(args: &Args, call: CallId, answer: HumanAnswer) -> Result<(), Problem> {
    let Response::Answered = ask(&args.socket, &Request::AnswerCall { call, answer })? else {
        return Err(unexpected());
    };
    Ok(())
}

fn questions(args: &Args) -> Result<Vec<Question>, Problem> {
    let Response::Approvals(questions) = ask(&args.socket, &Request::Approvals)? else {
        return Err(unexpected());
    };
    Ok(questions)
}

fn question(args: &Args, id: CallId) -> Result<Question, Problem> {
    questions(args)?
        .into_iter()
        .find(|question| question.call == id)
        .ok_or_else(|| {
            Problem::usage(
                format!("no question {id} waits for you"),
                "`holdfast approvals` lists those that do",
            )
        })
}

/// Reads a line from the terminal without showing it.
fn typed(prompt: &str) -> Result<Secret, Problem> {
    let failed = |error: std::io::Error| {
        Problem::failed(
            format!("the PIN cannot be read: {error}"),
            "run it in a terminal, or give --pin-file FILE",
        )
    };
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(failed(std::io::Error::other(
            "standard input is no terminal",
        )));
    }
    eprint!("{prompt}");
    std::io::stderr().flush().map_err(failed)?;
    let before = tcgetattr(&stdin).map_err(|error| failed(error.into()))?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|error| failed(error.into()))?;
    let read = line(stdin.lock());
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &before);
    eprintln!();
    restored.map_err(|error| failed(error.into()))?;
    read.map_err(failed)
}

fn from_file(path: &Path) -> Result<Secret, Problem> {
    let failed = |error: std::io::Error| {
        Problem::usage(
            format!("the PIN in `{}` cannot be read: {error}", path.display()),
            "name a file that only you can read",
        )
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.permissions().mode() & 0o077 != 0 {
        return Err(failed(std::io::Error::other("others can read it, too")));
    }
    line(std::io::BufReader::new(file)).map_err(failed)
}

fn line(from: impl BufRead) -> std::io::Result<Secret> {
    let mut text = zeroize::Zeroizing::new(String::with_capacity(256));
    from.take(MAX_PIN).read_line(&mut text)?;
    let pin = text.trim_end_matches(['\r', '\n']);
    Ok(Secret::new(zeroize::Zeroizing::new(pin.to_owned())))
}
