//! Rows on the shape of evidence: what is longer, shorter or other than its place allows.

use holdfast_protocol::evidence::Check;

use super::super::check_of;
use super::{Row, signed, travelling};
use crate::software_tpm::Scene;

const STRUCTURE: Check = Check::Structure;
const SIGNATURE: Check = Check::Signature;

pub(super) const ROWS: &[Row] = &[
    travelling("quote: empty", STRUCTURE, |_, all| all.quote.attest.clear()),
    travelling("quote: a byte behind it", STRUCTURE, |_, all| {
        all.quote.attest.push(0);
    }),
    travelling("quote: oversized", STRUCTURE, |_, all| {
        all.quote.attest.resize(4097, 0);
    }),
    travelling("quote: one bit of its digest", SIGNATURE, |_, all| {
        *all.quote.attest.last_mut().unwrap() ^= 1;
    }),
    travelling("signature: empty", STRUCTURE, |_, all| {
        all.quote.signature.clear();
    }),
    travelling("signature: a byte behind it", STRUCTURE, |_, all| {
        all.quote.signature.push(0);
    }),
    travelling("signature: oversized", STRUCTURE, |_, all| {
        all.quote.signature.resize(16 * 1024, 0);
    }),
    travelling("signature: one bit of r", SIGNATURE, |_, all| {
        all.quote.signature[6] ^= 1;
    }),
    travelling("signature: one bit of s", SIGNATURE, |_, all| {
        all.quote.signature[40] ^= 1;
    }),
    travelling("signature: r zero", SIGNATURE, |_, all| {
        all.quote.signature[6..38].fill(0);
    }),
    travelling("signature: s zero", SIGNATURE, |_, all| {
        all.quote.signature[40..72].fill(0);
    }),
    travelling("signature: r and s zero", SIGNATURE, |_, all| {
        all.quote.signature[6..38].fill(0);
        all.quote.signature[40..72].fill(0);
    }),
    travelling("signature: r and s empty", SIGNATURE, |_, all| {
        all.quote.signature = vec![0, 0x18, 0, 0x0b, 0, 0, 0, 0];
    }),
    travelling("signature: r and s exchanged", SIGNATURE, |_, all| {
        let (r, s) = (6..38, 40..72);
        let old = all.quote.signature.clone();
        all.quote.signature[r.clone()].copy_from_slice(&old[s.clone()]);
        all.quote.signature[s].copy_from_slice(&old[r]);
    }),
    travelling(
        "signature: r longer than p-384 has it",
        STRUCTURE,
        |_, all| {
            all.quote.signature = [&[0, 0x18, 0, 0x0b, 0, 49][..], &[1; 49], &[0, 0]].concat();
        },
    ),
    travelling("signature: said to be with sha-384", SIGNATURE, |_, all| {
        all.quote.signature[3] = 0x0c;
    }),
    travelling("signature: said to be with sha-1", SIGNATURE, |_, all| {
        all.quote.signature[3] = 0x04;
    }),
    travelling(
        "signature: with a hash that nobody has",
        STRUCTURE,
        |_, all| {
            all.quote.signature[3] = 0xff;
        },
    ),
    travelling("signature: ecdaa", STRUCTURE, |_, all| {
        all.quote.signature[1] = 0x1a;
    }),
    travelling("signature: hmac", STRUCTURE, |_, all| {
        all.quote.signature[1] = 0x05;
    }),
    travelling("signature: null", STRUCTURE, |_, all| {
        all.quote.signature = vec![0, 0x10];
    }),
    travelling(
        "signature: rsa-ssa under an ecc key",
        SIGNATURE,
        |_, all| {
            all.quote.signature = [&[0, 0x14, 0, 0x0b, 1, 0][..], &[7; 256]].concat();
        },
    ),
    travelling(
        "signature: rsa-pss under an ecc key",
        SIGNATURE,
        |_, all| {
            all.quote.signature = [&[0, 0x16, 0, 0x0b, 1, 0][..], &[7; 256]].concat();
        },
    ),
    travelling("node key: empty", STRUCTURE, |_, all| all.node_key.clear()),
    travelling("node key: a byte behind it", STRUCTURE, |_, all| {
        all.node_key.push(0);
    }),
    travelling("node key: oversized", STRUCTURE, |_, all| {
        all.node_key.resize(1025, 0);
    }),
    travelling("node key: a reserved attribute", STRUCTURE, |_, all| {
        all.node_key[4] |= 0x80;
    }),
    travelling("node key: a symmetric cipher", STRUCTURE, |_, all| {
        all.node_key[1] = 0x25;
    }),
    travelling("node key: with its length in front", STRUCTURE, |_, all| {
        let length = u16::try_from(all.node_key.len()).unwrap().to_be_bytes();
        all.node_key = [&length[..], &all.node_key].concat();
    }),
    travelling("node key and quote exchanged", STRUCTURE, |_, all| {
        std::mem::swap(&mut all.node_key, &mut all.quote.attest);
    }),
    travelling("quote and its signature exchanged", STRUCTURE, |_, all| {
        std::mem::swap(&mut all.quote.attest, &mut all.quote.signature);
    }),
    signed(
        "audit counter: an nv certification of 2 KB",
        Check::AuditCounter,
        |scene, parts| {
            let name = scene.tpm.audit_counter.name().to_sized();
            parts.audit_counter_certified.body = [&name[..], &[0, 0, 8, 0], &[0; 2048]].concat();
        },
    ),
    signed(
        "audit counter: contents above their limit",
        STRUCTURE,
        |scene, parts| {
            let name = scene.tpm.audit_counter.name().to_sized();
            parts.audit_counter_certified.body = [&name[..], &[0, 0, 8, 1], &[0; 2049]].concat();
        },
    ),
    signed(
        "node key's certification: name of no algorithm",
        STRUCTURE,
        |_, parts| {
            parts.node_key_certified.body[3] = 0xff;
        },
    ),
    signed(
        "node key's certification: name empty",
        STRUCTURE,
        |_, parts| {
            parts.node_key_certified.body = vec![0, 0, 0, 0];
        },
    ),
];

#[test]
fn a_node_key_at_every_length_but_its_own() {
    let scene = Scene::new();
    let evidence = scene.sign(scene.parts());
    for length in 0..evidence.node_key.len() {
        let mut evidence = evidence.clone();
        evidence.node_key.truncate(length);
        assert_eq!(check_of(&scene, &evidence), STRUCTURE, "{length}");
    }
}
