//! EK certificates: read loosely, believed strictly. The input stands in for the leaf and for the intermediate of a real path.
#![no_main]

use holdfast_proof::ek_certificate::{Certificate, Revocation, verify};
use holdfast_proof::tpm::Public;
use holdfast_protocol::Timestamp;
use libfuzzer_sys::fuzz_target;

const EK: &[u8] = include_bytes!("../../proof/testdata/ek/p384.pub.tpm2b");
const LEAF: &[u8] = include_bytes!("../../proof/testdata/ek/p384.crt");
const ISSUER: &[u8] = include_bytes!("../../proof/testdata/ek/issuer.crt");
const ROOT: &[u8] = include_bytes!("../../proof/testdata/ek/root.crt");
/// 2027-01-15.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fuzz_target!(|data: &[u8]| {
    let Ok(certificate) = Certificate::parse(data) else {
        return;
    };
    assert_eq!(
        Certificate::parse(certificate.as_der()).as_ref(),
        Ok(&certificate)
    );
    let words = [certificate.subject_words(), certificate.issuer_words()];
    assert!(!words.concat().contains(char::is_control));
    let recorded = |bytes| Certificate::parse(bytes).expect("a recorded certificate");
    let (leaf, issuer, root) = (recorded(LEAF), recorded(ISSUER), recorded(ROOT));
    let ek = Public::parse_sized(EK).expect("a recorded key");
    let believed = |leaf: &Certificate, issuer: &Certificate| {
        verify(
            leaf,
            &ek,
            std::slice::from_ref(issuer),
            std::slice::from_ref(&root),
            &Revocation::Off,
            NOW,
        )
        .is_ok()
    };
    assert!(believed(&leaf, &issuer));
    assert_eq!(believed(&certificate, &issuer), certificate == leaf);
    assert_eq!(believed(&leaf, &certificate), certificate == issuer);
});
