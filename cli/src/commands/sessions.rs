//! `holdfast sessions`: which there are, and what a human may do to them.

use holdfast_protocol::id::SessionId;
use holdfast_protocol::management::{Request, Response, SessionAct};
use holdfast_protocol::sub::Target;

use super::show;
use crate::args::{Args, Sessions};
use crate::client::{ask, unexpected};
use crate::outcome::Problem;
use crate::render;

/// Lists sessions, or acts on one.
pub fn run(args: &Args, command: Option<&Sessions>) -> Result<(), Problem> {
    let request = match command {
        None | Some(Sessions::List) => Request::Sessions,
        Some(Sessions::Pause { session }) => act(*session, SessionAct::Pause),
        Some(Sessions::Resume { session }) => act(*session, SessionAct::Resume),
        Some(Sessions::End {
            target: Target { session, sub: None },
        }) => act(*session, SessionAct::End),
        Some(Sessions::End {
            target: Target {
                session,
                sub: Some(sub),
            },
        }) => Request::EndSubAgent {
            session: *session,
            sub: *sub,
        },
    };
    let Response::Sessions(sessions) = ask(&args.socket, &request)? else {
        return Err(unexpected());
    };
    show(args, &sessions, render::sessions(&sessions).trim_end())
}

fn act(session: SessionId, act: SessionAct) -> Request {
    Request::ControlSession { session, act }
}
