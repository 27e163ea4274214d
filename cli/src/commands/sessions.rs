//! `holdfast sessions`: which there are, and what a human may do to them.

use holdfast_protocol::id::SessionId;
use holdfast_protocol::management::{Request, Response, SessionAct, SessionStatus};
use holdfast_protocol::sub::Target;

use super::show;
use crate::args::{Args, Chosen, ChosenEnd, Sessions};
use crate::client::{ask, unexpected};
use crate::outcome::Problem;
use crate::render;

/// Lists sessions, shows one, or acts on them.
pub fn run(args: &Args, command: Option<&Sessions>) -> Result<(), Problem> {
    let request = match command {
        None | Some(Sessions::List) => Request::Sessions,
        Some(Sessions::Show { session }) => return show_one(args, *session),
        Some(Sessions::Pause(chosen)) => act(chosen, SessionAct::Pause),
        Some(Sessions::Resume(chosen)) => act(chosen, SessionAct::Resume),
        Some(Sessions::End(chosen)) => end(chosen),
    };
    let sessions = sessions(args, &request)?;
    show(args, &sessions, render::sessions(&sessions).trim_end())
}

fn act(chosen: &Chosen, act: SessionAct) -> Request {
    match chosen.session {
        Some(session) => Request::ControlSession { session, act },
        None => Request::ControlSessions { act },
    }
}

fn end(chosen: &ChosenEnd) -> Request {
    let act = SessionAct::End;
    match chosen.target {
        None => Request::ControlSessions { act },
        Some(Target { session, sub: None }) => Request::ControlSession { session, act },
        Some(Target {
            session,
            sub: Some(sub),
        }) => Request::EndSubAgent { session, sub },
    }
}

fn show_one(args: &Args, wanted: SessionId) -> Result<(), Problem> {
    let sessions = sessions(args, &Request::Sessions)?;
    let found = sessions.iter().find(|session| session.session == wanted);
    let session = found.ok_or_else(|| {
        Problem::failed(
            format!("there is no session {wanted}, nor was there one today"),
            "`holdfast sessions` lists them",
        )
    })?;
    show(args, session, render::session::session(session).trim_end())
}

fn sessions(args: &Args, request: &Request) -> Result<Vec<SessionStatus>, Problem> {
    let Response::Sessions(sessions) = ask(&args.socket, request)? else {
        return Err(unexpected());
    };
    Ok(sessions)
}
