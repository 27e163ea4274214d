//! Identifiers as text: each that is accepted has one spelling.
#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use holdfast_protocol::Sha256Digest;
use holdfast_protocol::id::{AgentKind, CallId, HostId, SessionId, SpiffeId, TrustDomain};
use holdfast_protocol::sub::SubPath;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    survives::<SpiffeId>(text);
    survives::<TrustDomain>(text);
    survives::<AgentKind>(text);
    survives::<HostId>(text);
    survives::<SessionId>(text);
    survives::<CallId>(text);
    survives::<Sha256Digest>(text);
    survives::<SubPath>(text);
    if let Ok(id) = text.parse::<SpiffeId>() {
        assert!(!id.is_below(&id));
        if let Some(host) = id.host_id() {
            let host = SpiffeId::host(id.trust_domain(), host);
            assert!(id == host || id.is_below(&host));
        }
    }
});

fn survives<T: FromStr + Display>(text: &str) {
    if let Ok(id) = text.parse::<T>() {
        assert_eq!(id.to_string(), text);
    }
}
