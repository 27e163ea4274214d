//! Lists are read whole, and their mistakes are named by their lines.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use holdfast_protocol::Timestamp;
use proptest::prelude::*;

use super::{InvalidList, LineProblem, ListedEk, MAX_FILE, MAX_KEYS, parse};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn hash(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn read(text: &str) -> Result<Vec<(Option<String>, String)>, InvalidList> {
    let flat = |listed: ListedEk| {
        assert_eq!(listed.listed_at, NOW);
        (listed.host_name.map(String::from), listed.ek.to_string())
    };
    Ok(parse(text.as_bytes(), NOW)?.into_iter().map(flat).collect())
}

#[test]
fn what_spreadsheets_write_is_read() {
    let (a, b, c) = (hash('a'), hash('b'), hash('c'));
    let text = format!(
        "\u{feff}\"Host name\",EK hash\r\n# the first floor\r\nlaptop-1, {}\r\n\r\n\"laptop-2\",\"{b}\"\r\n,{c}",
        a.to_uppercase()
    );
    let named = |name: &str| Some(name.to_owned());
    let expected = vec![(named("laptop-1"), a), (named("laptop-2"), b), (None, c)];
    assert_eq!(read(&text).unwrap(), expected);
}

#[test]
fn mistakes_are_named_by_their_line() {
    let (a, b) = (hash('a'), hash('b'));
    let line = |line, problem| InvalidList::Line { line, problem };
    for (text, why) in [
        (String::new(), InvalidList::Empty),
        ("host,ek\n".to_owned(), InvalidList::Empty),
        (format!("x,{a}\nx"), line(2, LineProblem::Columns(1))),
        (format!("\nx,{a},"), line(2, LineProblem::Columns(3))),
        (format!("\"x,{a}"), line(1, LineProblem::Quote)),
        (format!("x\"y,{a}"), line(1, LineProblem::Quote)),
        (
            format!("x,{a}{}", " ,".repeat(300)),
            line(1, LineProblem::Length),
        ),
        (format!("x,{a}0"), InvalidList::Hash { line: 1 }),
        (format!("x,{b}\ny,0x{a}"), InvalidList::Hash { line: 2 }),
        // A heading anywhere else is a mistake.
        (
            format!("x,{b}\nhost name,ek hash"),
            InvalidList::Name {
                line: 2,
                problem: crate::registry::InvalidHostName,
            },
        ),
        (
            format!("a b,{a}"),
            InvalidList::Name {
                line: 1,
                problem: crate::registry::InvalidHostName,
            },
        ),
        (
            format!("=cmd(),{a}"),
            InvalidList::Name {
                line: 1,
                problem: crate::registry::InvalidHostName,
            },
        ),
        (
            format!("x,{a}\n# y\ny,{b}\nz,{}", a.to_uppercase()),
            InvalidList::Again { line: 4, before: 1 },
        ),
    ] {
        assert_eq!(read(&text), Err(why), "{text}");
    }
    let spoiled = [b"x,".as_slice(), &[0xff; 64]].concat();
    assert_eq!(parse(&spoiled, NOW), Err(line(1, LineProblem::Text)));
}

#[test]
fn lists_are_bounded() {
    let numbered =
        |keys: usize| -> String { (0..keys).map(|key| format!("h,{key:064x}\n")).collect() };
    assert_eq!(read(&numbered(MAX_KEYS)).unwrap().len(), MAX_KEYS);
    let line = MAX_KEYS + 1;
    assert_eq!(read(&numbered(line)), Err(InvalidList::Many { line }));
    assert_eq!(parse(&vec![b'\n'; MAX_FILE], NOW), Err(InvalidList::Empty));
    assert_eq!(
        parse(&vec![b'\n'; MAX_FILE + 1], NOW),
        Err(InvalidList::Large)
    );
}

proptest! {
    #[test]
    fn a_list_that_was_written_is_read(
        keys in prop::collection::btree_map("[0-9a-f]{64}", "([A-Za-z0-9._-]{1,20})?", 1..20),
        quoted in any::<bool>(),
        end in prop::sample::select(vec!["\n", "\r\n"]),
    ) {
        let quote = if quoted { "\"" } else { "" };
        let text: String = keys
            .iter()
            .map(|(key, name)| format!("{quote}{name}{quote},{quote}{key}{quote}{end}"))
            .collect();
        let found: BTreeMap<_, _> = read(&text)
            .unwrap()
            .into_iter()
            .map(|(name, key)| (key, name.unwrap_or_default()))
            .collect();
        prop_assert_eq!(found, keys);
    }

    #[test]
    fn anything_is_read_or_refused(bytes in prop::collection::vec(prop::sample::select(b"a0\",\n\r #\xff\t".to_vec()), 0..200)) {
        if let Ok(listed) = parse(&bytes, NOW) {
            prop_assert!(!listed.is_empty());
        }
    }
}
