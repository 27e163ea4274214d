//! A host's evidence, from protobuf bytes to our own types and back.
#![no_main]

use holdfast_protocol::evidence::Evidence;
use holdfast_protocol::wire::{MAX_EVENT_LOG, MAX_IMA_LIST, MAX_PCRS, MAX_STRUCTURE, MAX_SYSTEMD_LOG, attestor};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = attestor::Evidence::decode(data) else {
        return;
    };
    let host_id = message.host_id.clone();
    let Ok(evidence) = Evidence::try_from(message.clone()) else {
        return;
    };
    assert!(evidence.pcrs.len() <= MAX_PCRS);
    assert!(evidence.node_key.len() <= MAX_STRUCTURE);
    assert!(evidence.event_log.len() <= MAX_EVENT_LOG);
    assert!(
        evidence
            .ima
            .as_ref()
            .is_none_or(|ima| ima.entries.len() <= MAX_IMA_LIST)
    );
    assert!(evidence.systemd_log.len() <= MAX_SYSTEMD_LOG);
    // Nothing that was sent is lost or changed on the way in.
    assert_eq!(back(host_id, evidence), message);
});

fn back(host_id: String, evidence: Evidence) -> attestor::Evidence {
    let Evidence {
        nonce,
        quote,
        pcrs,
        node_key,
        node_key_certified,
        csr,
        audit_counter_certified,
        event_log,
        ima,
        systemd_log,
        banks,
    } = evidence;
    attestor::Evidence {
        host_id,
        nonce,
        quote: Some(quote.into()),
        pcrs: pcrs.into_iter().map(Into::into).collect(),
        node_key,
        node_key_certified: Some(node_key_certified.into()),
        csr,
        audit_counter_certified: Some(audit_counter_certified.into()),
        event_log,
        ima: ima.map(Into::into),
        systemd_log,
        banks: banks.map(Into::into),
    }
}
