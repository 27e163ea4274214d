//! A whole history of counted checkpoints, judged by an enrollment record: three buffers (body, attest, signature)
//! for each checkpoint, each behind its 16-bit length.
#![no_main]

use holdfast_proof::counter::{CountedCheckpoint, CounterAnchor};
use holdfast_proof::note::Origin;
use holdfast_proof::tpm::{HashAlg, NvAttributes, NvIndex, NvIndexType, NvPublic, Public, Reader};
use libfuzzer_sys::fuzz_target;

const AK: &[u8] = include_bytes!("../../proof/testdata/tpm/ak_ecc.pub.tpm2b");
/// The only texts that this AK ever certified, at counter values 1, 2, 3.
const BODIES: [&[u8]; 3] = [
    include_bytes!("../../proof/testdata/tpm/cp1.body"),
    include_bytes!("../../proof/testdata/tpm/cp2.body"),
    include_bytes!("../../proof/testdata/tpm/cp3.body"),
];

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new("history", data);
    let mut checkpoints = Vec::new();
    while let Some(checkpoint) = next(&mut reader) {
        checkpoints.push(checkpoint);
    }
    match anchor().verify(&checkpoints) {
        Ok(frozen) => {
            let bodies: Vec<_> = checkpoints
                .iter()
                .map(|checkpoint| checkpoint.body)
                .collect();
            assert_eq!(bodies, BODIES[..checkpoints.len()]);
            assert_eq!(frozen.heads.len(), checkpoints.len());
            assert_eq!(frozen.next_value, 1 + checkpoints.len() as u64);
        }
        Err(findings) => {
            let findings = findings.as_slice();
            assert!(!findings.is_empty());
            assert!(
                findings
                    .iter()
                    .all(|finding| finding.position < checkpoints.len())
            );
        }
    }
});

fn next<'a>(reader: &mut Reader<'a>) -> Option<CountedCheckpoint<'a>> {
    let mut buffer = || {
        let length = reader.u16("length").ok()?;
        reader.take("buffer", length.into()).ok()
    };
    Some(CountedCheckpoint {
        body: buffer()?,
        attest: buffer()?,
        signature: buffer()?,
    })
}

fn anchor() -> CounterAnchor {
    let counter = NvPublic {
        index: NvIndex::new(0x0180_0001).expect("an index"),
        name_alg: HashAlg::Sha256,
        attributes: NvAttributes::of(NvIndexType::Counter)
            .with(NvAttributes::AUTH_READ)
            .with(NvAttributes::AUTH_WRITE)
            .with(NvAttributes::NO_DA)
            .with(NvAttributes::WRITTEN),
        auth_policy: None,
        data_size: 8,
    };
    let origin = Origin::new("audit.example/log").expect("an origin");
    let ak = Public::parse_sized(AK).expect("a recorded key");
    CounterAnchor::new(origin, &ak, &counter, 1).expect("an anchor")
}
