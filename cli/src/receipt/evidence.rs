//! OCSF records as evidence: the three kinds that a receipt is judged by, parsed once.
//!
//! Records are foreign, whoever exported them. What is of no concern here is passed over; what is, and cannot be
//! understood, is refused.

use std::collections::BTreeMap;

use holdfast_protocol::Sha256Digest;
use holdfast_protocol::call::{HumanUid, ToolCall};
use holdfast_protocol::decision::Verdict;
use holdfast_protocol::id::CallId;
use holdfast_protocol::receipt::Receipt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// OCSF classes: Entity Management and API Activity.
const ENTITY: u64 = 3004;
const API: u64 = 6003;

/// A record looks like one of those that are needed, and is not. Whoever presents it is to blame.
#[derive(Debug, thiserror::Error)]
#[error("`{pointer}` of record {index} is not what it should be")]
pub struct NotARecord {
    index: u64,
    pointer: &'static str,
}

/// Records, as they were found.
#[derive(Debug, Default)]
pub struct Evidence {
    enrollments: Vec<Enrollment>,
    decisions: BTreeMap<CallId, Vec<Decision>>,
    approvals: Vec<Approval>,
}

/// An approval key was made.
#[derive(Debug)]
pub struct Enrollment {
    /// The record's index.
    pub index: u64,
    /// For whom.
    pub human: HumanUid,
    key: Sha256Digest,
}

/// A call was decided.
#[derive(Debug)]
pub struct Decision {
    /// The record's index.
    pub index: u64,
    /// The call's digest, as the record says it.
    pub digest: Sha256Digest,
    /// Whether it asked a human.
    pub asks: bool,
    /// The call.
    pub call: DecidedCall,
}

/// What a record says of a call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecidedCall {
    /// All of it.
    Whole(Box<ToolCall>),
    /// It was too large for a record: a digest stands for some of it.
    Cut {
        /// The record's one line about it.
        message: String,
    },
}

/// A human's consent.
#[derive(Debug)]
pub struct Approval {
    /// The record's index.
    pub index: u64,
    /// The call that the record names.
    pub call: CallId,
    /// The human that the record names.
    pub human: HumanUid,
    /// The receipt in it.
    pub receipt: Receipt,
}

impl Evidence {
    /// Takes a record in, if it is of a kind that is needed.
    ///
    /// # Errors
    /// [`NotARecord`] if it is of such a kind, and malformed.
    pub fn take(&mut self, event: &Value) -> Result<(), NotARecord> {
        let text = |pointer| event.pointer(pointer).and_then(Value::as_str);
        let class = event.get("class_uid").and_then(Value::as_u64);
        let record = || {
            let index = event
                .pointer("/metadata/sequence")
                .and_then(Value::as_u64)
                .ok_or(NotARecord {
                    index: 0,
                    pointer: "/metadata/sequence",
                })?;
            Ok(Record { event, index })
        };
        match (class, text("/activity_name")) {
            (Some(ENTITY), Some("Enroll")) if text("/entity/type") == Some("Approval Key") => {
                self.enrollments.push(record()?.enrollment()?);
            }
            (Some(API), Some("Invoke")) => {
                let record = record()?;
                let call = record.field("/api/request/uid")?;
                let decision = record.decision()?;
                self.decisions.entry(call).or_default().push(decision);
            }
            (Some(API), Some("Approve")) => self.approvals.push(record()?.approval()?),
            (Some(_) | None, Some(_) | None) => {}
        }
        Ok(())
    }

    /// The enrollments of a key.
    pub fn enrollments(&self, key: Sha256Digest) -> impl Iterator<Item = &Enrollment> {
        self.enrollments
            .iter()
            .filter(move |enrollment| enrollment.key == key)
    }

    /// The decisions about a call.
    pub fn decisions(&self, call: CallId) -> impl Iterator<Item = &Decision> {
        self.decisions.get(&call).into_iter().flatten()
    }

    /// The approvals.
    pub fn approvals(&self) -> impl Iterator<Item = &Approval> {
        self.approvals.iter()
    }
}

struct Record<'a> {
    event: &'a Value,
    index: u64,
}

impl Record<'_> {
    fn enrollment(&self) -> Result<Enrollment, NotARecord> {
        Ok(Enrollment {
            index: self.index,
            human: self.human("/entity/uid")?,
            key: self.field("/entity/name")?,
        })
    }

    fn decision(&self) -> Result<Decision, NotARecord> {
        let asks = match self.field::<Verdict>("/unmapped/verdict") {
            Ok(Verdict::StepUp { .. }) => true,
            Ok(Verdict::Allow { .. } | Verdict::Deny { .. }) => false,
            // A digest may stand for the verdict, too; OCSF's challenge is said in two words more.
            Err(_) => self.event.get("disposition_id").and_then(Value::as_u64) == Some(23),
        };
        Ok(Decision {
            index: self.index,
            digest: self.field("/unmapped/digest")?,
            asks,
            call: self.call()?,
        })
    }

    fn approval(&self) -> Result<Approval, NotARecord> {
        Ok(Approval {
            index: self.index,
            call: self.field("/api/request/uid")?,
            human: self.human("/actor/user/uid")?,
            receipt: self.field("/unmapped/receipt")?,
        })
    }

    /// The call, put together again from where its parts stand in the record.
    fn call(&self) -> Result<DecidedCall, NotARecord> {
        let arguments: String = self.field("/api/request/data")?;
        let cut = arguments.starts_with("omitted: ")
            || ["/unmapped/effects", "/unmapped/cwd"]
                .iter()
                .filter_map(|pointer| self.event.pointer(pointer))
                .any(is_cut);
        if cut {
            let message = self.field("/message")?;
            return Ok(DecidedCall::Cut { message });
        }
        let arguments: Value =
            serde_json::from_str(&arguments).map_err(|_| self.malformed("/api/request/data"))?;
        let part = |pointer| self.event.pointer(pointer).cloned().unwrap_or_default();
        let call = json!({
            "id": part("/api/request/uid"),
            "caller": {
                "session": part("/src_endpoint/uid"),
                "spiffe_id": part("/src_endpoint/name"),
                "kind": part("/actor/app_name"),
                "level": part("/unmapped/level"),
                "human": self.human("/actor/user/uid")?,
            },
            "channel": part("/unmapped/channel"),
            "tool": part("/api/service/name"),
            "arguments": arguments,
            "cwd": part("/unmapped/cwd"),
            "effects": part("/unmapped/effects"),
            "received": part("/unmapped/received"),
        });
        serde_json::from_value(call)
            .map(|call| DecidedCall::Whole(Box::new(call)))
            .map_err(|_| self.malformed("/unmapped"))
    }

    /// OCSF has a user's number as text.
    fn human(&self, pointer: &'static str) -> Result<HumanUid, NotARecord> {
        let text: String = self.field(pointer)?;
        text.parse()
            .map(HumanUid)
            .map_err(|_| self.malformed(pointer))
    }

    fn field<T: DeserializeOwned>(&self, pointer: &'static str) -> Result<T, NotARecord> {
        self.event
            .pointer(pointer)
            .and_then(|value| T::deserialize(value).ok())
            .ok_or_else(|| self.malformed(pointer))
    }

    fn malformed(&self, pointer: &'static str) -> NotARecord {
        NotARecord {
            index: self.index,
            pointer,
        }
    }
}

/// Whether a digest stands for this part.
fn is_cut(part: &Value) -> bool {
    match part {
        Value::String(text) => text.starts_with("omitted: "),
        Value::Object(part) => part.contains_key("omitted"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
    }
}
