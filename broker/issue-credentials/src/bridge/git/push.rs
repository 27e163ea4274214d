//! A push: its head is read, decided and only then sent, with the objects streamed behind it.
//!
//! While a human thinks, nothing has reached the remote. This module must never send a command that
//! was not in what was decided.

use std::time::Duration;

use holdfast_protocol::call::{Channel, Effect, History, Reach};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderMap};
use hyper::{Request, Response};
use serde_json::json;
use tokio::time::timeout;

use super::super::answer;
use super::super::body::{Given, resumed};
use super::super::calls::Running;
use super::super::connection::Way;
use super::super::fields::Hidden;
use super::super::refusal::{Reason, Refusal};
use super::Errand;
use super::push_head::{Command, PushHead, Reader, Step};
use super::report::rejects;
use crate::decide::Asked;

/// The largest push, in bytes.
const MAX_PUSH: usize = 4 * 1024 * 1024 * 1024;

/// How much of a push is read before it is decided, in bytes. Most pushes are smaller than git's own
/// buffer of 1 MiB, and of what is read as a whole it shows when the client goes away.
const MAX_AHEAD: usize = 1024 * 1024;

/// How long the head may take.
const HEAD_TIME: Duration = Duration::from_secs(60);

/// How long the rest of a push that was denied is read, so that git comes to read the answer.
const DRAIN_TIME: Duration = Duration::from_secs(10 * 60);

/// Passes a push on, once it was decided.
pub(super) async fn pass(
    way: &Way,
    errand: &Errand<'_>,
    request: Request<Incoming>,
) -> Result<Response<Given>, Refusal> {
    let (parts, mut body) = request.into_parts();
    readable(&parts.headers)?;
    let (head, mut ahead) = timeout(HEAD_TIME, read_head(&mut body))
        .await
        .map_err(|_| Refusal::new(Reason::TooSlow, "the push's first lines took too long"))??;
    let decided = {
        let asked = if head.commands.is_empty() {
            probe(&ahead, &mut body).await?;
            errand.fetches()
        } else {
            asked(errand, &head)
        };
        decide(way, asked, &mut body, &mut ahead).await
    };
    let allowed = match decided {
        Ok(running) => authorized(way, errand, running).await,
        Err(refusal) => Err(refusal),
    };
    let (running, authorization, hidden) = match allowed {
        Ok(allowed) => allowed,
        Err(refusal) => {
            drain(&mut body).await;
            return rejects(&head, &refusal).ok_or(refusal);
        }
    };
    let body = resumed(Bytes::from(ahead), body, MAX_PUSH);
    let mut request = errand.request(&parts.method, &parts.headers, body)?;
    if let Some(value) = authorization {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    answer::send(way, running, request, &hidden).await
}

/// What is encoded would be read by the remote, but not here.
fn readable(fields: &HeaderMap) -> Result<(), Refusal> {
    if fields.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::new(
            Reason::BadRequest,
            "a push with a Content-Encoding is not passed on",
        ));
    }
    Ok(())
}

/// The head, and all bytes that were read for it.
async fn read_head(body: &mut Incoming) -> Result<(PushHead, Vec<u8>), Refusal> {
    let mut reader = Reader::default();
    while let Some(data) = next_data(body).await? {
        match reader.feed(&data) {
            Ok(Step::More(more)) => reader = more,
            Ok(Step::Whole { head, bytes, .. }) => return Ok((head, bytes)),
            Err(error) => return Err(Refusal::new(Reason::BadRequest, error.to_string())),
        }
    }
    Err(Refusal::new(
        Reason::BadRequest,
        "the push ends before its first lines do",
    ))
}

/// Git's probe, which finds out whether a credential is good, is one flush-pkt and no more.
async fn probe(ahead: &[u8], body: &mut Incoming) -> Result<(), Refusal> {
    let more = timeout(HEAD_TIME, next_data(body)).await;
    match more {
        Ok(Ok(None)) if ahead == b"0000" => Ok(()),
        Ok(Ok(_)) => Err(Refusal::new(
            Reason::BadRequest,
            "the push changes no ref, but goes on",
        )),
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::new(Reason::TooSlow, "the push took too long")),
    }
}

fn asked(errand: &Errand<'_>, head: &PushHead) -> Asked {
    let remote = errand.repository().to_string();
    let mut effects: Vec<Effect> = head
        .commands
        .iter()
        .map(|command| Effect::Pushes {
            remote: Some(remote.clone()),
            refspec: Some(command.name.clone()),
            history: history(command),
        })
        .collect();
    if !head.options.is_empty() {
        effects.push(Effect::Uninspectable {
            why: format!(
                "the push gives the server options, which can make it do more (merge, for one): {}",
                head.options.join(", ")
            ),
            reach: Reach::Outward,
        });
    }
    effects.extend(errand.uses_secret());
    let commands: Vec<_> = head.commands.iter().map(described).collect();
    Asked {
        channel: Channel::Egress,
        tool: "git-push",
        creates: head
            .commands
            .iter()
            .filter(|command| command.creates())
            .map(|command| command.name.clone())
            .collect(),
        arguments: json!({ "remote": remote, "commands": commands, "options": head.options }),
        effects,
    }
}

fn history(command: &Command) -> History {
    if command.deletes() {
        History::Overwritten
    } else {
        // Whether an update only adds cannot be told here; `update` in the arguments says that it is
        // one, for whoever can.
        History::Kept
    }
}

fn described(command: &Command) -> serde_json::Value {
    json!({
        "ref": command.name,
        "old": command.old,
        "new": command.new,
        "update": !command.creates() && !command.deletes(),
    })
}

/// Has the push decided, and reads on meanwhile as far as there is room.
async fn decide(
    way: &Way,
    asked: Asked,
    body: &mut Incoming,
    ahead: &mut Vec<u8>,
) -> Result<Running, Refusal> {
    let decided = way.calls.decide(asked);
    tokio::pin!(decided);
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            decided = &mut decided => return decided,
            data = next_data(body), if open && ahead.len() < MAX_AHEAD => match data? {
                Some(data) => ahead.extend_from_slice(&data),
                None => open = false,
            },
        }
    }
}

async fn authorized<'a>(
    way: &Way,
    errand: &Errand<'a>,
    mut running: Running,
) -> Result<(Running, Option<hyper::header::HeaderValue>, Hidden), Refusal> {
    let mut hidden = Hidden::default();
    match errand.authorization(way, &mut hidden).await {
        Ok(value) => Ok((running, value, hidden)),
        Err(refusal) => {
            running.failed(&refusal);
            Err(refusal)
        }
    }
}

/// Reads what is left of a push: git sends all of it before it reads an answer.
async fn drain(body: &mut Incoming) {
    let read = async {
        let mut left = MAX_PUSH;
        while let Ok(Some(data)) = next_data(body).await {
            left = left.saturating_sub(data.len());
            if left == 0 {
                break;
            }
        }
    };
    // Whoever takes longer finds the connection closed.
    let _ = timeout(DRAIN_TIME, read).await;
}

/// The next data of a body; trailers are passed over.
async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Refusal::new(Reason::BadRequest, "the request broke off before its end")
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
