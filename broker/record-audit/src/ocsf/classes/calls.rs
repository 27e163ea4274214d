//! The events of calls: what was decided, by whom it was approved, how it ended.

use holdfast_protocol::Sha256Digest;
use holdfast_protocol::call::{Caller, Effect, ToolCall};
use holdfast_protocol::decision::Verdict;
use holdfast_protocol::grade::Tier;
use holdfast_protocol::id::CallId;
use holdfast_protocol::receipt::Receipt;
use serde_json::{Value, json};

use super::super::words::{Class, Severity, Status};
use super::{Record, activity, broker, human_user, put};

impl Record {
    pub(super) fn call_decided(
        call: &ToolCall,
        digest: &Sha256Digest,
        verdict: &Verdict,
    ) -> Result<Self, serde_json::Error> {
        let decision = Decision::of(verdict);
        let mut fields = json!({
            "actor": agent(&call.caller),
            "api": {
                "operation": "tools/call",
                "service": { "name": call.tool.as_str() },
                // One string: canonical JSON would round a number that a double cannot hold.
                "request": { "uid": call.id, "data": serde_json::to_string(&call.arguments)? },
            },
            "src_endpoint": { "uid": call.caller.session, "name": call.caller.spiffe_id },
            "action_id": decision.action,
            "disposition_id": decision.disposition,
            "status_detail": decision.because,
            "unmapped": {
                "channel": call.channel,
                "level": call.caller.level,
                "digest": digest,
                "received": call.received,
            },
        });
        if let Some(parent) = call.caller.spiffe_id.of_agent() {
            put(&mut fields, "parent", &parent)?;
        }
        put(&mut fields, "cwd", &call.cwd)?;
        put(&mut fields, "effects", &call.effects)?;
        put(&mut fields, "verdict", verdict)?;
        Ok(Self {
            severity: decision.severity,
            status: decision.status,
            profile: Some("security_control"),
            correlation: Some(call.id.to_string()),
            bulky: &[
                "/api/request/data",
                "/unmapped/effects",
                "/unmapped/cwd",
                "/unmapped/verdict",
                "/status_detail",
            ],
            ..Self::new(Class::ApiActivity, activity(99, "Invoke"), fields)
        })
    }

    pub(super) fn call_approved(receipt: &Receipt) -> Result<Self, serde_json::Error> {
        let call = receipt.consent.call;
        let mut fields = json!({
            "actor": { "user": human_user(receipt.consent.human) },
            "api": { "operation": "tools/call", "request": { "uid": call } },
            "src_endpoint": { "name": "holdfast-approve" },
            "action_id": 1,
            "disposition_id": 8,
        });
        put(&mut fields, "receipt", receipt)?;
        Ok(Self {
            severity: Severity::Low,
            profile: Some("security_control"),
            correlation: Some(call.to_string()),
            ..Self::new(Class::ApiActivity, activity(99, "Approve"), fields)
        })
    }

    pub(super) fn call_ended(
        call: CallId,
        outcome: &str,
        seen: &[Effect],
    ) -> Result<Self, serde_json::Error> {
        let mut fields = json!({
            "actor": broker(),
            "api": { "operation": "tools/call", "request": { "uid": call } },
            "src_endpoint": { "name": "holdfastd" },
            "status_detail": outcome,
        });
        put(&mut fields, "seen", seen)?;
        Ok(Self {
            status: Status::Other,
            correlation: Some(call.to_string()),
            bulky: &["/unmapped/seen", "/status_detail"],
            ..Self::new(Class::ApiActivity, activity(99, "Complete"), fields)
        })
    }
}

/// A verdict in the words of OCSF's security control profile.
struct Decision<'a> {
    action: u32,
    disposition: u32,
    severity: Severity,
    status: Status,
    because: &'a str,
}

impl<'a> Decision<'a> {
    fn of(verdict: &'a Verdict) -> Self {
        match verdict {
            Verdict::Allow { because } => Self {
                action: 1,
                disposition: 1,
                severity: Severity::Informational,
                status: Status::Success,
                because: &because.text,
            },
            // OCSF has no "asked": the nearest word is a challenge, and the call is not let through.
            Verdict::StepUp { tier, because } => Self {
                action: 99,
                disposition: 23,
                severity: match tier {
                    Tier::R0 | Tier::R1 => Severity::Low,
                    Tier::R2 | Tier::R3 => Severity::Medium,
                },
                status: Status::Other,
                because: &because.text,
            },
            Verdict::Deny { by: _, because } => Self {
                action: 2,
                disposition: 2,
                severity: Severity::Medium,
                status: Status::Failure,
                because: &because.text,
            },
        }
    }
}

fn agent(caller: &Caller) -> Value {
    json!({
        "app_name": caller.kind,
        "session": { "uid": caller.session },
        "user": human_user(caller.human),
    })
}
