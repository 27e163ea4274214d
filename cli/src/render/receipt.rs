//! A proven receipt in words: who, what, when, by which key.

use std::fmt::Write;

use super::{QUOTED_WIDTH, printable, time};
use crate::receipt::{DecidedCall, Proven, Vouched};

/// The most of a call's arguments that is shown.
const SHOWN: usize = 4 * QUOTED_WIDTH;

/// Each receipt, a paragraph.
pub fn proven(proven: &[Proven]) -> String {
    proven.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

fn one(proven: &Proven) -> String {
    let consent = &proven.receipt.consent;
    let vouched = match proven.vouched {
        Vouched::Record(index) => format!("enrolled for this uid in record {index}"),
        Vouched::Caller => "the one that you named; no record here enrolls it".to_owned(),
        Vouched::CallerAndRecord(index) => {
            format!("the one that you named, enrolled for this uid in record {index}")
        }
    };
    let mut text = format!(
        "holds       the receipt in record {} for call {}\n\
         who         uid {}, by the PIN of their approval key in the TPM\n\
         what        {}\n\
         digest      {}, asked about in record {}\n\
         when        asked {}, consented {}\n\
         policy      {}\n\
         signed      {}\n\
         key         SHA-256 {}\n            {vouched}",
        proven.record,
        consent.call,
        consent.human.0,
        call(&proven.call),
        consent.call_digest,
        proven.asked,
        time(consent.asked),
        time(proven.receipt.given),
        consent.policy_digest,
        proven.consent_digest,
        proven.key,
    );
    text.push_str(
        "\nchecked     record, signature, key, decision, call, once; the log around it is for `audit verify`",
    );
    text
}

fn call(call: &DecidedCall) -> String {
    match call {
        DecidedCall::Whole(call) => {
            let arguments = call.arguments.to_string();
            let mut shown: String = arguments.chars().take(SHOWN).collect();
            if shown.len() < arguments.len() {
                shown.push('…');
            }
            let mut text = format!(
                "{} of {} in session {}",
                printable(call.tool.as_str()),
                call.caller.kind,
                call.caller.session
            );
            let _ = write!(
                text,
                "\n            in {}: {}",
                printable(&call.cwd.display().to_string()),
                printable(&shown)
            );
            text
        }
        DecidedCall::Cut { message } => format!(
            "too large for its record, which holds its digest; in the record's own line:\n            {}",
            printable(message)
        ),
    }
}
