//! Rows on banks: which the TPM keeps, what proves it, and which of them were left blank.

use holdfast_proof::audit::{rp_hash, session_digest};
use holdfast_proof::policy::{CommandCode, cp_hash};
use holdfast_proof::tpm::{Digest, HashAlg, PcrSelection, PcrValues};
use holdfast_protocol::evidence::Check;

use super::{Row, signed, travelling};
use crate::software_tpm::{Parts, Scene, banks, pcr, supplied};
use crate::verify_host::Required;

const BANKS: Check = Check::PcrBanks;
const BLANK: Check = Check::BlankBank;
const REQUIRED: [u8; 6] = [0, 2, 4, 7, 9, 11];
/// TPM_CAP_PCRS, 0, 1.
const ASKED: [u8; 12] = [0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1];

pub(super) const ROWS: &[Row] = &[
    signed("banks: not proven", BANKS, |_, parts| parts.banks = None),
    signed(
        "banks: one hidden from what is shown",
        BANKS,
        |scene, parts| {
            proven(scene, parts, &[HashAlg::Sha256, HashAlg::Sha384]);
            shown(parts, banks(&[HashAlg::Sha256]));
        },
    ),
    signed(
        "banks: one that is off is shown instead",
        BANKS,
        |_, parts| shown(parts, banks(&[HashAlg::Sha384])),
    ),
    signed("banks: none shown", BANKS, |_, parts| {
        shown(parts, vec![0; 4]);
    }),
    signed("banks: another pcr shown", BANKS, |_, parts| {
        // The first PCRs of SHA-256: all but PCR 1, which nobody wants.
        let mut list = banks(&[HashAlg::Sha256]);
        list[7] = 0xfd;
        shown(parts, list);
    }),
    signed(
        "banks: active, proven, and not quoted",
        Check::PcrSelection,
        |scene, parts| proven(scene, parts, &[HashAlg::Sha256, HashAlg::Sha384]),
    ),
    signed("banks: an unknown one is active", BANKS, |scene, parts| {
        let list = [
            &[0, 0, 0, 2, 0, 0x12, 3, 1, 0, 0][..],
            &banks(&[HashAlg::Sha256])[4..],
        ];
        proven_list(scene, parts, list.concat());
    }),
    signed(
        "banks: one is active that policy does not name",
        BANKS,
        |scene, parts| {
            let named = REQUIRED.map(pcr);
            scene.policy.required = Required::Banks(PcrSelection::of(HashAlg::Sha256, named));
            proven(scene, parts, &[HashAlg::Sha1, HashAlg::Sha256]);
        },
    ),
    signed("banks: sha-1 alone is active", BANKS, |scene, parts| {
        proven(scene, parts, &[HashAlg::Sha1]);
    }),
    signed(
        "banks: no strong one has every required pcr",
        BANKS,
        |scene, parts| {
            let mut list = banks(&[HashAlg::Sha256]);
            list[8] = 0xf7;
            proven_list(scene, parts, list);
        },
    ),
    signed("banks: of another nonce", Check::Binding, |_, parts| {
        audit(parts).extra_data[0] ^= 1;
    }),
    signed(
        "banks: a quote for the audit",
        Check::AttestType,
        |_, parts| {
            *audit(parts) = parts.quote.clone();
        },
    ),
    travelling(
        "banks: signed by another tpm's key",
        Check::Signature,
        |_, all| {
            let other = Scene::new();
            let proven = all.banks.as_mut().unwrap();
            proven.audited = other.tpm.sign_bytes(proven.audited.attest.clone());
        },
    ),
    signed(
        "banks: of another boot of the tpm",
        Check::Clock,
        |_, parts| {
            audit(parts).clock.reset_count -= 1;
        },
    ),
    signed("sessionDigest: one bit", BANKS, |_, parts| {
        *audit(parts).body.last_mut().unwrap() ^= 1;
    }),
    signed("sessionDigest: empty", BANKS, |_, parts| {
        audit(parts).body = vec![1, 0, 0];
    }),
    signed("sessionDigest: of no command", BANKS, |_, parts| {
        audited(parts, &[0; 32]);
    }),
    signed(
        "sessionDigest: of another command",
        BANKS,
        |scene, parts| {
            seen(scene, parts, CommandCode::new(0x0000_017b), &ASKED, 0, 1);
        },
    ),
    signed(
        "sessionDigest: of other parameters",
        BANKS,
        |scene, parts| {
            seen(scene, parts, CommandCode::GET_CAPABILITY, &[0; 12], 0, 1);
        },
    ),
    signed(
        "sessionDigest: of an answer with more to come",
        BANKS,
        |scene, parts| {
            seen(scene, parts, CommandCode::GET_CAPABILITY, &ASKED, 1, 1);
        },
    ),
    signed(
        "sessionDigest: of the command twice",
        BANKS,
        |scene, parts| {
            seen(scene, parts, CommandCode::GET_CAPABILITY, &ASKED, 0, 2);
        },
    ),
    travelling(
        "exclusiveSession: neither",
        Check::Structure,
        |scene, all| {
            let proven = all.banks.as_mut().unwrap();
            let mut attest = proven.audited.attest.clone();
            let at = attest.len() - 35;
            attest[at] = 2;
            proven.audited = scene.tpm.sign_bytes(attest);
        },
    ),
    travelling("banks: a byte behind them", Check::Structure, |_, all| {
        all.banks.as_mut().unwrap().banks.push(0);
    }),
    travelling("banks: one twice", Check::Structure, |_, all| {
        let list = &mut all.banks.as_mut().unwrap().banks;
        *list = [&[0, 0, 0, 2], &list[4..], &list[4..]].concat();
    }),
    travelling("banks: more than there are", Check::Structure, |_, all| {
        all.banks.as_mut().unwrap().banks = vec![0xff; 4];
    }),
    signed(
        "blank: a bank beside one that was measured into",
        BLANK,
        |scene, parts| {
            blank(scene, parts, HashAlg::Sha384, 0);
        },
    ),
    signed(
        "blank: a bank whose tpm was started in another locality",
        BLANK,
        |scene, parts| blank(scene, parts, HashAlg::Sha384, 3),
    ),
    signed("blank: that of sha-1", BLANK, |scene, parts| {
        blank(scene, parts, HashAlg::Sha1, 0);
    }),
    signed(
        "blank: but for what an attacker put after the boot's pcrs",
        BLANK,
        |scene, parts| {
            blank(scene, parts, HashAlg::Sha384, 0);
            let (mut pcrs, eleven) = (PcrValues::new(), HashAlg::Sha384.digest(b"unified kernel"));
            for (index, value) in scene.tpm.pcrs.iter() {
                let other = index.get() == 11 && value.alg() == HashAlg::Sha384;
                let value = if other { &eleven } else { value };
                assert!(pcrs.insert(index, value.clone()));
            }
            scene.tpm.pcrs = pcrs;
            requote(scene, parts);
        },
    ),
    signed("blank: the only bank, with a log", BLANK, |scene, parts| {
        let mut pcrs = PcrValues::new();
        for (index, value) in scene.tpm.pcrs.iter() {
            let zero = Digest::new(HashAlg::Sha256, &[0; 32]).unwrap();
            let value = if index.get() > 7 { value } else { &zero };
            assert!(pcrs.insert(index, value.clone()));
        }
        scene.tpm.pcrs = pcrs;
        requote(scene, parts);
    }),
    signed(
        "log: no digests of a bank that was extended all the same",
        Check::EventLog,
        |scene, parts| {
            for index in REQUIRED {
                let value = HashAlg::Sha384.digest(&[index]);
                assert!(scene.tpm.pcrs.insert(pcr(index), value));
            }
            proven(scene, parts, &[HashAlg::Sha256, HashAlg::Sha384]);
            requote(scene, parts);
        },
    ),
];

pub(super) const SAME: &[Row] = &[
    // The TPM alone says so, and no command that came in between can have changed the banks.
    signed("exclusiveSession: no", BANKS, |_, parts| {
        audit(parts).body[0] = 0
    }),
    signed(
        "banks: an empty one that nobody knows",
        BANKS,
        |scene, parts| {
            let list = [
                &[0, 0, 0, 2, 0, 0x12, 3, 0, 0, 0][..],
                &banks(&[HashAlg::Sha256])[4..],
            ];
            proven_list(scene, parts, list.concat());
        },
    ),
];

fn audit(parts: &mut Parts) -> &mut crate::software_tpm::Statement {
    &mut parts.banks.as_mut().unwrap().1
}

fn shown(parts: &mut Parts, list: Vec<u8>) {
    parts.banks.as_mut().unwrap().0 = list;
}

/// The TPM keeps these banks, and proves it; what is quoted is not changed.
fn proven(scene: &mut Scene, parts: &mut Parts, algs: &[HashAlg]) {
    proven_list(scene, parts, banks(algs));
}

fn proven_list(scene: &mut Scene, parts: &mut Parts, list: Vec<u8>) {
    let extra = audit(parts).extra_data.clone();
    let audit = scene.tpm.audit_banks(&list, &extra);
    scene.tpm.banks.clone_from(&list);
    parts.banks = Some((list, audit));
}

/// Quotes what is required of the TPM's banks, and sends those values.
fn requote(scene: &mut Scene, parts: &mut Parts) {
    let good = scene.parts_for(
        &crate::software_tpm::node_key(crate::software_tpm::SIGNING).0,
        parts.csr.clone(),
    );
    parts.quote = good.quote;
    parts.pcrs = supplied(&scene.tpm.pcrs);
}

/// The TPM keeps a bank more, which is proven and quoted, and which nobody measured into.
fn blank(scene: &mut Scene, parts: &mut Parts, alg: HashAlg, locality: u8) {
    for index in REQUIRED {
        let mut value = vec![0; alg.digest_len()];
        if index == 0 {
            *value.last_mut().unwrap() = locality;
        }
        let value = Digest::new(alg, &value).unwrap();
        assert!(scene.tpm.pcrs.insert(pcr(index), value));
    }
    proven(scene, parts, &[HashAlg::Sha256, alg]);
    requote(scene, parts);
}

/// The audit's digest is this.
fn audited(parts: &mut Parts, digest: &[u8; 32]) {
    audit(parts).body = [&[1, 0, 32][..], digest].concat();
}

/// The session saw this command so many times, with the answer that the banks need.
fn seen(
    scene: &Scene,
    parts: &mut Parts,
    command: CommandCode,
    asked: &[u8],
    more: u8,
    times: usize,
) {
    let answer = [&[more, 0, 0, 0, 5][..], &scene.tpm.banks].concat();
    let one = (cp_hash(command, &[], asked), rp_hash(command, &answer));
    audited(parts, session_digest(&vec![one; times]).as_bytes());
}
