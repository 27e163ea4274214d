//! What all attested structures have: each field of each, spoiled alone and signed by the AK.

use holdfast_proof::tpm::{HashAlg, Name, Safe};
use holdfast_protocol::evidence::{Check, Evidence};

use super::super::check_of;
use crate::attestation_key::qualified_name;
use crate::software_tpm::{Parts, Scene, Statement};

type Pick = fn(&mut Parts) -> &mut Statement;
type Place = fn(&mut Evidence) -> &mut holdfast_protocol::evidence::Signed;

const STRUCTURES: [(&str, Pick, Place); 4] = [
    ("quote", |parts| &mut parts.quote, |all| &mut all.quote),
    (
        "node key's certification",
        |parts| &mut parts.node_key_certified,
        |all| &mut all.node_key_certified,
    ),
    (
        "audit counter's certification",
        |parts| &mut parts.audit_counter_certified,
        |all| &mut all.audit_counter_certified,
    ),
    (
        "audit of the banks",
        |parts| &mut parts.banks.as_mut().unwrap().1,
        |all| &mut all.banks.as_mut().unwrap().audited,
    ),
];

type Spoil = fn(&Scene, &mut Statement);

/// Field, the check that refuses it, and what is changed.
const FIELDS: &[(&str, Check, Spoil)] = &[
    ("magic: one bit", Check::Structure, |_, s| s.magic ^= 1),
    ("magic: zero", Check::Structure, |_, s| s.magic = 0),
    ("type: time", Check::Structure, |_, s| s.kind = 0x8019),
    ("type: creation", Check::Structure, |_, s| s.kind = 0x801a),
    ("type: command audit", Check::Structure, |_, s| {
        s.kind = 0x8015;
    }),
    ("type: nv digest", Check::Structure, |_, s| s.kind = 0x801c),
    ("type: zero", Check::Structure, |_, s| s.kind = 0),
    (
        "qualifiedSigner: the ak's plain name",
        Check::Signature,
        |scene, s| s.signer = scene.tpm.ak_public.name(),
    ),
    (
        "qualifiedSigner: below the owner",
        Check::Signature,
        |scene, s| {
            let ak = scene.tpm.ak_public.name();
            s.signer = qualified_name(HashAlg::Sha256, &Name::owner(), &ak);
        },
    ),
    (
        "qualifiedSigner: straight below the endorsement hierarchy",
        Check::Signature,
        |scene, s| {
            let ak = scene.tpm.ak_public.name();
            s.signer = qualified_name(HashAlg::Sha256, &Name::endorsement(), &ak);
        },
    ),
    ("qualifiedSigner: a handle", Check::Signature, |_, s| {
        s.signer = Name::endorsement();
    }),
    ("extraData: one bit", Check::Binding, |_, s| {
        s.extra_data[31] ^= 1;
    }),
    ("extraData: empty", Check::Binding, |_, s| {
        s.extra_data.clear();
    }),
    ("extraData: truncated", Check::Binding, |_, s| {
        s.extra_data.truncate(31);
    }),
    ("extraData: a byte more", Check::Binding, |_, s| {
        s.extra_data.push(0);
    }),
    ("extraData: oversized", Check::Structure, |_, s| {
        s.extra_data.resize(67, 0);
    }),
    ("clock: back", Check::Clock, |_, s| s.clock.clock_ms -= 1),
    ("clock: zero", Check::Clock, |_, s| s.clock.clock_ms = 0),
    ("resetCount: back", Check::Clock, |_, s| {
        s.clock.reset_count -= 1;
    }),
    ("resetCount: ahead of the others", Check::Clock, |_, s| {
        s.clock.reset_count += 1;
    }),
    ("restartCount: back", Check::Clock, |_, s| {
        s.clock.restart_count -= 1;
    }),
    ("restartCount: ahead of the others", Check::Clock, |_, s| {
        s.clock.restart_count += 1;
    }),
    ("safe: no, with the clock back", Check::Clock, |_, s| {
        s.clock.safe = Safe::No;
        s.clock.clock_ms -= 1;
    }),
    (
        "firmwareVersion: not the others'",
        Check::Firmware,
        |_, s| s.firmware += 1,
    ),
    ("attested: empty", Check::Structure, |_, s| s.body.clear()),
    ("attested: a byte less", Check::Structure, |_, s| {
        s.body.pop();
    }),
    ("attested: a byte more", Check::Structure, |_, s| {
        s.body.push(0);
    }),
    ("attested: oversized", Check::Structure, |_, s| {
        s.body.resize(4096, 0);
    }),
];

#[test]
fn each_field_of_each_structure() {
    for (structure, pick, _) in STRUCTURES {
        for (field, check, spoil) in FIELDS {
            let scene = Scene::new();
            let mut parts = scene.parts();
            spoil(&scene, pick(&mut parts));
            let evidence = scene.sign(parts);
            assert_eq!(check_of(&scene, &evidence), *check, "{structure}, {field}");
        }
    }
}

/// No `Statement` can say these: the AK signs the bytes.
#[test]
fn bytes_that_no_field_holds() {
    for (structure, pick, place) in STRUCTURES {
        let scene = Scene::new();
        let mut parts = scene.parts();
        let body = pick(&mut parts).body.len();
        let evidence = scene.sign(parts);
        let resigned = |spoil: &dyn Fn(&mut Vec<u8>)| {
            let mut evidence = evidence.clone();
            let signed = place(&mut evidence);
            let mut attest = signed.attest.clone();
            spoil(&mut attest);
            *signed = scene.tpm.sign_bytes(attest);
            check_of(&scene, &evidence)
        };
        let safe_from_end = body + 9;
        let check = resigned(&|attest| {
            let at = attest.len() - safe_from_end;
            assert_eq!(attest[at], 1);
            attest[at] = 2;
        });
        assert_eq!(check, Check::Structure, "{structure}, safe: neither");
        let whole = place(&mut evidence.clone()).attest.len();
        for length in 0..whole {
            let check = resigned(&|attest| attest.truncate(length));
            assert_eq!(check, Check::Structure, "{structure}, {length} bytes of it");
        }
    }
}

#[test]
fn each_structure_only_in_its_place() {
    for (wanted, _, place) in STRUCTURES {
        for (found, _, other) in STRUCTURES.iter().filter(|(name, ..)| *name != wanted) {
            let scene = Scene::new();
            let mut evidence = scene.sign(scene.parts());
            *place(&mut evidence) = other(&mut evidence).clone();
            assert_eq!(
                check_of(&scene, &evidence),
                Check::AttestType,
                "{found} for {wanted}"
            );
        }
    }
}

#[test]
fn each_structure_only_with_its_own_signature() {
    let elsewhere = Scene::new();
    for (structure, _, place) in STRUCTURES {
        let scene = Scene::new();
        let evidence = scene.sign(scene.parts());
        let spoiled = |spoil: &dyn Fn(&mut holdfast_protocol::evidence::Signed)| {
            let mut evidence = evidence.clone();
            spoil(place(&mut evidence));
            check_of(&scene, &evidence)
        };
        let other = |pick: Place| pick(&mut evidence.clone()).signature.clone();
        for (name, _, pick) in STRUCTURES.iter().filter(|(name, ..)| *name != structure) {
            let check = spoiled(&|signed| signed.signature = other(*pick));
            assert_eq!(
                check,
                Check::Signature,
                "{structure} with that of the {name}"
            );
        }
        let check = spoiled(&|signed| *signed = elsewhere.tpm.sign_bytes(signed.attest.clone()));
        assert_eq!(check, Check::Signature, "{structure} of another tpm's ak");
        let whole = other(place).len();
        for length in 0..whole {
            let check = spoiled(&|signed| signed.signature.truncate(length));
            assert_eq!(
                check,
                Check::Structure,
                "{structure}, {length} bytes of its signature"
            );
        }
    }
}
