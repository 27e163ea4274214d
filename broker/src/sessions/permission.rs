//! The question that a session's widenings are: put to the policy, and to the human where it says so.
//!
//! All of them are one call, on record before anything is made; nothing is given in part. A human who takes the
//! question back, or goes, leaves none behind. It must never widen a session that has begun.

use holdfast_authorize_calls::card::{ApprovalCard, Waiting};
use holdfast_authorize_calls::state::Final;
use holdfast_authorize_calls::task::Authorizer;
use holdfast_authorize_calls::world::World;
use holdfast_policy::Taint;
use holdfast_protocol::beyond::LeaveGiven;
use holdfast_protocol::call::{Caller, Channel, Effect, ToolCall, ToolName};
use holdfast_protocol::id::CallId;
use holdfast_protocol::run::{RunControl, RunEvent, RunWaiting};
use serde_json::json;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::serve::{listen_to, note};
use super::widened::{NotWidened, Widened};
use crate::ambient::random_bits;
use crate::warden::Acting;

/// Who asks, from where.
pub struct Asking<'a> {
    /// The session that would be.
    pub caller: Caller,
    /// Its project, as a place inside.
    pub project: &'a str,
    /// The command line that asks for it.
    pub stream: &'a UnixStream,
    /// The broker's end.
    pub stop: &'a CancellationToken,
    /// Whether sessions may begin.
    pub acting: watch::Receiver<Acting>,
}

/// By whose word the session is widened; `None` where it is not.
pub async fn ask(
    widened: &Widened,
    authorizer: &Authorizer,
    asking: Asking<'_>,
) -> Result<Option<LeaveGiven>, NotWidened> {
    if widened.all().is_empty() {
        return Ok(None);
    }
    let Asking {
        caller,
        project,
        stream,
        stop,
        mut acting,
    } = asking;
    let id = CallId::from_random(random_bits().map_err(|_| NotWidened::Unasked)?);
    let typed: Vec<String> = widened.all().iter().map(ToString::to_string).collect();
    let effects = widened.all().iter().cloned();
    let call = ToolCall {
        id,
        caller,
        channel: Channel::Launch,
        tool: ToolName::try_from("holdfast-run".to_owned()).map_err(|_| NotWidened::Unasked)?,
        arguments: json!({ "widen": typed }),
        cwd: project.into(),
        effects: effects
            .map(|widening| Effect::Widens { widening })
            .collect(),
        received: authorizer.clock().now(),
    };
    let world = World::default();
    let deciding = authorizer.decide(call, &world, Taint::Clean);
    tokio::pin!(deciding);
    // What is decided counts, whatever else happens at the same moment.
    let decided = tokio::select! {
        biased;
        decided = &mut deciding => decided,
        () = stop.cancelled() => {
            authorizer.withdraw(id).await;
            return Err(NotWidened::Stopping);
        }
        // An answer would begin nothing.
        () = held(&mut acting) => {
            authorizer.withdraw(id).await;
            return Err(NotWidened::Held);
        }
        () = withdrawn(authorizer, id, stream) => {
            authorizer.withdraw(id).await;
            if let Final::Allow { .. } = deciding.await {
                // It was approved while it was taken back: nobody is there who wants it.
                authorizer.ended(id, "taken back".to_owned(), vec![]).await;
            }
            return Err(NotWidened::Withdrawn);
        }
    };
    match decided {
        Final::Allow { because } => {
            authorizer.ended(id, "given".to_owned(), vec![]).await;
            Ok(Some(LeaveGiven { call: id, because }))
        }
        Final::Deny { by, because } => {
            // Nor could an answer that comes too late let another session begin.
            authorizer.withdraw(id).await;
            Err(NotWidened::Denied {
                by,
                why: because.text,
            })
        }
    }
}

/// Returns when this host may not act any more.
async fn held(acting: &mut watch::Receiver<Acting>) {
    // One without a warden may not either.
    drop(acting.wait_for(|acting| *acting == Acting::No).await);
}

/// Tells the command line what it waits for once the question is shown, and returns when that says anything, or goes.
async fn withdrawn(authorizer: &Authorizer, call: CallId, stream: &UnixStream) {
    let mut cards = authorizer.cards();
    let shown = |card: &&ApprovalCard| card.call == call;
    let card = match cards
        .wait_for(|cards| cards.iter().any(|card| shown(&card)))
        .await
    {
        Ok(cards) => cards.iter().find(shown).cloned(),
        Err(_) => None,
    };
    let Some(card) = card else {
        // The job has stopped, and says so itself.
        return std::future::pending().await;
    };
    note(stream, &RunEvent::Waiting(waiting(card))).await;
    let (orders, mut said) = tokio::sync::mpsc::channel(1);
    let listening = listen_to(stream, orders);
    tokio::pin!(listening);
    loop {
        tokio::select! {
            () = &mut listening => return,
            Some(order) = said.recv() => match order {
                RunControl::Interrupt | RunControl::Terminate | RunControl::Hangup => return,
                // It is a job of its shell's, and waits in the background as well.
                RunControl::Stop | RunControl::Continue => {}
            },
        }
    }
}

fn waiting(card: ApprovalCard) -> RunWaiting {
    let (Waiting::Until { deadline } | Waiting::Late { gone: deadline }) = card.waiting;
    RunWaiting {
        call: card.call,
        headline: card.headline,
        effects: card.effects,
        why: card.why.text,
        tier: card.tier,
        deadline,
    }
}
