#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::path::PathBuf;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use holdfast_proof::hash::canonical_json;
use holdfast_proof::tpm::EccCurve;
use holdfast_protocol::Timestamp;
use holdfast_protocol::call::{Caller, Channel, Effect, HumanUid, ToolCall};
use holdfast_protocol::grade::{Level, SessionUid};
use holdfast_protocol::id::{CallId, HostId, SessionId, SpiffeId};
use holdfast_protocol::receipt::{Consent, ConsentFormat};
use serde_json::{Value, json};

use super::*;

fn call() -> ToolCall {
    let session = SessionId::from_random([2; 16]);
    let domain = "example.org".parse().unwrap();
    let kind = "claude".parse().unwrap();
    ToolCall {
        id: CallId::from_random([3; 16]),
        caller: Caller {
            session,
            spiffe_id: SpiffeId::session(&domain, HostId::from_random([1; 16]), &kind, session),
            kind,
            level: Level::L3,
            human: HumanUid(1000),
            runs_as: SessionUid::Own,
        },
        channel: Channel::Hook,
        tool: "Bash".to_owned().try_into().unwrap(),
        arguments: json!({ "command": "git push origin main", "timeout": 0.1 }),
        cwd: PathBuf::from("/home/dev/project"),
        effects: vec![Effect::Runs {
            program: "git".to_owned(),
        }],
        received: Timestamp::from_secs(1_790_000_000),
    }
}

/// An approval key.
struct Human {
    pair: EcdsaKeyPair,
    key: EccPublicKey,
}

impl Human {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let key = EccPublicKey::from_sec1(EccCurve::P256, pair.public_key().as_ref()).unwrap();
        Self { pair, key }
    }

    fn spki(&self) -> Vec<u8> {
        PublicKey::Ecc(self.key.clone()).to_spki_der()
    }

    fn consents(&self, call: &ToolCall) -> Receipt {
        let consent = Consent {
            format: ConsentFormat::V1,
            call: call.id,
            call_digest: canonical_digest(call).unwrap(),
            policy_digest: sha256(b"policy"),
            human: call.caller.human,
            nonce: sha256(b"nonce"),
            asked: Timestamp::from_secs(1_790_000_001),
        };
        let signed = canonical_json(&consent).unwrap();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap();
        Receipt {
            consent,
            proof: ConsentProof::TpmPin {
                public_key: HEXLOWER.encode(&self.spki()),
                signature: HEXLOWER.encode(signature.as_ref()),
            },
            given: Timestamp::from_secs(1_790_000_002),
        }
    }

    /// The log of one approved call: enrollment, question, approval, decision.
    fn log(&self, call: &ToolCall) -> Vec<Value> {
        vec![
            self.enrollment(0, 1000),
            decision(
                1,
                call,
                &json!({ "verdict": "step-up", "tier": "R2", "because": because() }),
            ),
            approval(2, &self.consents(call)),
            decision(
                3,
                call,
                &json!({ "verdict": "allow", "because": because() }),
            ),
        ]
    }

    fn enrollment(&self, index: u64, human: u32) -> Value {
        json!({
            "class_uid": 3004,
            "activity_name": "Enroll",
            "metadata": { "sequence": index },
            "entity": { "name": sha256(&self.spki()), "type": "Approval Key", "uid": human.to_string() },
        })
    }
}

fn because() -> Value {
    json!({ "rule": "default/push-protected", "text": "this pushes to a protected branch" })
}

fn decision(index: u64, call: &ToolCall, verdict: &Value) -> Value {
    json!({
        "class_uid": 6003,
        "activity_name": "Invoke",
        "metadata": { "sequence": index },
        "message": "Bash of claude",
        "actor": { "app_name": call.caller.kind, "user": { "uid": call.caller.human.0.to_string() } },
        "api": {
            "service": { "name": call.tool },
            "request": { "uid": call.id, "data": call.arguments.to_string() },
        },
        "src_endpoint": { "uid": call.caller.session, "name": call.caller.spiffe_id },
        "unmapped": {
            "channel": call.channel,
            "level": call.caller.level,
            "digest": canonical_digest(call).unwrap(),
            "received": call.received,
            "cwd": call.cwd,
            "effects": call.effects,
            "verdict": verdict,
        },
    })
}

fn approval(index: u64, receipt: &Receipt) -> Value {
    json!({
        "class_uid": 6003,
        "activity_name": "Approve",
        "metadata": { "sequence": index },
        "actor": { "user": { "uid": receipt.consent.human.0.to_string() } },
        "api": { "request": { "uid": receipt.consent.call } },
        "unmapped": { "receipt": receipt },
    })
}

/// Judges the first approval of a log, as it would be read back from a file.
fn judged(events: &[Value], known: Option<&EccPublicKey>) -> Result<Proven, Unproven> {
    let mut evidence = Evidence::default();
    for event in events {
        let stored = event.to_string();
        evidence
            .take(&serde_json::from_str(&stored).unwrap())
            .unwrap();
    }
    let first = evidence.approvals().next().unwrap();
    judge(&evidence, first, known)
}

fn set(event: &mut Value, pointer: &str, value: Value) {
    *event.pointer_mut(pointer).unwrap() = value;
}

#[test]
fn records_of_what_is_recorded_otherwise_now_are_no_hindrance() {
    let human = Human::new();
    let mut log = human.log(&call());
    for old in [
        r#"{"class_uid":1007,"activity_id":99,"activity_name":"Widen","metadata":{"sequence":41},
            "process":{"uid":"aibaeaqcaibaeaqcaibaeaqcai"},
            "unmapped":{"widened_by":[{"way":"reach","what":"localhost:5432"}]}}"#,
        r#"{"class_uid":1007,"activity_id":99,"activity_name":"Lend","metadata":{"sequence":42},
            "process":{"uid":"aibaeaqcaibaeaqcaibaeaqcai"},
            "unmapped":{"hosts":[],"trees":[{"access":"write","place":"/home/ann/data","why":"named"}]}}"#,
    ] {
        log.insert(1, serde_json::from_str(old).unwrap());
    }
    assert_eq!(judged(&log, None).unwrap().record, 2);
}

#[test]
fn a_receipt_among_its_records_holds() {
    let human = Human::new();
    let proven = judged(&human.log(&call()), None).unwrap();
    assert_eq!(proven.vouched, Vouched::Record(0));
    assert_eq!((proven.asked, proven.record), (1, 2));
    assert_eq!(proven.key, sha256(&human.spki()));
    let DecidedCall::Whole(said) = &proven.call else {
        panic!("the call was not put together again");
    };
    assert_eq!(**said, call());

    let text = crate::render::receipt::proven(&[proven])
        .replace(&sha256(&human.spki()).to_string(), "[key]");
    insta::assert_snapshot!(text);
}

#[test]
fn somebody_who_knows_the_key_needs_no_enrollment() {
    let human = Human::new();
    let log = human.log(&call());
    assert_eq!(
        judged(&log, Some(&human.key)).unwrap().vouched,
        Vouched::CallerAndRecord(0)
    );
    assert_eq!(
        judged(&log[1..], Some(&human.key)).unwrap().vouched,
        Vouched::Caller
    );
    assert!(matches!(
        judged(&log[1..], None),
        Err(Unproven::NotEnrolled)
    ));
    assert!(matches!(
        judged(&log, Some(&Human::new().key)),
        Err(Unproven::Receipt(ReceiptRefused::OtherKey))
    ));
}

#[test]
fn a_key_that_is_anothers_or_comes_later_vouches_for_nothing() {
    let human = Human::new();
    let mut log = human.log(&call());
    log[0] = human.enrollment(0, 1001);
    assert!(matches!(
        judged(&log, None),
        Err(Unproven::OtherHuman { owner: 1001 })
    ));
    assert!(matches!(
        judged(&log, Some(&human.key)),
        Err(Unproven::OtherHuman { .. })
    ));
    log[0] = human.enrollment(9, 1000);
    assert!(matches!(judged(&log, None), Err(Unproven::NotEnrolled)));
}

#[test]
fn every_word_of_the_call_is_held_against_what_was_signed() {
    let human = Human::new();
    for (pointer, value) in [
        (
            "/api/request/data",
            json!(r#"{"command":"git status","timeout":0.1}"#),
        ),
        ("/api/service/name", json!("Read")),
        ("/src_endpoint/uid", json!(SessionId::from_random([9; 16]))),
        ("/unmapped/cwd", json!("/home/dev/other")),
        ("/unmapped/effects", json!([])),
        ("/unmapped/channel", json!("mcp")),
        ("/unmapped/level", json!("L1")),
        ("/unmapped/received", json!(5)),
        ("/actor/user/uid", json!("1001")),
        ("/actor/app_name", json!("codex")),
    ] {
        let mut log = human.log(&call());
        set(&mut log[1], pointer, value);
        let refused = judged(&log, None);
        assert!(
            matches!(refused, Err(Unproven::Altered { index: 1, .. })),
            "{pointer}: {refused:?}"
        );
    }
}

#[test]
fn a_record_changed_together_with_its_digest_is_not_what_was_consented_to() {
    let human = Human::new();
    let mut other = call();
    other.arguments = json!({ "command": "git status" });
    let mut log = human.log(&call());
    log[1] = decision(1, &other, &log[1]["unmapped"]["verdict"].clone());
    assert!(matches!(
        judged(&log, None),
        Err(Unproven::OtherDigest { index: 1, .. })
    ));
}

#[test]
fn every_word_of_the_consent_is_signed() {
    let human = Human::new();
    for (pointer, value) in [
        (
            "/unmapped/receipt/consent/policy_digest",
            json!(sha256(b"other")),
        ),
        ("/unmapped/receipt/consent/nonce", json!(sha256(b"other"))),
        (
            "/unmapped/receipt/consent/call_digest",
            json!(sha256(b"other")),
        ),
        ("/unmapped/receipt/consent/asked", json!(1)),
    ] {
        let mut log = human.log(&call());
        set(&mut log[2], pointer, value);
        let refused = judged(&log, None);
        let refused = matches!(refused, Err(Unproven::Receipt(ReceiptRefused::Signature)));
        assert!(refused, "{pointer}");
    }
    let mut log = human.log(&call());
    set(&mut log[2], "/unmapped/receipt/consent/human", json!(1001));
    assert!(matches!(judged(&log, None), Err(Unproven::OtherRecord)));
    let mut log = human.log(&call());
    set(
        &mut log[2],
        "/api/request/uid",
        json!(CallId::from_random([4; 16])),
    );
    assert!(matches!(judged(&log, None), Err(Unproven::OtherRecord)));
}

#[test]
fn a_call_that_nobody_was_asked_about_has_no_consent() {
    let human = Human::new();
    let log = human.log(&call());
    let without = [log[0].clone(), log[2].clone(), log[3].clone()];
    assert!(matches!(judged(&without, None), Err(Unproven::NotAsked)));
    let mut late = human.log(&call());
    set(&mut late[1], "/metadata/sequence", json!(7));
    assert!(matches!(judged(&late, None), Err(Unproven::NotAsked)));
}

#[test]
fn a_consent_serves_once() {
    let human = Human::new();
    let mut log = human.log(&call());
    let mut again = log[2].clone();
    set(&mut again, "/metadata/sequence", json!(4));
    log.push(again);
    assert!(matches!(
        judged(&log, None),
        Err(Unproven::Twice { index: 4 })
    ));
}

#[test]
fn a_call_too_large_for_its_record_is_known_by_its_digest() {
    let human = Human::new();
    let mut log = human.log(&call());
    for decision in [1, 3] {
        let cut = json!("omitted: 100000 bytes, sha256 00");
        set(&mut log[decision], "/api/request/data", cut);
    }
    let proven = judged(&log, None).unwrap();
    assert!(matches!(proven.call, DecidedCall::Cut { .. }));
    insta::assert_snapshot!(
        crate::render::receipt::proven(&[proven])
            .replace(&sha256(&human.spki()).to_string(), "[key]")
    );
}

#[test]
fn the_records_are_those_that_the_log_writes() {
    /// A record that the log's own tests hold fast.
    macro_rules! record {
        ($name:literal) => {
            include_str!(concat!(
                "../../../broker/record-audit/src/ocsf/snapshots/holdfast_record_audit__ocsf__tests__",
                $name,
                ".snap"
            ))
        };
    }
    let mut evidence = Evidence::default();
    for snapshot in [
        record!("factor_enrolled"),
        record!("call_asked"),
        record!("call_approved"),
        record!("call_with_large_arguments"),
        record!("session_started"),
    ] {
        let json = snapshot.splitn(3, "---\n").nth(2).unwrap();
        evidence.take(&serde_json::from_str(json).unwrap()).unwrap();
    }
    let approval = evidence.approvals().next().unwrap();
    let decisions: Vec<_> = evidence.decisions(approval.call).collect();
    assert!(decisions[0].asks && !decisions[1].asks);
    assert!(matches!(decisions[0].call, DecidedCall::Whole(_)));
    assert!(matches!(decisions[1].call, DecidedCall::Cut { .. }));
    assert_eq!(decisions[0].digest, approval.receipt.consent.call_digest);
    assert_eq!(evidence.enrollments(Sha256Digest::new([9; 32])).count(), 1);
}
