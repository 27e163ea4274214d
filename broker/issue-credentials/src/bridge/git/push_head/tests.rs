#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use super::*;
use proptest::prelude::*;

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const ZERO: &str = "0000000000000000000000000000000000000000";
const CAPABILITIES: &str = " report-status-v2 side-band-64k object-format=sha1 agent=git/2.47.3";

fn line(data: &str) -> Vec<u8> {
    format!("{:04x}{data}", data.len() + 4).into_bytes()
}

fn head(lines: &[&str]) -> Vec<u8> {
    let mut bytes: Vec<u8> = lines.iter().flat_map(|data| line(data)).collect();
    bytes.extend(b"0000");
    bytes
}

fn read(bytes: &[u8]) -> Result<PushHead, Unreadable> {
    match Reader::default().feed(bytes)? {
        Step::Whole { head, .. } => Ok(head),
        Step::More(_) => panic!("not whole"),
    }
}

fn first(rest: &str) -> String {
    format!("{OLD} {NEW} refs/heads/main\0{rest}")
}

#[test]
fn commands_are_read() {
    let second = format!("{ZERO} {NEW} refs/tags/v1\n");
    let third = format!("{OLD} {ZERO} refs/heads/gone");
    let shallow = format!("shallow {OLD}\n");
    let read = read(&head(&[&shallow, &first(CAPABILITIES), &second, &third])).unwrap();
    let names: Vec<_> = read.commands.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        names,
        ["refs/heads/main", "refs/tags/v1", "refs/heads/gone"]
    );
    assert!(!read.commands[0].creates() && !read.commands[0].deletes());
    assert!(read.commands[1].creates());
    assert!(read.commands[2].deletes());
    assert_eq!(read.report, Report::SideBand);
}

#[test]
fn the_objects_are_left_alone() {
    let mut bytes = head(&[&first(CAPABILITIES)]);
    bytes.extend(b"PACK....");
    let Step::Whole { bytes: all, head } = Reader::default().feed(&bytes).unwrap() else {
        panic!("not whole");
    };
    assert_eq!(all, bytes);
    assert_eq!(head.commands.len(), 1);
}

#[test]
fn options_are_read() {
    let mut bytes = head(&[&first(" report-status push-options")]);
    assert!(matches!(Reader::default().feed(&bytes), Ok(Step::More(_))));
    bytes.extend(head(&["merge_request.merge_when_pipeline_succeeds"]));
    let read = read(&bytes).unwrap();
    assert_eq!(read.options, ["merge_request.merge_when_pipeline_succeeds"]);
    assert_eq!(read.report, Report::Plain);
}

#[test]
fn a_flush_alone_is_gits_probe() {
    assert_eq!(read(b"0000").unwrap(), PushHead::default());
}

#[test]
fn what_is_not_understood_is_refused() {
    let twice = format!("{OLD} {NEW} refs/heads/main");
    let hidden = format!("{OLD} {NEW} refs/heads/x\0 report-status");
    let mixed = format!("{0}{1} {0}{1} refs/heads/x", OLD, OLD.get(..24).unwrap());
    for (lines, expected) in [
        (vec!["push-cert\0 x".to_owned()], Unreadable::Signed),
        (vec!["ERR no".to_owned()], Unreadable::Command),
        (vec![format!("shallow {OLD}")], Unreadable::Nothing),
        (vec![format!("shallow {OLD}\0x")], Unreadable::Command),
        (vec![first(" side-band-65k")], Unreadable::Capability),
        (vec![first(" push-cert=nonce")], Unreadable::Capability),
        (vec![first(""), hidden], Unreadable::Capability),
        (vec![first(""), twice], Unreadable::Twice),
        (vec![first(""), mixed], Unreadable::Command),
        (
            vec![format!("{ZERO} {ZERO} refs/heads/x")],
            Unreadable::Command,
        ),
        (vec![format!("{OLD} {NEW}")], Unreadable::Command),
        (
            vec![format!("{OLD}  {NEW} refs/heads/x")],
            Unreadable::Command,
        ),
        (
            vec![format!("{OLD} {} refs/heads/x", NEW.replace('2', "A"))],
            Unreadable::Command,
        ),
        (vec![format!("{OLD} {NEW} HEAD")], Unreadable::Ref),
        (
            vec![format!("{OLD} {NEW} refs/heads/../x")],
            Unreadable::Ref,
        ),
        (vec![format!("{OLD} {NEW} refs/heads/x y")], Unreadable::Ref),
        (
            vec![format!("{OLD} {NEW} refs/heads/x\ny")],
            Unreadable::Ref,
        ),
        (vec![format!("{OLD} {NEW} refs//x")], Unreadable::Ref),
        (
            vec![format!("{OLD} {NEW} refs/heads/x.lock")],
            Unreadable::Ref,
        ),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(read(&head(&lines)), Err(expected), "{lines:?}");
    }
    for frame in [
        b"0001".as_slice(),
        b"0002",
        b"0003",
        b"0004",
        b"zzzz",
        b"+001",
        b"00 5x",
    ] {
        assert_eq!(read(frame), Err(Unreadable::Line), "{frame:?}");
    }
}

#[test]
fn the_head_is_bounded() {
    let many: Vec<String> = (0..=MAX_COMMANDS)
        .map(|n| format!("{OLD} {NEW} refs/heads/{n}"))
        .collect();
    let lines: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(read(&head(&lines)), Err(Unreadable::TooLong));
    assert!(read(&head(&lines[1..])).is_ok());
    let shallow = format!("shallow {OLD}");
    let endless = vec![shallow.as_str(); MAX_HEAD / 50];
    assert_eq!(read(&head(&endless)), Err(Unreadable::TooLong));
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_bytes_arrive(cuts in prop::collection::vec(0usize..300, 0..8)) {
        let second = format!("{ZERO} {NEW} refs/tags/v1");
        let mut bytes = head(&[&first(" report-status push-options"), &second]);
        bytes.extend(head(&["a=b", "c"]));
        let expected = read(&bytes).unwrap();
        let mut reader = Reader::default();
        let mut rest = bytes.as_slice();
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len().saturating_sub(1)));
            rest = later;
            match reader.feed(now).unwrap() {
                Step::More(more) => reader = more,
                Step::Whole { .. } => panic!("whole too early"),
            }
        }
        let Step::Whole { head, bytes: all } = reader.feed(rest).unwrap() else {
            panic!("not whole");
        };
        prop_assert_eq!(head, expected);
        prop_assert_eq!(all, bytes);
    }
}
