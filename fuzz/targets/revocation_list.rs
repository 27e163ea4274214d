//! Revocation lists: whatever the input is, an EK certificate is good by a recorded list of its issuer alone.
#![no_main]

use holdfast_proof::ek_certificate::{
    Certificate, EkCertificateError, Revocation, RevocationList, verify,
};
use holdfast_proof::tpm::Public;
use holdfast_protocol::Timestamp;
use libfuzzer_sys::fuzz_target;

const EK: &[u8] = include_bytes!("../../proof/testdata/ek/p384.pub.tpm2b");
const LEAF: &[u8] = include_bytes!("../../proof/testdata/ek/listed.crt");
const ROOT: &[u8] = include_bytes!("../../proof/testdata/ek/lister.crt");
/// The lists that do not name the certificate, and the one that does. Their RSA signatures have one spelling each.
const CLEARING: [&[u8]; 2] = [
    include_bytes!("../../proof/testdata/ek/good.crl"),
    include_bytes!("../../proof/testdata/ek/bare.crl"),
];
const NAMING: &[u8] = include_bytes!("../../proof/testdata/ek/naming.crl");
/// 2027-01-15.
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fuzz_target!(|data: &[u8]| {
    let parse = |bytes| RevocationList::parse("input", bytes);
    let Ok(list) = parse(data) else {
        return;
    };
    let recorded = |bytes| Certificate::parse(bytes).expect("a recorded certificate");
    let (leaf, root) = (recorded(LEAF), recorded(ROOT));
    let ek = Public::parse_sized(EK).expect("a recorded key");
    let judged = |revocation: &Revocation| {
        let roots = std::slice::from_ref(&root);
        verify(&leaf, &ek, &[], roots, revocation, NOW).map(drop)
    };
    let clears = CLEARING.map(|bytes| parse(bytes).expect("a recorded list"));
    let names = parse(NAMING).expect("a recorded list");

    // No list but the issuer's own makes the certificate good where one is required …
    let required = judged(&Revocation::Require(vec![list.clone()]));
    assert_eq!(required.is_ok(), clears.contains(&list));
    // … and none but its own revokes it.
    let revoked = matches!(required, Err(EkCertificateError::Revoked { .. }));
    assert_eq!(revoked, list == names);
    // A list of somebody else changes nothing, a spoiled one of the issuer refuses, and neither hides what its own list says.
    let alone = judged(&Revocation::WhereThereIsOne(vec![list.clone()]));
    assert_eq!(
        alone.is_ok(),
        !matches!(&required, Err(e) if *e != EkCertificateError::NoList)
    );
    for lists in [vec![list.clone(), names.clone()], vec![names, list]] {
        assert!(judged(&Revocation::WhereThereIsOne(lists)).is_err());
    }
});
