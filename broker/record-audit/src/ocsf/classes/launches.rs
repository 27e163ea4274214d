//! Launches: what was measured, and what became of it.

use holdfast_protocol::Sha256Digest;
use holdfast_protocol::beyond::Beyond;
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::grade::SessionUid;
use holdfast_protocol::id::{AgentKind, SessionId, SpiffeId};
use holdfast_protocol::measured::MeasuredPackage;
use serde_json::{Value, json};

use super::super::words::{Class, Severity, Status};
use super::{Record, activity, device, human_user};

/// What was executed, and what that interpreted.
type Measured<'a> = (&'a Sha256Digest, Option<&'a MeasuredPackage>);

impl Record {
    pub(super) fn session_started(
        origin: &str,
        (session, spiffe_id): (SessionId, &SpiffeId),
        (human, runs_as): (HumanUid, SessionUid),
        (program, package): Measured<'_>,
        beyond: &Beyond,
    ) -> Self {
        let mut unmapped = json!({ "spiffe_id": spiffe_id });
        if !runs_as.is_own() {
            add(&mut unmapped, "runs_as", json!(runs_as));
        }
        add_package(&mut unmapped, package);
        if !beyond.is_nothing() {
            add(&mut unmapped, "beyond", json!(beyond));
        }
        Self {
            bulky: &[
                "/unmapped/beyond/needed",
                "/unmapped/beyond/hosts",
                "/unmapped/beyond/widenings",
            ],
            ..Self::new(
                Class::ProcessActivity,
                activity(1, "Launch"),
                json!({
                    "actor": { "app_name": "holdfastd", "user": human_user(human) },
                    "device": device(origin),
                    "process": { "uid": session, "file": file(program) },
                    "unmapped": unmapped,
                }),
            )
        }
    }

    pub(super) fn launch_refused(
        origin: &str,
        human: HumanUid,
        kind: &AgentKind,
        (program, package): Measured<'_>,
    ) -> Self {
        let mut unmapped = json!({ "kind": kind });
        add_package(&mut unmapped, package);
        Self {
            severity: Severity::Medium,
            status: Status::Failure,
            ..Self::new(
                Class::ProcessActivity,
                activity(1, "Launch"),
                json!({
                    "actor": { "app_name": "holdfastd", "user": human_user(human) },
                    "device": device(origin),
                    "process": { "file": file(program) },
                    "unmapped": unmapped,
                }),
            )
        }
    }
}

fn file(program: &Sha256Digest) -> Value {
    json!({
        "name": "program",
        "type_id": 8,
        "hashes": [{ "algorithm_id": 3, "algorithm": "SHA-256", "value": program }],
    })
}

fn add_package(unmapped: &mut Value, package: Option<&MeasuredPackage>) {
    if let Some(package) = package {
        add(unmapped, "package", json!(package));
    }
}

fn add(unmapped: &mut Value, name: &str, value: Value) {
    if let Some(unmapped) = unmapped.as_object_mut() {
        unmapped.insert(name.to_owned(), value);
    }
}
