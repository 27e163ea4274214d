#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use holdfast_proof::hash::canonical_json;
use holdfast_protocol::approval::{PinRecovery, Surface};
use holdfast_protocol::audit::{HeldBecause, HeldOutcome, What};
use holdfast_protocol::beyond::{Beyond, LeaveGiven};
use holdfast_protocol::bounds::{Because, Bound, Bounds};
use holdfast_protocol::call::{Caller, Channel, Effect, HumanUid, Manner, ToolCall};
use holdfast_protocol::decision::{DeniedBy, Reason, Verdict};
use holdfast_protocol::grade::{Grade, Level, SessionUid, Tier};
use holdfast_protocol::id::{CallId, HostId, SessionId, SpiffeId, TrustDomain};
use holdfast_protocol::management::SessionAct;
use holdfast_protocol::measured::MeasuredPackage;
use holdfast_protocol::receipt::{Consent, ConsentFormat, ConsentProof, Receipt};
use holdfast_protocol::run::RunKept;
use holdfast_protocol::sub::{SubRequest, SubSecrets};
use holdfast_protocol::vault::{SecretUse, Sharing};
use holdfast_protocol::{Sha256Digest, Timestamp};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const ORIGIN: &str = "example.org/audit/h1";

fn event(what: What) -> AuditEvent {
    AuditEvent {
        uid: Uuid::from_u128(0x0199_7a4e_0000_7000_8000_0000_0000_0001),
        at: Timestamp::from_millis(1_790_000_000_123),
        what,
    }
}

fn host() -> HostId {
    HostId::from_random([1; 16])
}

fn session() -> SessionId {
    SessionId::from_random([2; 16])
}

fn call_id() -> CallId {
    CallId::from_random([3; 16])
}

fn spiffe_id() -> SpiffeId {
    let domain: TrustDomain = "example.org".parse().unwrap();
    SpiffeId::session(&domain, host(), &"claude".parse().unwrap(), session())
}

fn digest() -> Sha256Digest {
    Sha256Digest::new([9; 32])
}

fn call(arguments: Value) -> ToolCall {
    ToolCall {
        id: call_id(),
        caller: Caller {
            session: session(),
            spiffe_id: spiffe_id(),
            kind: "claude".parse().unwrap(),
            level: Level::L3,
            human: HumanUid(1000),
            runs_as: SessionUid::Own,
        },
        channel: Channel::Hook,
        tool: "Bash".to_owned().try_into().unwrap(),
        arguments,
        cwd: PathBuf::from("/home/dev/project"),
        effects: vec![Effect::Runs {
            program: "git".into(),
        }],
        received: Timestamp::from_secs(1_790_000_000),
    }
}

fn decided(arguments: Value, verdict: Verdict) -> What {
    What::CallDecided {
        call: call(arguments),
        digest: digest(),
        verdict,
    }
}

fn because() -> Reason {
    Reason::new(
        "default/push-protected",
        "this pushes to a protected branch",
    )
}

fn json_at(what: What, index: u64) -> Value {
    let record = Draft::render(ORIGIN, &event(what)).unwrap().at(index);
    let value: Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(canonical_json(&value).unwrap(), record, "not canonical");
    value
}

macro_rules! snapshot {
    ($name:ident, $what:expr) => {
        #[test]
        fn $name() {
            let mut value = json_at($what, 41);
            // A release must not change the snapshots.
            assert_eq!(
                value["metadata"]["product"]["version"].take(),
                env!("CARGO_PKG_VERSION")
            );
            insta::assert_snapshot!(serde_json::to_string_pretty(&value).unwrap());
        }
    };
}

snapshot!(
    log_started,
    What::LogStarted {
        version: "1.2.3".into(),
        grade: Grade::Simulated,
    }
);
snapshot!(log_stopped, What::LogStopped);
snapshot!(log_recovered, What::LogRecovered { records: 40 });
snapshot!(
    ima_list_declared,
    What::ImaListDeclared {
        path: "/run/ima-list".to_owned()
    }
);
snapshot!(
    systemd_log_declared,
    What::SystemdLogDeclared {
        path: "/run/tpm2-measure.log".to_owned()
    }
);
snapshot!(
    time_taken,
    What::TimeTaken {
        system: Timestamp::from_secs(77),
        attestor: Timestamp::from_secs(1_800_000_000),
    }
);
snapshot!(
    host_enrolled,
    What::HostEnrolled {
        attestor: "https://attestor.example.org:8443".into(),
        host: host(),
    }
);
snapshot!(
    host_attested,
    What::HostAttested {
        spiffe_id: spiffe_id(),
        serial: "0a1b".into(),
        not_after: Timestamp::from_secs(1_790_003_600),
    }
);
snapshot!(
    host_held,
    What::HostHeld {
        because: HeldBecause::Banned,
        why: "the attestor has banned it: lost on a train".into(),
    }
);
snapshot!(host_freed, What::HostFreed);
snapshot!(
    session_held,
    What::SessionHeld {
        session: session(),
        outcome: HeldOutcome::Frozen,
    }
);
snapshot!(session_freed, What::SessionFreed { session: session() });
snapshot!(epoch_advanced, What::EpochAdvanced { epoch: 7 });
snapshot!(
    host_not_attested,
    What::HostNotAttested {
        why: "the attestor refused the evidence".into(),
    }
);
snapshot!(
    session_started,
    What::SessionStarted {
        session: session(),
        spiffe_id: spiffe_id(),
        human: HumanUid(1000),
        program: digest(),
        package: None,
        runs_as: SessionUid::Own,
        beyond: Box::default(),
    }
);
snapshot!(
    session_started_under_its_humans_uid,
    What::SessionStarted {
        session: session(),
        spiffe_id: spiffe_id(),
        human: HumanUid(1000),
        program: digest(),
        package: None,
        runs_as: SessionUid::Humans,
        beyond: Box::default(),
    }
);
snapshot!(
    session_started_from_a_package,
    What::SessionStarted {
        session: session(),
        spiffe_id: spiffe_id(),
        human: HumanUid(1000),
        program: digest(),
        package: Some(MeasuredPackage {
            digest: digest(),
            script: "@openai/codex/bin/codex.js".into(),
            name: "@openai/codex".parse().ok(),
        }),
        runs_as: SessionUid::Own,
        beyond: Box::default(),
    }
);
snapshot!(
    launch_refused,
    What::LaunchRefused {
        human: HumanUid(1000),
        kind: "shell".parse().unwrap(),
        program: digest(),
        package: None,
    }
);
snapshot!(
    session_started_beyond_its_usual_world,
    What::SessionStarted {
        session: session(),
        spiffe_id: spiffe_id(),
        human: HumanUid(1000),
        program: digest(),
        package: None,
        runs_as: SessionUid::Own,
        beyond: Box::new(Beyond {
            widenings: vec![
                "--reach localhost:5432".parse().unwrap(),
                "--host crates.io".parse().unwrap(),
                "--publish 8080:80".parse().unwrap(),
                "--rw /home/ann/data".parse().unwrap(),
                "--ro /srv/docs".parse().unwrap(),
                "--unguard .github/workflows".parse().unwrap(),
            ],
            leave: Some(LeaveGiven {
                call: CallId::from_random([5; 16]),
                because: Reason::new("approval/click", "the human approved it with a click"),
            }),
            needed: vec!["/home/ann/.cargo/bin".into()],
            hosts: vec!["models.example".into()],
            kept: RunKept::Fresh,
        }),
    }
);
snapshot!(
    sub_agent_started,
    What::SubAgentStarted {
        session: session(),
        spiffe_id: spiffe_id().sub_agent("sub/2".parse().unwrap()),
        parent: spiffe_id(),
        wish: SubRequest {
            secrets: SubSecrets::None,
            ..SubRequest::default()
        },
    }
);
snapshot!(
    sub_agent_controlled,
    What::SubAgentControlled {
        session: session(),
        sub: "sub/2".parse().unwrap(),
        human: HumanUid(1000),
    }
);
snapshot!(
    sub_agent_ended,
    What::SubAgentEnded {
        session: session(),
        spiffe_id: spiffe_id().sub_agent("sub/2".parse().unwrap()),
    }
);
snapshot!(
    workload_refused,
    What::WorkloadRefused {
        uid: 1000,
        level: Level::L1,
        why: "no registration fits".into(),
    }
);
snapshot!(
    session_controlled,
    What::SessionControlled {
        session: session(),
        human: HumanUid(1000),
        act: SessionAct::Pause,
    }
);
snapshot!(
    session_contained,
    What::SessionContained {
        session: session(),
        level: Level::L1,
        notice: "contained: nobody is kept out".to_owned(),
    }
);
snapshot!(
    session_bounded,
    What::SessionBounded {
        session: session(),
        bounds: Bounds {
            memory: NonZeroU64::new(4 << 30),
            processes: NonZeroU32::new(64),
            idle: NonZeroU32::new(3600),
            ..Bounds::default()
        },
        unkept: vec![Bound::Memory],
    }
);
snapshot!(
    session_stopped,
    What::SessionStopped {
        session: session(),
        act: SessionAct::End,
        because: Because::Idle,
    }
);
snapshot!(
    shell_opened,
    What::ShellOpened {
        session: session(),
        human: HumanUid(1000),
    }
);
snapshot!(
    session_ended,
    What::SessionEnded {
        session: session(),
        how: "exit status 0".into(),
    }
);
snapshot!(
    svid_issued,
    What::SvidIssued {
        session: session(),
        spiffe_id: spiffe_id(),
        audience: "https://api.example.org".into(),
        not_after: Timestamp::from_secs(1_790_003_600),
    }
);
snapshot!(
    factor_enrolled,
    What::FactorEnrolled {
        human: HumanUid(1000),
        key: digest(),
    }
);
snapshot!(
    factor_recovered,
    What::FactorRecovered {
        human: HumanUid(1000),
        act: PinRecovery::Remove,
    }
);
snapshot!(
    vault_made,
    What::VaultMade {
        human: HumanUid(1000),
        sharing: Sharing::Headless,
    }
);
snapshot!(
    vault_opened,
    What::VaultOpened {
        human: HumanUid(1000),
    }
);
snapshot!(
    vault_recovered,
    What::VaultRecovered {
        human: HumanUid(1000),
    }
);
snapshot!(
    secret_kept,
    What::SecretKept {
        human: HumanUid(1000),
        name: "github".parse().unwrap(),
        purpose: SecretUse::Git {
            remote: "https://github.com/org".parse().unwrap(),
            username: "x-access-token".parse().unwrap(),
        },
    }
);
snapshot!(
    secret_removed,
    What::SecretRemoved {
        human: HumanUid(1000),
        name: "github".parse().unwrap(),
    }
);
snapshot!(
    secret_leased,
    What::SecretLeased {
        session: session(),
        name: "github".parse().unwrap(),
        until: Timestamp::from_secs(1_790_003_600),
    }
);
snapshot!(
    pin_typed,
    What::PinTyped {
        call: call_id(),
        human: HumanUid(1000),
        surface: Surface::X11Window,
    }
);
snapshot!(
    call_allowed,
    decided(
        json!({ "command": "git status" }),
        Verdict::Allow { because: because() }
    )
);
snapshot!(
    call_asked,
    decided(
        json!({ "command": "git push" }),
        Verdict::StepUp {
            tier: Tier::R2,
            because: because(),
        }
    )
);
snapshot!(
    call_denied,
    decided(
        json!({ "command": "cat ~/.ssh/id_ed25519" }),
        Verdict::Deny {
            by: DeniedBy::Policy,
            because: because(),
        }
    )
);
snapshot!(
    call_approved,
    What::CallApproved {
        receipt: Receipt {
            consent: Consent {
                format: ConsentFormat::V1,
                call: call_id(),
                call_digest: digest(),
                policy_digest: digest(),
                human: HumanUid(1000),
                nonce: digest(),
                asked: Timestamp::from_secs(1_790_000_000),
            },
            proof: ConsentProof::TpmPin {
                public_key: "3059".into(),
                signature: "3045".into(),
            },
            given: Timestamp::from_secs(1_790_000_010),
        },
    }
);
snapshot!(
    call_ended,
    What::CallEnded {
        call: call_id(),
        outcome: "exit status 0".into(),
        seen: vec![Effect::Reaches {
            host: "example.org:443".into(),
            manner: Manner::default(),
        }],
    }
);
snapshot!(
    call_with_large_arguments,
    decided(
        json!({ "content": "x".repeat(SOFT_RECORD) }),
        Verdict::Allow { because: because() }
    )
);

#[test]
fn numbers_that_a_double_cannot_hold_stay_exact() {
    let arguments = json!({ "n": 9_007_199_254_740_993_u64 });
    let value = json_at(decided(arguments, Verdict::Allow { because: because() }), 0);
    assert_eq!(value["api"]["request"]["data"], r#"{"n":9007199254740993}"#);
}

#[test]
fn text_cannot_pose_as_the_place_of_the_index() {
    let posing = json!({ "sequence": 0, "x": "\"sequence\":0" });
    let value = json_at(decided(posing, Verdict::Allow { because: because() }), 7);
    assert_eq!(value["metadata"]["sequence"], 7);
    let data = value["api"]["request"]["data"].as_str().unwrap();
    let back: Value = serde_json::from_str(data).unwrap();
    assert_eq!(back["sequence"], 0);
}

#[test]
fn a_record_above_the_soft_limit_loses_its_bulk_in_order_and_says_so() {
    let mut large = call(json!({ "content": "x".repeat(100_000) }));
    large.effects = vec![
        Effect::Runs {
            program: "y".repeat(1000),
        };
        100
    ];
    let text = serde_json::to_string(&large.arguments).unwrap();
    let value = json_at(
        What::CallDecided {
            call: large,
            digest: digest(),
            verdict: Verdict::Allow { because: because() },
        },
        0,
    );
    assert_eq!(
        value["api"]["request"]["data"],
        format!(
            "omitted: {} bytes, sha256 {}",
            text.len(),
            sha256(text.as_bytes())
        )
    );
    assert!(value["unmapped"]["effects"]["size"].as_u64().unwrap() > 100_000);
    assert_eq!(value["unmapped"]["cwd"], "/home/dev/project");
    assert_eq!(value["status_detail"], because().text);
}

#[test]
fn what_cannot_be_made_to_fit_is_refused() {
    let huge = What::HostEnrolled {
        attestor: "x".repeat(MAX_RECORD),
        host: host(),
    };
    assert!(matches!(
        Draft::render(ORIGIN, &event(huge)),
        Err(OcsfError::TooLarge { size }) if size > MAX_RECORD
    ));
}

proptest! {
    #[test]
    fn every_text_becomes_a_canonical_record_within_the_limit(
        text in "\\PC{0,200}",
        repeat in 1_usize..400,
        index in 0_u64..(1 << 53),
    ) {
        let text = text.repeat(repeat);
        let what = What::CallEnded { call: call_id(), outcome: text.clone(), seen: Vec::new() };
        let value = json_at(what, index);
        prop_assert_eq!(&value["metadata"]["sequence"], &json!(index));
        let record = canonical_json(&value).unwrap();
        prop_assert!(record.len() <= MAX_RECORD);
        if text.len() < 8 * 1024 {
            prop_assert_eq!(&value["status_detail"], &json!(text));
        }
    }

    #[test]
    fn the_short_way_to_canonical_json_gives_what_the_long_way_gives(value in json_value()) {
        prop_assert_eq!(canonical::json(&value).unwrap(), canonical_json(&value).unwrap());
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let text = "(\\PC|[\\x00-\\x7f]|\u{e000}|\u{10000}){0,8}";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        (0_u64..1000).prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(text, inner.clone(), 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}
