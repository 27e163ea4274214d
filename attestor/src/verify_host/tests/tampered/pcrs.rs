//! Rows on PCRs: which were signed, which were sent, and their values.

use holdfast_proof::tpm::{HashAlg, PcrSelection, PcrValues, pcr_digest};
use holdfast_protocol::evidence::{Check, PcrValue};

use super::{Row, signed, travelling};
use crate::registry::ReferencePcrs;
use crate::software_tpm::{Parts, Scene, digest, pcr, supplied};
use crate::verify_host::Required;

const STRUCTURE: Check = Check::Structure;
const SELECTION: Check = Check::PcrSelection;
const DIGEST: Check = Check::PcrDigest;
const REQUIRED: [u8; 6] = [0, 2, 4, 7, 9, 11];

pub(super) const ROWS: &[Row] = &[
    signed(
        "pcrSelect: fewer, and only those sent",
        SELECTION,
        |scene, parts| {
            quote(scene, parts, &sha256(&[0, 2, 4, 7, 9]));
            parts.pcrs.retain(|value| value.index != 11);
        },
    ),
    signed("pcrSelect: fewer, all sent", SELECTION, |scene, parts| {
        quote(scene, parts, &sha256(&[0, 2, 4, 7, 9]));
    }),
    signed(
        "pcrSelect: nothing, and nothing sent",
        SELECTION,
        |scene, parts| {
            quote(scene, parts, &PcrSelection::none());
            parts.pcrs.clear();
        },
    ),
    signed("pcrSelect: nothing, all sent", SELECTION, |scene, parts| {
        quote(scene, parts, &PcrSelection::none());
    }),
    signed(
        "pcrSelect: more, and those sent",
        SELECTION,
        |scene, parts| {
            assert!(scene.tpm.pcrs.insert(pcr(12), digest(12)));
            quote(scene, parts, &sha256(&[0, 2, 4, 7, 9, 11, 12]));
            parts.pcrs = supplied(&scene.tpm.pcrs);
        },
    ),
    signed(
        "pcrSelect: another pcr for one",
        SELECTION,
        |scene, parts| {
            assert!(scene.tpm.pcrs.insert(pcr(16), digest(7)));
            quote(scene, parts, &sha256(&[0, 2, 4, 16, 9, 11]));
        },
    ),
    signed("pcrSelect: another bank", SELECTION, |scene, parts| {
        let blank = blank_bank();
        scene.tpm.pcrs = blank.clone();
        quote(
            scene,
            parts,
            &PcrSelection::of(HashAlg::Sha384, REQUIRED.map(pcr)),
        );
        parts.pcrs = supplied(&blank);
    }),
    signed("pcrSelect: a bank more", SELECTION, |scene, parts| {
        for (index, value) in blank_bank().iter() {
            assert!(scene.tpm.pcrs.insert(index, value.clone()));
        }
        let both = sha256(&REQUIRED).with(HashAlg::Sha384, REQUIRED.map(pcr));
        quote(scene, parts, &both);
        parts.pcrs = supplied(&scene.tpm.pcrs);
    }),
    signed(
        "pcrSelect: a bank that policy wants is missing",
        SELECTION,
        |scene, _| {
            let both = sha256(&REQUIRED).with(HashAlg::Sha384, REQUIRED.map(pcr));
            scene.policy.required = Required::Banks(both);
        },
    ),
    signed("pcrSelect: a bank twice", STRUCTURE, |_, parts| {
        let bank = [0, 0x0b, 3, 0x95, 0x0a, 0];
        select(parts, &[&[0, 0, 0, 2][..], &bank, &bank].concat());
    }),
    signed(
        "pcrSelect: a pcr that no bank has",
        STRUCTURE,
        |_, parts| {
            select(parts, &[0, 0, 0, 1, 0, 0x0b, 4, 0x95, 0x0a, 0, 1]);
        },
    ),
    signed(
        "pcrSelect: a bank that nobody knows",
        STRUCTURE,
        |_, parts| {
            select(parts, &[0, 0, 0, 1, 0, 0x12, 3, 0x95, 0x0a, 0]);
        },
    ),
    signed("pcrSelect: a bitmap of no bytes", STRUCTURE, |_, parts| {
        select(parts, &[0, 0, 0, 1, 0, 0x0b, 0]);
    }),
    signed(
        "pcrSelect: a bitmap of five bytes",
        STRUCTURE,
        |_, parts| {
            select(parts, &[0, 0, 0, 1, 0, 0x0b, 5, 0x95, 0x0a, 0, 0, 0]);
        },
    ),
    signed(
        "pcrSelect: more banks than there are",
        STRUCTURE,
        |_, parts| {
            select(parts, &[0xff, 0xff, 0xff, 0xff]);
        },
    ),
    travelling(
        "pcrSelect: changed after the signature",
        Check::Signature,
        |_, all| {
            // The last byte of the bitmap stands before the digest's length and the digest.
            let at = all.quote.attest.len() - 35;
            all.quote.attest[at] ^= 1;
        },
    ),
    travelling("pcr values: one missing", SELECTION, |_, all| {
        all.pcrs.pop();
    }),
    travelling("pcr values: none", SELECTION, |_, all| all.pcrs.clear()),
    travelling("pcr values: one more, not signed", SELECTION, |_, all| {
        all.pcrs.push(value(0x000b, 12, 32));
    }),
    travelling(
        "pcr values: a bank more, not signed",
        SELECTION,
        |_, all| {
            all.pcrs.push(value(0x000c, 7, 48));
        },
    ),
    travelling(
        "pcr values: said to be of another bank",
        SELECTION,
        |_, all| {
            for value in &mut all.pcrs {
                value.bank = 0x0004;
                value.value.truncate(20);
            }
        },
    ),
    travelling(
        "pcr values: one under another number",
        SELECTION,
        |_, all| {
            all.pcrs[5].index = 12;
        },
    ),
    travelling("pcr values: one twice", STRUCTURE, |_, all| {
        all.pcrs.push(all.pcrs[0].clone());
    }),
    travelling(
        "pcr values: one twice, with another value",
        STRUCTURE,
        |_, all| {
            let mut again = all.pcrs[0].clone();
            again.value[0] ^= 1;
            all.pcrs.push(again);
        },
    ),
    travelling(
        "pcr values: of a bank that nobody knows",
        STRUCTURE,
        |_, all| {
            all.pcrs[0].bank = 0x0012;
        },
    ),
    travelling(
        "pcr values: of a bank that another has the length of",
        STRUCTURE,
        |_, all| {
            all.pcrs[0].bank = 0x0027;
        },
    ),
    travelling("pcr values: number 24", STRUCTURE, |_, all| {
        all.pcrs[0].index = 24;
    }),
    travelling(
        "pcr values: a number that wraps to 0",
        STRUCTURE,
        |_, all| {
            all.pcrs[0].index = 256;
        },
    ),
    travelling("pcr values: one shorter", STRUCTURE, |_, all| {
        all.pcrs[0].value.truncate(31);
    }),
    travelling("pcr values: one longer", STRUCTURE, |_, all| {
        all.pcrs[0].value.push(0);
    }),
    travelling("pcr values: one empty", STRUCTURE, |_, all| {
        all.pcrs[0].value.clear();
    }),
    travelling("pcr values: one bit", DIGEST, |_, all| {
        all.pcrs[3].value[0] ^= 1;
    }),
    travelling("pcr values: two exchanged", DIGEST, |_, all| {
        let first = all.pcrs[0].value.clone();
        all.pcrs[0].value = std::mem::replace(&mut all.pcrs[1].value, first);
    }),
    signed("pcrDigest: one bit", DIGEST, |_, parts| {
        *parts.quote.body.last_mut().unwrap() ^= 1;
    }),
    signed("pcrDigest: empty", DIGEST, |_, parts| {
        parts.quote.body.truncate(10);
        parts.quote.body.extend([0, 0]);
    }),
    signed("pcrDigest: truncated", DIGEST, |_, parts| {
        parts.quote.body.pop();
        parts.quote.body[11] = 31;
    }),
    signed(
        "pcrDigest: with another hash than the key's",
        DIGEST,
        |scene, parts| {
            let pcrs = &scene.tpm.pcrs;
            let digest = pcr_digest(HashAlg::Sha384, &sha256(&REQUIRED), pcrs).unwrap();
            parts.quote.body.truncate(10);
            parts.quote.body.extend([0, 48]);
            parts.quote.body.extend(digest.as_bytes());
        },
    ),
    signed(
        "pcrDigest: longer than any digest",
        STRUCTURE,
        |_, parts| {
            parts.quote.body.truncate(10);
            parts.quote.body.extend([0, 65]);
            parts.quote.body.extend([0; 65]);
        },
    ),
    signed(
        "reference: a blocking pcr has changed",
        Check::PcrReference,
        |scene, _| {
            let mut changed = PcrValues::new();
            for (index, value) in scene.tpm.pcrs.iter() {
                let value = if index == pcr(7) {
                    digest(99)
                } else {
                    value.clone()
                };
                assert!(changed.insert(index, value));
            }
            scene.host.reference = ReferencePcrs(changed);
        },
    ),
];

pub(super) const SAME: &[Row] = &[
    travelling("pcr values: in another order", SELECTION, |_, all| {
        all.pcrs.reverse();
    }),
    signed(
        "pcrSelect: a bitmap of four bytes",
        SELECTION,
        |_, parts| {
            select(parts, &[0, 0, 0, 1, 0, 0x0b, 4, 0x95, 0x0a, 0, 0]);
        },
    ),
    signed(
        "pcrSelect: nothing of a bank that nobody knows",
        SELECTION,
        |_, parts| {
            let (known, unknown) = ([0, 0x0b, 3, 0x95, 0x0a, 0], [0, 0x12, 3, 0, 0, 0]);
            select(parts, &[&[0, 0, 0, 2][..], &known, &unknown].concat());
        },
    ),
];

fn sha256(indices: &[u8]) -> PcrSelection {
    PcrSelection::of(HashAlg::Sha256, indices.iter().copied().map(pcr))
}

/// The required PCRs of a bank that nothing measured into.
fn blank_bank() -> PcrValues {
    let mut values = PcrValues::new();
    for index in REQUIRED {
        let zero = holdfast_proof::tpm::Digest::new(HashAlg::Sha384, &[0; 48]).unwrap();
        assert!(values.insert(pcr(index), zero));
    }
    values
}

fn value(bank: u16, index: u32, length: usize) -> PcrValue {
    let value = vec![0; length];
    PcrValue { bank, index, value }
}

/// Quotes another selection of the TPM's PCRs, for the same nonce and connection.
fn quote(scene: &Scene, parts: &mut Parts, selection: &PcrSelection) {
    let extra = parts.quote.extra_data.clone();
    parts.quote = scene.tpm.quote(selection, &extra);
}

/// Puts other bytes where the selection stands, before the digest.
fn select(parts: &mut Parts, selection: &[u8]) {
    let digest = parts.quote.body.split_off(10);
    parts.quote.body = [selection, &digest].concat();
}
