//! How much evidence one core judges, beside raw P-256 verifications of the same run. A benchmark: `packaging/bench.sh fleet`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use holdfast_proof::event_log;
use holdfast_proof::ima::{AllowList, Policy};
use holdfast_proof::tpm::{Attested, Digest, HashAlg, PcrValues, Signature, pcr_digest};
use holdfast_protocol::evidence::{Evidence, ImaEnd, ImaList};

use super::event_log::showing;
use super::ima::builder::{MeasuredList, sha256};
use crate::attestation_key::{AttestationKey, Unverified};
use crate::software_tpm::firmware::{event, event_log as firmware_log};
use crate::software_tpm::{Scene, pcr};
use crate::verify_host::{ImaPolicy, Required};

/// All are measured for as long, in turns.
const TURNS: u32 = 20;
const TURN: Duration = Duration::from_millis(100);

/// What a busy host's evidence has.
const EVENTS: usize = 100;
const ENTRIES: usize = 5_000;

#[test]
#[ignore = "a benchmark"]
fn evidence_judged_by_one_core() {
    let scene = Scene::new();
    let evidence = scene.sign(scene.parts());
    let (busy, large) = busy();
    assert!(scene.verify(&evidence).1.is_ok());
    assert!(busy.verify(&large).1.is_ok());

    let ak = AttestationKey::new(&scene.tpm.ek_public, &scene.tpm.ak_public).unwrap();
    let quote = Unverified::parse(&evidence.quote).unwrap();
    let Signature::Ecdsa(signature) = &quote.signature else {
        panic!("an ECDSA signature");
    };
    let der = signature.to_der();
    let holdfast_proof::tpm::PublicKey::Ecc(point) = scene.tpm.ak_public.key().unwrap() else {
        panic!("a key on a curve");
    };
    let raw = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point.to_sec1());

    let mut done = [0_u64; 4];
    for _ in 0..TURNS {
        done[0] += turn(|| {
            raw.verify(black_box(quote.attest.as_bytes()), &der)
                .unwrap()
        });
        done[1] += turn(|| judge_quote(&ak, &scene, black_box(&evidence)));
        done[2] += turn(|| assert!(scene.verify(black_box(&evidence)).1.is_ok()));
        done[3] += turn(|| assert!(busy.verify(black_box(&large)).1.is_ok()));
    }
    let [raw, quotes, whole, large] = done.map(|count| count as f64 / (TURN * TURNS).as_secs_f64());
    println!("judged by one core                        rate    raw P-256   ratio   goal");
    for (what, rate, goal) in [
        ("a quote: signature, nonce, PCR digest", quotes, ">= 0.5"),
        ("evidence: every check, 5 signatures", whole, "-"),
        (
            "the same, 100 events, 5,000 IMA entries",
            large,
            ">= 1,000/s",
        ),
    ] {
        println!(
            "{what:<40} {rate:>7.0}/s {raw:>9.0}/s {:>6.2}   {goal}",
            rate / raw
        );
    }
}

fn turn(mut work: impl FnMut()) -> u64 {
    let started = Instant::now();
    let mut count = 0;
    while started.elapsed() < TURN {
        work();
        count += 1;
    }
    count
}

/// As the verifier does, for one of its five signatures.
fn judge_quote(ak: &AttestationKey, scene: &Scene, evidence: &Evidence) {
    let quote = Unverified::parse(&evidence.quote).unwrap();
    ak.verify(&quote).unwrap();
    let Attested::Quote(quoted) = quote.attest.attested() else {
        panic!("a quote");
    };
    let required = scene.policy.required.unproven();
    assert!(quoted.selection.iter().eq(required.iter()));
    let mut values = PcrValues::new();
    for value in &evidence.pcrs {
        let alg = HashAlg::from_id(value.bank).unwrap();
        let digest = Digest::new(alg, &value.value).unwrap();
        assert!(values.insert(pcr(u8::try_from(value.index).unwrap()), digest));
    }
    let digest = pcr_digest(HashAlg::Sha256, &quoted.selection, &values).unwrap();
    assert_eq!(digest.as_bytes(), quoted.pcr_digest.as_bytes());
}

/// A host that has measured much since it was attested last, and its evidence.
fn busy() -> (Scene, Evidence) {
    let mut log = firmware_log();
    for number in 4..EVENTS {
        log.extend(event(4, 8, &number.to_le_bytes()));
    }
    let mut list = MeasuredList::new().boot_aggregate([1; 32]);
    let mut allow = AllowList::default();
    for number in 1..ENTRIES {
        let (path, content) = (format!("/usr/bin/{number}"), number.to_le_bytes());
        let digest = data_encoding::HEXLOWER.encode(&sha256(&content));
        allow.add(&format!("{digest}  {path}")).unwrap();
        list = list.file(&path, &content);
    }
    allow.finish();

    let mut scene = Scene::new();
    scene.policy.ima = ImaPolicy::Enforce(Arc::new(Policy {
        allow,
        ..Policy::default()
    }));
    let all = [0, 2, 4, 7, 9, 10, 11].map(pcr);
    scene.policy.required = Required::Active(all.into());
    let measured = event_log::replay(&log).unwrap().values;
    let mut pcrs = PcrValues::new();
    for (index, value) in scene.tpm.pcrs.iter() {
        let value = measured.value(HashAlg::Sha256, index).unwrap_or(value);
        assert!(pcrs.insert(index, value.clone()));
    }
    assert!(pcrs.insert(pcr(10), Digest::new(HashAlg::Sha256, &list.pcr).unwrap()));
    scene.host.reference.0 = pcrs.clone();
    scene.tpm.pcrs = pcrs;
    let mut parts = showing(&scene, log);
    parts.ima = Some(ImaList {
        first: 0,
        entries: list.bytes,
        end: ImaEnd::Whole,
    });
    let evidence = scene.sign(parts);
    (scene, evidence)
}
