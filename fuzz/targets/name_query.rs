//! What a session's programs send to its resolver.
#![no_main]

// The module by itself, because its crate takes minutes to build.
#[rustfmt::skip]
#[path = "../../broker/issue-credentials/src/bridge/names/query.rs"]
#[allow(dead_code, reason = "the job uses all of it")]
mod query;

use std::net::Ipv4Addr;

use libfuzzer_sys::fuzz_target;
use query::{Answer, MAX_MESSAGE, Question, Wants};

fuzz_target!(|message: &[u8]| {
    let question = match Question::read(message) {
        Ok(question) => question,
        Err(not) => {
            // What is no question gets a header at most.
            assert!(not.answered().is_none_or(|answer| answer.len() == 12));
            return;
        }
    };
    assert!(message.len() <= MAX_MESSAGE);
    let nothing = question.answered(Answer::Nothing);
    // The id and the question are repeated, and nothing that came after it.
    assert_eq!(nothing.get(..2), message.get(..2));
    assert_eq!(nothing.get(12..), message.get(12..nothing.len()));
    let address = question.answered(Answer::Address(Ipv4Addr::LOCALHOST));
    assert_eq!(address.len(), nothing.len() + 16);
    if let (Some(name), Wants::Address) = (&question.name, question.wants) {
        assert!(name.as_str().len() <= 253);
        assert!(!name.as_str().contains(|c: char| c.is_control() || c.is_uppercase() || c == ' '));
    }
});
