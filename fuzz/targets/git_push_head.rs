//! What a push begins with, as the session's way out reads it before it is decided.
#![no_main]

// The module by itself, because the job keeps it to itself.
#[rustfmt::skip]
#[path = "../../broker/issue-credentials/src/bridge/git/push_head.rs"]
#[allow(dead_code, reason = "the job uses all of it")]
mod push_head;

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use push_head::{MAX_COMMANDS, PushHead, Reader, Step, Unreadable};

fuzz_target!(|data: &[u8]| {
    let at_once = read(&[data]);
    // It does not matter how the bytes arrive.
    let (begin, end) = data.split_at(data.len() / 3);
    assert_eq!(read(&[begin, end]), at_once);
    let Ok(Some(head)) = at_once else {
        return;
    };
    assert!(head.commands.len() <= MAX_COMMANDS);
    let names: HashSet<_> = head.commands.iter().map(|command| &command.name).collect();
    assert_eq!(names.len(), head.commands.len());
    for command in &head.commands {
        assert!(command.name.starts_with("refs/"));
        assert!(!command.name.contains(|c: char| c.is_control() || c == ' '));
        assert!(!(command.creates() && command.deletes()));
        // The remote reads these very bytes.
        let line = format!("{} {} {}", command.old, command.new, command.name);
        assert!(data.windows(line.len()).any(|part| part == line.as_bytes()));
    }
});

/// The head, if it is whole.
fn read(parts: &[&[u8]]) -> Result<Option<PushHead>, Unreadable> {
    let mut reader = Reader::default();
    let mut given = Vec::new();
    for part in parts {
        given.extend_from_slice(part);
        match reader.feed(part)? {
            Step::More(more) => reader = more,
            Step::Whole { head, bytes } => {
                assert_eq!(bytes, given);
                return Ok(Some(head));
            }
        }
    }
    Ok(None)
}
