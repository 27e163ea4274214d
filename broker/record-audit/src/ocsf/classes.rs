//! Which OCSF class, activity and fields each event has.
//!
//! OCSF words come first; what OCSF has no word for stands under `unmapped`, in the words of Holdfast. Every key here is
//! ours: text from outside appears in values only, and a tool's arguments only as one string.

mod agents;
mod calls;
mod launches;

use holdfast_protocol::approval::PinRecovery;
use holdfast_protocol::audit::{AuditEvent, What};
use holdfast_protocol::call::HumanUid;
use holdfast_protocol::id::{SessionId, SpiffeId};
use holdfast_protocol::vault::SecretName;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::words::{Activity, Class, Severity, Status};

/// One event, mapped.
pub(super) struct Record {
    pub(super) class: Class,
    pub(super) activity: Activity,
    pub(super) severity: Severity,
    pub(super) status: Status,
    pub(super) profile: Option<&'static str>,
    /// The call that the event belongs to.
    pub(super) correlation: Option<String>,
    pub(super) fields: Map<String, Value>,
    /// Parts that may be large, as JSON pointers, the first to go first.
    pub(super) bulky: &'static [&'static str],
}

impl Record {
    /// Maps `event`.
    pub(super) fn of(origin: &str, event: &AuditEvent) -> Result<Self, serde_json::Error> {
        let record = match &event.what {
            What::LogStarted { version, grade } => Self::log(
                origin,
                activity(6, "Start"),
                json!({ "version": version, "grade": grade }),
            ),
            What::LogStopped => Self::log(origin, activity(7, "Stop"), json!({})),
            What::LogRecovered { records } => Self::log(
                origin,
                activity(99, "Recover"),
                json!({ "records": records }),
            ),
            What::ImaListDeclared { path } => Self::log(
                origin,
                activity(99, "Declare list"),
                json!({ "ima_list": path }),
            ),
            What::SystemdLogDeclared { path } => Self::log(
                origin,
                activity(99, "Declare list"),
                json!({ "systemd_log": path }),
            ),
            What::TimeTaken { system, attestor } => Self::log(
                origin,
                activity(99, "Take time"),
                json!({ "system_time": system, "attestor_time": attestor }),
            ),
            What::HostEnrolled { attestor, host } => Self::new(
                Class::EntityManagement,
                activity(6, "Enroll"),
                json!({
                    "entity": { "type_id": 1, "type": "Device", "uid": host },
                    "unmapped": { "attestor": attestor },
                }),
            ),
            What::HostAttested {
                spiffe_id,
                serial,
                not_after,
            } => Self::new(
                Class::Authentication,
                activity(1, "Logon"),
                json!({
                    "auth_protocol_id": 99,
                    "auth_protocol": "TPM 2.0 attestation",
                    "service": { "name": "holdfast-attestor" },
                    "user": service_user(spiffe_id),
                    "unmapped": { "serial": serial, "not_after": not_after },
                }),
            ),
            What::HostNotAttested { why } => Self {
                severity: Severity::Medium,
                status: Status::Failure,
                bulky: &["/status_detail"],
                ..Self::new(
                    Class::Authentication,
                    activity(1, "Logon"),
                    json!({
                        "auth_protocol_id": 99,
                        "auth_protocol": "TPM 2.0 attestation",
                        "service": { "name": "holdfast-attestor" },
                        "user": { "name": origin, "type_id": 4 },
                        "status_detail": why,
                    }),
                )
            },
            What::HostHeld { because, why } => Self {
                severity: Severity::High,
                bulky: &["/status_detail"],
                ..Self::new(
                    Class::EntityManagement,
                    activity(12, "Suspend"),
                    json!({
                        "entity": { "type_id": 1, "type": "Device", "name": origin },
                        "status_detail": why,
                        "unmapped": { "because": because },
                    }),
                )
            },
            What::HostFreed => Self::new(
                Class::EntityManagement,
                activity(13, "Resume"),
                json!({ "entity": { "type_id": 1, "type": "Device", "name": origin } }),
            ),
            What::SessionHeld { session, outcome } => {
                Self::session_moved(origin, *session, json!(outcome))
            }
            What::SessionFreed { session } => Self::session_moved(origin, *session, json!("freed")),
            What::EpochAdvanced { epoch } => Self::new(
                Class::EntityManagement,
                activity(3, "Update"),
                json!({
                    "entity": { "type_id": 99, "type": "Revocation epoch", "uid": epoch.to_string() },
                }),
            ),
            What::SessionStarted {
                session,
                spiffe_id,
                human,
                program,
                package,
                runs_as,
                beyond,
            } => {
                let measured = (program, package.as_ref());
                Self::session_started(
                    origin,
                    (*session, spiffe_id),
                    (*human, *runs_as),
                    measured,
                    beyond,
                )
            }
            What::LaunchRefused {
                human,
                kind,
                program,
                package,
            } => Self::launch_refused(origin, *human, kind, (program, package.as_ref())),
            What::SessionControlled {
                session,
                human,
                act,
            } => Self::new(
                Class::ProcessActivity,
                activity(99, "Control"),
                json!({
                    "actor": { "user": human_user(*human) },
                    "device": device(origin),
                    "process": { "uid": session },
                    "status_detail": act,
                }),
            ),
            What::SubAgentStarted {
                session,
                spiffe_id,
                parent,
                wish,
            } => Self::sub_agent_started(origin, *session, spiffe_id, parent, wish),
            What::SubAgentControlled {
                session,
                sub,
                human,
            } => Self::sub_agent_controlled(origin, *session, *sub, *human),
            What::SubAgentEnded { session, spiffe_id } => {
                Self::sub_agent_ended(origin, *session, spiffe_id)
            }
            What::WorkloadRefused { uid, level, why } => {
                Self::workload_refused(origin, *uid, *level, why)
            }
            What::SessionContained {
                session,
                level,
                notice,
            } => Self::new(
                Class::ProcessActivity,
                activity(99, "Contain"),
                json!({
                    "actor": broker(),
                    "device": device(origin),
                    "process": { "uid": session },
                    "unmapped": { "level": level, "notice": notice },
                }),
            ),
            What::SessionBounded {
                session,
                bounds,
                unkept,
            } => Self::new(
                Class::ProcessActivity,
                activity(99, "Bound"),
                json!({
                    "actor": broker(),
                    "device": device(origin),
                    "process": { "uid": session },
                    "unmapped": { "bounds": bounds, "unkept": unkept },
                }),
            ),
            What::SessionStopped {
                session,
                act,
                because,
            } => Self::new(
                Class::ProcessActivity,
                activity(99, "Control"),
                json!({
                    "actor": broker(),
                    "device": device(origin),
                    "process": { "uid": session },
                    "status_detail": act,
                    "unmapped": { "because": because },
                }),
            ),
            What::ShellOpened { session, human } => Self::new(
                Class::ProcessActivity,
                activity(99, "Shell"),
                json!({
                    "actor": { "user": human_user(*human) },
                    "device": device(origin),
                    "process": { "uid": session },
                }),
            ),
            What::SessionEnded { session, how } => Self {
                bulky: &["/status_detail"],
                ..Self::new(
                    Class::ProcessActivity,
                    activity(2, "Terminate"),
                    json!({
                        "actor": broker(),
                        "device": device(origin),
                        "process": { "uid": session },
                        "status_detail": how,
                    }),
                )
            },
            What::SvidIssued {
                session,
                spiffe_id,
                audience,
                not_after,
            } => Self {
                bulky: &["/privileges"],
                ..Self::new(
                    Class::AuthorizeSession,
                    activity(1, "Assign Privileges"),
                    json!({
                        "actor": broker(),
                        "privileges": [audience],
                        "session": { "uid": session },
                        "user": service_user(spiffe_id),
                        "unmapped": { "not_after": not_after },
                    }),
                )
            },
            What::FactorEnrolled { human, key } => Self::new(
                Class::EntityManagement,
                activity(6, "Enroll"),
                json!({
                    "actor": broker(),
                    "entity": {
                        "name": key,
                        "type": "Approval Key",
                        "uid": human.0.to_string(),
                    },
                }),
            ),
            What::FactorRecovered { human, act } => Self::new(
                Class::EntityManagement,
                match act {
                    PinRecovery::Unlock => activity(3, "Update"),
                    PinRecovery::Remove => activity(4, "Delete"),
                },
                json!({
                    "actor": broker(),
                    "entity": {
                        "type": "Approval Key",
                        "uid": human.0.to_string(),
                    },
                }),
            ),
            What::VaultMade { human, sharing } => Self::vault(
                *human,
                activity(1, "Create"),
                "Vault",
                None,
                json!({ "sharing": sharing }),
            ),
            What::VaultOpened { human } => {
                Self::vault(*human, activity(10, "Activate"), "Vault", None, json!({}))
            }
            What::VaultRecovered { human } => {
                Self::vault(*human, activity(3, "Update"), "Vault", None, json!({}))
            }
            What::SecretKept {
                human,
                name,
                purpose,
            } => Self::vault(
                *human,
                activity(1, "Create"),
                "Secret",
                Some(name),
                json!({ "purpose": purpose }),
            ),
            What::SecretRemoved { human, name } => Self::vault(
                *human,
                activity(4, "Delete"),
                "Secret",
                Some(name),
                json!({}),
            ),
            What::SecretLeased {
                session,
                name,
                until,
            } => Self::new(
                Class::AuthorizeSession,
                activity(1, "Assign Privileges"),
                json!({
                    "actor": broker(),
                    "privileges": [format!("secret:{name}")],
                    "session": { "uid": session },
                    "user": { "type_id": 4, "uid": session },
                    "unmapped": { "until": until },
                }),
            ),
            What::PinTyped {
                call,
                human,
                surface,
            } => Self {
                correlation: Some(call.to_string()),
                ..Self::new(
                    Class::ApiActivity,
                    activity(99, "Prove"),
                    json!({
                        "actor": { "user": human_user(*human) },
                        "api": { "operation": "tools/call", "request": { "uid": call } },
                        "src_endpoint": { "name": surface },
                    }),
                )
            },
            What::CallDecided {
                call,
                digest,
                verdict,
            } => Self::call_decided(call, digest, verdict)?,
            What::CallApproved { receipt } => Self::call_approved(receipt)?,
            What::CallEnded {
                call,
                outcome,
                seen,
            } => Self::call_ended(*call, outcome, seen)?,
        };
        Ok(record)
    }

    /// What a human did to their vault, or to a secret in it.
    fn vault(
        human: HumanUid,
        activity: Activity,
        kind: &str,
        name: Option<&SecretName>,
        unmapped: Value,
    ) -> Self {
        let mut entity = json!({ "type": kind, "uid": human.0.to_string() });
        if let (Some(entity), Some(name)) = (entity.as_object_mut(), name) {
            entity.insert("name".to_owned(), json!(name));
        }
        Self::new(
            Class::EntityManagement,
            activity,
            json!({
                "actor": { "user": human_user(human) },
                "entity": entity,
                "unmapped": unmapped,
            }),
        )
    }

    fn session_moved(origin: &str, session: SessionId, how: Value) -> Self {
        Self::new(
            Class::ProcessActivity,
            activity(99, "Control"),
            json!({
                "actor": broker(),
                "device": device(origin),
                "process": { "uid": session },
                "status_detail": how,
            }),
        )
    }

    fn log(origin: &str, activity: Activity, unmapped: Value) -> Self {
        Self::new(
            Class::EventLogActivity,
            activity,
            json!({
                "actor": broker(),
                "device": device(origin),
                "log_name": origin,
                "unmapped": unmapped,
            }),
        )
    }

    fn new(class: Class, activity: Activity, fields: Value) -> Self {
        Self {
            class,
            activity,
            severity: Severity::Informational,
            status: Status::Success,
            profile: None,
            correlation: None,
            fields: fields.as_object().cloned().unwrap_or_default(),
            bulky: &[],
        }
    }
}

fn activity(id: u32, name: &'static str) -> Activity {
    Activity { id, name }
}

fn broker() -> Value {
    json!({ "app_name": "holdfastd" })
}

/// The device is named by its log: an event can come before an attestor has given the host a name.
fn device(origin: &str) -> Value {
    json!({ "name": origin, "type_id": 0 })
}

fn human_user(human: HumanUid) -> Value {
    json!({ "type_id": 1, "uid": human.0.to_string() })
}

fn service_user(spiffe_id: &SpiffeId) -> Value {
    json!({ "type_id": 4, "name": spiffe_id })
}

/// Puts `value` under `unmapped`.
fn put(
    fields: &mut Value,
    key: &str,
    value: &(impl Serialize + ?Sized),
) -> Result<(), serde_json::Error> {
    let value = serde_json::to_value(value)?;
    if let Some(fields) = fields.as_object_mut() {
        let unmapped = fields
            .entry("unmapped")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(unmapped) = unmapped.as_object_mut() {
            unmapped.insert(key.to_owned(), value);
        }
    }
    Ok(())
}
