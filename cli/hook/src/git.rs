//! Git's credential helper (gitcredentials(7), git-credential(1)): git gets a placeholder, or is told to ask nobody else.
//!
//! It must never let git fall back to another helper or to a prompt because something failed here, and it must never
//! hand git a line that it was not meant to read.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::ExitCode;

use holdfast_protocol::session::{
    GitCredentialOperation, GitCredentialRequest, GitCredentialResponse, SessionRequest,
};
use zeroize::Zeroizing;

use crate::refusal::Refusal;
use crate::{exchange, input, say_why};

/// The most that git may write to its helper, in bytes: some short lines, one of them a path.
const MAX_ATTRIBUTES: usize = 16 * 1024;

/// Does one operation. Git does not look at the exit code; what it reads decides.
pub fn run(operation: &OsStr) -> ExitCode {
    let Some(operation) = known(operation) else {
        // "If a helper receives any other operation, it should silently ignore the request."
        return ExitCode::SUCCESS;
    };
    let said = match answer(operation) {
        Ok(lines) => lines,
        Err(refusal) => {
            say_why(&refusal);
            quit(operation)
        }
    };
    let mut stdout = io::stdout().lock();
    let heard = stdout
        .write_all(said.as_bytes())
        .and_then(|()| stdout.flush());
    match heard {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn known(operation: &OsStr) -> Option<GitCredentialOperation> {
    match operation.to_str()? {
        "get" => Some(GitCredentialOperation::Get),
        "store" => Some(GitCredentialOperation::Store),
        "erase" => Some(GitCredentialOperation::Erase),
        _ => None,
    }
}

fn answer(operation: GitCredentialOperation) -> Result<Zeroizing<String>, Refusal> {
    let attributes = input(MAX_ATTRIBUTES)
        .map_err(Refusal::Input)?
        .ok_or(Refusal::InputTooLong)?;
    let attributes = String::from_utf8(attributes).map_err(|_| Refusal::NotText)?;
    let request = SessionRequest::GitCredential(GitCredentialRequest {
        operation,
        attributes,
    });
    match exchange::ask(&request)? {
        GitCredentialResponse::Placeholder { username, password } => {
            lines(&username, &password.expose())
        }
        GitCredentialResponse::Nothing => Ok(Zeroizing::default()),
        GitCredentialResponse::Refused { why } => Err(Refusal::Broker { why }),
    }
}

/// What git reads. A line break in a value would be a line of its own to git.
fn lines(username: &str, password: &str) -> Result<Zeroizing<String>, Refusal> {
    if [username, password]
        .iter()
        .any(|value| value.chars().any(char::is_control))
    {
        return Err(Refusal::NotACredential);
    }
    Ok(Zeroizing::new(format!(
        "username={username}\npassword={password}\n"
    )))
}

/// Git is to ask no other helper and nobody at the terminal; only `get` has an answer.
fn quit(operation: GitCredentialOperation) -> Zeroizing<String> {
    Zeroizing::new(match operation {
        GitCredentialOperation::Get => "quit=1\n".to_owned(),
        GitCredentialOperation::Store | GitCredentialOperation::Erase => String::new(),
    })
}
