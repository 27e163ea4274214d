//! Single bits of evidence as it travels: refused, or the same evidence.

use holdfast_protocol::evidence::Evidence;
use holdfast_protocol::wire::attestor;
use proptest::prelude::*;
use prost::Message as _;

use crate::software_tpm::Scene;

/// The message of one attestation, as bytes.
fn wire(evidence: Evidence) -> Vec<u8> {
    attestor::Evidence {
        // The host's id is left out: it names the host that is judged, and is judged by being found.
        host_id: String::new(),
        nonce: evidence.nonce,
        quote: Some(evidence.quote.into()),
        pcrs: evidence.pcrs.into_iter().map(Into::into).collect(),
        node_key: evidence.node_key,
        node_key_certified: Some(evidence.node_key_certified.into()),
        csr: evidence.csr,
        audit_counter_certified: Some(evidence.audit_counter_certified.into()),
        event_log: evidence.event_log,
        ima: None,
        systemd_log: evidence.systemd_log,
        banks: evidence.banks.map(Into::into),
    }
    .encode_to_vec()
}

/// Evidence from what came, where it is a message.
fn read(wire: &[u8]) -> Option<Evidence> {
    let message = attestor::Evidence::decode(wire).ok()?;
    Evidence::try_from(message).ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    /// Every bit counts: whichever is flipped, the message does not decode or its evidence is refused.
    #[test]
    fn no_bit_is_meaningless(at: prop::sample::Index, bit in 0_u32..8) {
        thread_local! {
            static GOOD: (Scene, Evidence) = {
                let scene = Scene::new();
                let evidence = scene.sign(scene.parts());
                (scene, evidence)
            };
        }
        GOOD.with(|(scene, evidence)| {
            let mut wire = wire(evidence.clone());
            prop_assert!(read(&wire).is_some_and(|same| same == *evidence));
            let at = at.index(wire.len());
            wire[at] ^= 1 << bit;
            if let Some(changed) = read(&wire) {
                let (_, result) = scene.verify(&changed);
                prop_assert!(result.is_err(), "byte {} bit {}", at, bit);
            }
            Ok(())
        })?;
    }
}
