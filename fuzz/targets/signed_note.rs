//! Signed notes with a checkpoint, as a mirror or an auditor is handed them.
#![no_main]

use holdfast_proof::counter::CounterEvidence;
use holdfast_proof::note::{EcdsaVerifier, EvidenceLine, Origin, SignedNote};
use holdfast_proof::tpm::Public;
use libfuzzer_sys::fuzz_target;

const KEY: &[u8] = include_bytes!("../../proof/testdata/tpm/node.pub.tpm2b");

fuzz_target!(|text: &str| {
    let Ok(note) = SignedNote::parse(text) else {
        return;
    };
    assert_eq!(note.to_string(), text);
    let origin = Origin::new("audit.example/log").expect("an origin");
    let key = Public::parse_sized(KEY).ok().and_then(|key| key.key());
    let verifier = key.and_then(|key| EcdsaVerifier::new(origin.clone(), &key));
    let verifier = verifier.expect("a recorded key");
    // The key never signed a note.
    assert!(verifier.verify_checkpoint(&note).is_err());
    if let Some(evidence) = EvidenceLine::find(&origin, &note) {
        let _ = CounterEvidence::parse(evidence);
    }
    if note.signatures().len() < SignedNote::MAX_SIGNATURES {
        let signed = note
            .clone()
            .with_signature(verifier.signature_line(vec![0x30]));
        if let Ok(signed) = signed {
            assert_eq!(SignedNote::parse(&signed.to_string()), Ok(signed));
        }
    }
});
