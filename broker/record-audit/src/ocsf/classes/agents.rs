//! The events of sub-agents, and of processes that Holdfast did not launch.

use holdfast_protocol::call::HumanUid;
use holdfast_protocol::grade::Level;
use holdfast_protocol::id::{SessionId, SpiffeId};
use holdfast_protocol::sub::{SubPath, SubRequest};
use serde_json::json;

use super::super::words::{Class, Severity, Status};
use super::{Record, activity, broker, device, human_user};

impl Record {
    pub(super) fn sub_agent_started(
        origin: &str,
        session: SessionId,
        spiffe_id: &SpiffeId,
        parent: &SpiffeId,
        wish: &SubRequest,
    ) -> Self {
        Self {
            bulky: &["/unmapped/wish"],
            ..Self::new(
                Class::ProcessActivity,
                activity(1, "Launch"),
                json!({
                    "actor": broker(),
                    "device": device(origin),
                    "process": { "uid": session, "name": spiffe_id },
                    "unmapped": { "spiffe_id": spiffe_id, "parent": parent, "wish": wish },
                }),
            )
        }
    }

    pub(super) fn sub_agent_controlled(
        origin: &str,
        session: SessionId,
        sub: SubPath,
        human: HumanUid,
    ) -> Self {
        Self::new(
            Class::ProcessActivity,
            activity(99, "Control"),
            json!({
                "actor": { "user": human_user(human) },
                "device": device(origin),
                "process": { "uid": session, "name": sub },
                "status_detail": "end",
            }),
        )
    }

    pub(super) fn sub_agent_ended(origin: &str, session: SessionId, spiffe_id: &SpiffeId) -> Self {
        Self::new(
            Class::ProcessActivity,
            activity(2, "Terminate"),
            json!({
                "actor": broker(),
                "device": device(origin),
                "process": { "uid": session, "name": spiffe_id },
                "unmapped": { "spiffe_id": spiffe_id },
            }),
        )
    }

    pub(super) fn workload_refused(origin: &str, uid: u32, level: Level, why: &str) -> Self {
        Self {
            severity: Severity::Low,
            status: Status::Failure,
            bulky: &["/status_detail"],
            ..Self::new(
                Class::Authentication,
                activity(1, "Logon"),
                json!({
                    "auth_protocol_id": 99,
                    "auth_protocol": "SPIFFE Workload API",
                    "service": { "name": "holdfastd" },
                    "device": device(origin),
                    "user": { "type_id": 0, "uid": uid.to_string() },
                    "status_detail": why,
                    "unmapped": { "level": level },
                }),
            )
        }
    }
}
