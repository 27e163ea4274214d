//! A snapshot as a file: a line for each entry, and at its end how many and their hash.
//!
//! What is torn or edited has another end and is never taken for a snapshot. One way to write each.

use std::collections::BTreeMap;
use std::fmt::Write;

use data_encoding::HEXLOWER;
use holdfast_protocol::time::Timestamp;
use sha2::{Digest, Sha256};

use super::entry::{Entry, Identity, Mode, NotKept};
use super::escape::{escape, unescape};
use super::path::RelPath;
use super::rules::{Place, Rules};

/// The first word of a file, with its version.
const HEAD: &str = "holdfast-snapshot-1";

/// Everything in a project.
pub type Entries = BTreeMap<RelPath, Entry>;

/// What a project held.
#[derive(Debug)]
pub struct Manifest {
    /// When.
    pub taken: Timestamp,
    /// What was left out.
    pub rules: Rules,
    /// What was there.
    pub entries: Entries,
}

/// What is different from a snapshot that was taken before; none for what is gone.
#[derive(Debug, PartialEq, Eq)]
pub struct Delta {
    /// When.
    pub taken: Timestamp,
    /// What is different.
    pub entries: BTreeMap<RelPath, Option<Entry>>,
}

impl Delta {
    /// From one to the other.
    pub fn between(before: &Entries, after: &Entries, taken: Timestamp) -> Self {
        let mut entries = BTreeMap::new();
        for (path, entry) in after {
            if before.get(path) != Some(entry) {
                entries.insert(path.clone(), Some(entry.clone()));
            }
        }
        for path in before.keys() {
            if !after.contains_key(path) {
                entries.insert(path.clone(), None);
            }
        }
        Self { taken, entries }
    }

    /// What there is after `before` and this.
    pub fn after(self, before: &Entries) -> Entries {
        let mut after = before.clone();
        for (path, entry) in self.entries {
            match entry {
                Some(entry) => after.insert(path, entry),
                None => after.remove(&path),
            };
        }
        after
    }

    /// As a file.
    pub fn encode(&self) -> String {
        let mut text = head(self.taken);
        for (path, entry) in &self.entries {
            match entry {
                Some(entry) => write_entry(&mut text, path, entry),
                None => line(&mut text, &["-", &escape(path.as_bytes())]),
            }
        }
        seal(text)
    }

    /// From a file.
    pub fn decode(text: &str) -> Option<Self> {
        let (taken, lines) = open(text)?;
        let mut entries = BTreeMap::new();
        for words in lines {
            let (path, entry) = match words.as_slice() {
                ["-", path] => (parse_path(path)?, None),
                words => {
                    let (path, entry) = parse_entry(words)?;
                    (path, Some(entry))
                }
            };
            entries.insert(path, entry);
        }
        Some(Self { taken, entries })
    }
}

impl Manifest {
    /// As a file.
    pub fn encode(&self) -> String {
        let mut text = head(self.taken);
        for (place, rule) in self.rules.lines() {
            let rule = escape(rule);
            match place {
                Place::Exclude => line(&mut text, &["x", &rule]),
                Place::Folder(None) => line(&mut text, &["r", &rule]),
                Place::Folder(Some(folder)) => {
                    line(&mut text, &["r", &rule, &escape(folder.as_bytes())]);
                }
            }
        }
        for (path, entry) in &self.entries {
            write_entry(&mut text, path, entry);
        }
        seal(text)
    }

    /// From a file.
    pub fn decode(text: &str) -> Option<Self> {
        let (taken, lines) = open(text)?;
        let mut rules: BTreeMap<Place, Vec<u8>> = BTreeMap::new();
        let mut entries = BTreeMap::new();
        for words in lines {
            let (place, rule) = match words.as_slice() {
                ["x", rule] => (Place::Exclude, rule),
                ["r", rule] => (Place::Folder(None), rule),
                ["r", rule, folder] => (Place::Folder(Some(parse_path(folder)?)), rule),
                words => {
                    let (path, entry) = parse_entry(words)?;
                    entries.insert(path, entry);
                    continue;
                }
            };
            let text = rules.entry(place).or_default();
            text.extend(unescape(rule)?);
            text.push(b'\n');
        }
        let mut manifest = Self {
            taken,
            rules: Rules::default(),
            entries,
        };
        for (place, text) in rules {
            manifest.rules.add(place, &text);
        }
        Some(manifest)
    }
}

fn head(taken: Timestamp) -> String {
    format!("{HEAD} {}\n", taken.as_millis())
}

fn line(text: &mut String, words: &[&str]) {
    text.push_str(&words.join(" "));
    text.push('\n');
}

fn write_entry(text: &mut String, path: &RelPath, entry: &Entry) {
    let path = escape(path.as_bytes());
    let _ = match entry {
        Entry::Folder(mode) => writeln!(text, "d {mode} {path}"),
        Entry::File { mode, size, digest } => writeln!(text, "f {mode} {size} {digest} {path}"),
        Entry::Link(target) => writeln!(text, "l {} {path}", escape(target)),
        Entry::Unkept { why, identity } => {
            let why = why.word();
            writeln!(text, "u {why} {} {path}", write_identity(identity))
        }
    };
}

/// An identity as six words.
pub fn write_identity(identity: &Identity) -> String {
    let Identity {
        device,
        inode,
        mode,
        size,
        modified,
        changed,
    } = identity;
    format!("{device} {inode} {mode:o} {size} {modified} {changed}")
}

fn parse_path(word: &str) -> Option<RelPath> {
    RelPath::parse(&unescape(word)?)
}

fn parse_mode(word: &str) -> Option<Mode> {
    let bits = u32::from_str_radix(word, 8).ok()?;
    (bits <= 0o7777).then(|| Mode::of(bits))
}

/// An identity from its six words.
pub fn parse_identity(words: [&str; 6]) -> Option<Identity> {
    let [device, inode, mode, size, modified, changed] = words;
    Some(Identity {
        device: device.parse().ok()?,
        inode: inode.parse().ok()?,
        mode: u32::from_str_radix(mode, 8).ok()?,
        size: size.parse().ok()?,
        modified: modified.parse().ok()?,
        changed: changed.parse().ok()?,
    })
}

fn parse_entry(words: &[&str]) -> Option<(RelPath, Entry)> {
    match *words {
        ["d", mode, path] => Some((parse_path(path)?, Entry::Folder(parse_mode(mode)?))),
        ["f", mode, size, digest, path] => {
            let entry = Entry::File {
                mode: parse_mode(mode)?,
                size: size.parse().ok()?,
                digest: digest.parse().ok()?,
            };
            Some((parse_path(path)?, entry))
        }
        ["l", target, path] => Some((parse_path(path)?, Entry::Link(unescape(target)?))),
        ["u", why, a, b, c, d, e, f, path] => {
            let entry = Entry::Unkept {
                why: NotKept::parse(why)?,
                identity: parse_identity([a, b, c, d, e, f])?,
            };
            Some((parse_path(path)?, entry))
        }
        _ => None,
    }
}

/// Adds the end.
fn seal(mut text: String) -> String {
    let lines = text.lines().count();
    let hash = HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
    line(&mut text, &["end", &lines.to_string(), &hash]);
    text
}

/// Checks head and end; gives what is between.
fn open(text: &str) -> Option<(Timestamp, impl Iterator<Item = Vec<&str>>)> {
    let without_newline = text.strip_suffix('\n')?;
    let end = without_newline.rfind('\n')? + 1;
    let (body, end) = text.split_at_checked(end)?;
    if seal(body.to_owned()).get(body.len()..)? != end {
        return None;
    }
    let mut lines = body.lines();
    let taken = lines.next()?.strip_prefix(HEAD)?.strip_prefix(' ')?;
    let taken = Timestamp::from_millis(taken.parse().ok()?);
    Some((taken, lines.map(|line| line.split(' ').collect())))
}

#[cfg(test)]
mod tests {
    use holdfast_protocol::digest::Sha256Digest;
    use proptest::prelude::*;

    use super::*;

    fn entry() -> impl Strategy<Value = Entry> {
        let mode = (0_u32..=0o7777).prop_map(Mode::of);
        let identity = (any::<[u64; 3]>(), any::<u32>(), any::<[i64; 2]>()).prop_map(
            |([device, inode, size], mode, [modified, changed])| Identity {
                device,
                inode,
                mode,
                size,
                modified: modified.into(),
                changed: changed.into(),
            },
        );
        prop_oneof![
            mode.clone().prop_map(Entry::Folder),
            (mode, any::<u64>(), any::<[u8; 32]>()).prop_map(|(mode, size, digest)| Entry::File {
                mode,
                size,
                digest: Sha256Digest::new(digest)
            }),
            proptest::collection::vec(any::<u8>(), 0..9).prop_map(Entry::Link),
            identity.prop_map(|identity| Entry::Unkept {
                why: NotKept::Special,
                identity
            }),
        ]
    }

    fn entries() -> impl Strategy<Value = Entries> {
        let path = proptest::collection::vec(any::<u8>(), 1..9)
            .prop_filter_map("a path", |bytes| RelPath::parse(&bytes));
        proptest::collection::btree_map(path, entry(), 0..9)
    }

    proptest! {
        #[test]
        fn a_snapshot_is_read_as_it_was_written(entries in entries()) {
            let mut rules = Rules::default();
            rules.add(Place::Exclude, b"a b\n");
            rules.add(Place::Folder(RelPath::parse(b"c d")), b"target/\n\xff\n");
            let manifest = Manifest { taken: Timestamp::from_secs(7), rules, entries };
            let read = Manifest::decode(&manifest.encode()).unwrap();
            prop_assert_eq!(read.encode(), manifest.encode());
            prop_assert_eq!(read.entries, manifest.entries);
        }

        #[test]
        fn a_difference_leads_from_one_to_the_other(before in entries(), after in entries()) {
            let delta = Delta::between(&before, &after, Timestamp::from_secs(1));
            let read = Delta::decode(&delta.encode()).unwrap();
            prop_assert_eq!(&read, &delta);
            prop_assert_eq!(read.after(&before), after);
        }

        #[test]
        fn a_torn_or_edited_one_is_none(entries in entries(), at in any::<prop::sample::Index>(), cut in any::<bool>()) {
            let manifest = Manifest { taken: Timestamp::from_secs(7), rules: Rules::default(), entries };
            let mut text = manifest.encode().into_bytes();
            let at = at.index(text.len());
            if cut {
                text.truncate(at);
            } else {
                text[at] = if text[at] == b'0' { b'1' } else { b'0' };
            }
            prop_assert!(Manifest::decode(std::str::from_utf8(&text).unwrap()).is_none());
        }
    }
}
