//! What an approval covers beside its own call: the same push seen again at the credential and at the egress bridge.
//!
//! Only effects that the human saw by name, only in the same session, only until the call ends. It must never cover a call
//! of an agent's hook: that is a new act.

use std::collections::BTreeMap;

use holdfast_protocol::call::{Channel, Effect, History, ToolCall};
use holdfast_protocol::id::{CallId, SessionId};

/// The most approved calls that are remembered; the oldest ids go first, and what they covered is asked again.
const MAX_COVERS: usize = 256;

#[derive(Clone, Debug, Default)]
pub(super) struct Covers {
    open: BTreeMap<u64, Cover>,
    next: u64,
}

#[derive(Clone, Debug)]
struct Cover {
    session: SessionId,
    call: CallId,
    effects: Vec<Effect>,
}

impl Covers {
    /// A call was approved.
    pub(super) fn open(&mut self, session: SessionId, call: CallId, effects: Vec<Effect>) {
        let effects: Vec<Effect> = effects.into_iter().filter(is_named).collect();
        if effects.is_empty() {
            return;
        }
        self.open.insert(
            self.next,
            Cover {
                session,
                call,
                effects,
            },
        );
        self.next += 1;
        if self.open.len() > MAX_COVERS {
            self.open.pop_first();
        }
    }

    /// A call has ended.
    pub(super) fn close(&mut self, call: CallId) {
        self.open.retain(|_, cover| cover.call != call);
    }

    /// A session has ended.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.open.retain(|_, cover| cover.session != session);
    }

    /// The approved call that `call` follows from, if it covers every effect of it.
    pub(super) fn of(&self, call: &ToolCall) -> Option<CallId> {
        match call.channel {
            Channel::Egress | Channel::Credential => {}
            Channel::Hook | Channel::Mcp | Channel::Launch => return None,
        }
        if call.effects.is_empty() {
            return None;
        }
        self.open
            .values()
            .find(|cover| {
                cover.session == call.caller.session
                    && call.effects.iter().all(|effect| cover.has(effect))
            })
            .map(|cover| cover.call)
    }
}

impl Cover {
    /// Whether the human saw `effect` by name. Where a push leaves the host it cannot be told whether history is kept,
    /// so one that was approved as overwriting it is covered as keeping it too, and not the other way around.
    fn has(&self, effect: &Effect) -> bool {
        let more = match effect {
            Effect::Pushes {
                remote,
                refspec,
                history: History::Kept,
            } => Some(Effect::Pushes {
                remote: remote.clone(),
                refspec: refspec.clone(),
                history: History::Overwritten,
            }),
            Effect::Pushes { .. }
            | Effect::Reads { .. }
            | Effect::Writes { .. }
            | Effect::Deletes { .. }
            | Effect::Runs { .. }
            | Effect::Publishes { .. }
            | Effect::Reaches { .. }
            | Effect::UsesSecret { .. }
            | Effect::Widens { .. }
            | Effect::Spends { .. }
            | Effect::Uninspectable { .. } => None,
        };
        let known = |effect: &Effect| self.effects.contains(effect);
        is_named(effect) && (known(effect) || more.as_ref().is_some_and(known))
    }
}

/// Effects that other channels see again.
fn is_named(effect: &Effect) -> bool {
    match effect {
        Effect::Pushes { .. } | Effect::UsesSecret { .. } => true,
        Effect::Reads { .. }
        | Effect::Writes { .. }
        | Effect::Deletes { .. }
        | Effect::Runs { .. }
        | Effect::Publishes { .. }
        | Effect::Reaches { .. }
        | Effect::Widens { .. }
        | Effect::Spends { .. }
        | Effect::Uninspectable { .. } => false,
    }
}
