//! What Claude Code's hook says, to a call. The input is the JSON that the agent wrote.
#![no_main]

use holdfast_authorize_calls::normalize::Arrival;
use holdfast_authorize_calls::normalize::claude::{Heard, hear};
use holdfast_authorize_calls::world::World;
use holdfast_fuzz::shell_parser_may_panic;
use holdfast_proof::hash::canonical_digest;
use holdfast_protocol::Timestamp;
use holdfast_protocol::call::{Caller, HumanUid};
use holdfast_protocol::grade::{Level, SessionUid};
use holdfast_protocol::id::{AgentKind, CallId, HostId, SessionId, SpiffeId, TrustDomain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(init: shell_parser_may_panic(), |data: &[u8]| {
    let Ok(payload) = serde_json::from_slice(data) else {
        return;
    };
    let world = World {
        project: "/home/u/project".into(),
        home: "/home/u".into(),
        ..World::default()
    };
    let Ok(Heard::Call { call, .. }) = hear(&payload, arrival(), &world) else {
        return;
    };
    // Who asks is known from the socket, whatever the message says.
    assert_eq!(call.caller, arrival().caller);
    for effect in &call.effects {
        let _ = world.act(effect, &call.cwd);
    }
    canonical_digest(&*call).expect("every call can be recorded");
});

fn arrival() -> Arrival {
    let trust_domain: TrustDomain = "example.org".parse().expect("a trust domain");
    let kind: AgentKind = "claude".parse().expect("a kind");
    let (host, session) = (
        HostId::from_random([1; 16]),
        SessionId::from_random([2; 16]),
    );
    Arrival {
        id: CallId::from_random([3; 16]),
        caller: Caller {
            session,
            spiffe_id: SpiffeId::session(&trust_domain, host, &kind, session),
            kind,
            level: Level::L3,
            human: HumanUid(1000),
            runs_as: SessionUid::Own,
        },
        received: Timestamp::from_secs(1_800_000_000),
    }
}
