//! `holdfast approvals` and `holdfast factors`: what waits for this human, and the proof of consent.
//!
//! It must never show a human less than what they consent to.

use std::path::Path;

use holdfast_protocol::approval::{HumanAnswer, PinRecovery, Question, Surface};
use holdfast_protocol::grade::Tier;
use holdfast_protocol::id::CallId;
use holdfast_protocol::management::{Request, Response};

use super::{print_line, show};
use crate::args::{Approvals, Args, Factors};
use crate::client::{ask, unexpected};
use crate::outcome::Problem;
use crate::prompt::{Sought, from_file, piped_or_typed, typed};
use crate::render;

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

/// Enrolls a factor, or recovers one.
pub fn factors(args: &Args, command: &Factors) -> Result<(), Problem> {
    match command {
        Factors::Enroll { pin_file } => enroll(args, pin_file.as_deref()),
        Factors::Unlock { code_file } => {
            recover(args, code_file.as_deref(), PinRecovery::Unlock)?;
            print_line("unlocked: the PIN is taken again")
        }
        Factors::Remove { code_file } => {
            recover(args, code_file.as_deref(), PinRecovery::Remove)?;
            print_line("given up: `holdfast factors enroll` makes another, behind another PIN")
        }
    }
}

fn recover(args: &Args, code_file: Option<&Path>, act: PinRecovery) -> Result<(), Problem> {
    let code = match code_file {
        Some(file) => from_file(Sought::Code, file)?,
        None => piped_or_typed(Sought::Code, "The approval key's recovery code: ")?,
    };
    let answer = ask(&args.socket, &Request::RecoverPin { code, act })?;
    matches!(answer, Response::PinRecovered)
        .then_some(())
        .ok_or_else(unexpected)
}

fn enroll(args: &Args, pin_file: Option<&Path>) -> Result<(), Problem> {
    let pin = match pin_file {
        Some(file) => from_file(Sought::Pin, file)?,
        None => {
            let pin = typed(Sought::Pin, "Choose a PIN (4 to 64 characters): ")?;
            let again = typed(Sought::Pin, "Type it again: ")?;
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
            Some(file) => (from_file(Sought::Pin, file)?, Surface::File),
            None => (typed(Sought::Pin, "PIN: ")?, Surface::Terminal),
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
