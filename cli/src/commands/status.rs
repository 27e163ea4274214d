//! `holdfast status`.

use holdfast_protocol::management::{NodeState, Request, Response, Status};

use super::show;
use crate::args::Args;
use crate::client::{ask, unexpected};
use crate::contained;
use crate::outcome::Problem;
use crate::render;
use crate::vault;

/// Shows the broker's state, after a new attestation where that is wanted.
pub fn run(args: &Args, renew: bool) -> Result<(), Problem> {
    if renew {
        ask(&args.socket, &Request::Attest)?;
    }
    let status = fetch(args)?;
    let mut text = render::status(&status);
    // What is worth a line is not worth failing for.
    if let Ok(listing) = vault::listing(&args.socket) {
        text.push('\n');
        text.push_str(&render::secrets::vault(&listing));
    }
    if let (NodeState::Contained { .. }, Some(process)) =
        (&status.node, contained::process(&args.socket))
    {
        text.push_str(&format!(
            "\nended by    `kill {process}`, and its sessions with it"
        ));
    }
    show(args, &status, &text)?;
    match status.node {
        // There is nothing to attest, and nothing that waits for it.
        NodeState::Attested(_) | NodeState::Contained { .. } => Ok(()),
        NodeState::NotEnrolled => Err(not_attested("this host is not enrolled with an attestor")),
        NodeState::NotAttested { why, .. } => {
            Err(not_attested(&format!("this host is not attested: {why}")))
        }
    }
}

/// The broker's state.
pub fn fetch(args: &Args) -> Result<Box<Status>, Problem> {
    let Response::Status(status) = ask(&args.socket, &Request::Status)? else {
        return Err(unexpected());
    };
    Ok(status)
}

fn not_attested(message: &str) -> Problem {
    Problem::new(
        holdfast_protocol::management::FailureKind::NotAttested,
        message,
        "`holdfast enroll URL --token-file FILE` enrolls it; `holdfast doctor` looks for the cause",
    )
}
