//! Tampering is refused wherever it is, and deltas say what the whole says.

use proptest::prelude::*;

use super::builder::{MeasuredList, sha256};
use crate::ima::{
    AllowList, Known, List, MalformedList, PathPattern, Policy, Prefix, Replay, ReplayRefused,
};
use crate::tpm::{Digest, HashAlg, PcrIndex, PcrValues};

fn quoted(pcr: [u8; 32]) -> PcrValues {
    let mut values = PcrValues::new();
    let value = Digest::new(HashAlg::Sha256, &pcr).unwrap();
    assert!(values.insert(PcrIndex::new(10).unwrap(), value));
    values
}

fn start() -> Replay {
    Replay::start([HashAlg::Sha256])
}

fn replay(from: &Replay, bytes: &[u8], pcr: [u8; 32]) -> Result<Prefix, ReplayRefused> {
    from.replay(
        List::new(bytes, HashAlg::Sha1, from.entries()),
        &quoted(pcr),
        &AllowList::default(),
    )
}

fn sample() -> MeasuredList {
    MeasuredList::new()
        .boot_aggregate([7; 32])
        .file("/usr/bin/a", b"a")
        .violation("/var/log/x")
        .signed("/usr/bin/b", b"b", &[3, 2, 4])
        .buffer("kernel_version", b"6.1", b"6.1")
        .file("/usr/bin/c", b"c")
}

#[test]
fn a_longer_list_is_proven_up_to_the_quote() {
    let quoted_at = sample();
    let longer = quoted_at.clone().file("/later", b"later");
    let Prefix::Proven {
        replay: state,
        entries,
        ..
    } = replay(&start(), &longer.bytes, quoted_at.pcr).unwrap()
    else {
        panic!("not reached");
    };
    assert_eq!((entries, state.entries()), (6, 6));
    // What came later is judged next time, and only once.
    let delta = &longer.bytes[quoted_at.bytes.len()..];
    assert!(matches!(
        replay(&state, delta, longer.pcr),
        Ok(Prefix::Proven { entries: 1, .. })
    ));
    assert!(matches!(
        replay(&state, &longer.bytes, longer.pcr),
        Ok(Prefix::NotReached { .. })
    ));
    assert!(matches!(
        replay(&state, &[], quoted_at.pcr),
        Ok(Prefix::Proven { entries: 0, .. })
    ));
}

#[test]
fn tampering_is_never_proven() {
    let list = sample();
    let cut = |from: usize, to: usize| {
        [
            &list.bytes[..list.starts[from]],
            &list.bytes[list.starts[to]..],
        ]
        .concat()
    };
    let insert = |at: usize, what: &MeasuredList| {
        [
            &list.bytes[..list.starts[at]],
            &what.bytes,
            &list.bytes[list.starts[at]..],
        ]
        .concat()
    };
    let one = MeasuredList::new().file("/usr/bin/evil", b"evil");
    let mut swapped = list.bytes[..list.starts[1]].to_vec();
    swapped.extend(&list.bytes[list.starts[2]..list.starts[3]]);
    swapped.extend(&list.bytes[list.starts[1]..list.starts[2]]);
    swapped.extend(&list.bytes[list.starts[3]..]);
    let table = [
        ("nothing", Vec::new()),
        ("first entry removed", list.bytes[list.starts[1]..].to_vec()),
        ("entry removed", cut(1, 2)),
        ("violation removed", cut(2, 3)),
        ("last entry removed", list.bytes[..list.starts[5]].to_vec()),
        ("entry in front", insert(0, &one)),
        ("entry inserted", insert(3, &one)),
        (
            "entry twice",
            insert(2, &MeasuredList::new().file("/usr/bin/a", b"a")),
        ),
        ("entries swapped", swapped),
        ("another list", one.bytes.clone()),
    ];
    for (name, bytes) in table {
        assert!(
            matches!(
                replay(&start(), &bytes, list.pcr),
                Ok(Prefix::NotReached { .. })
            ),
            "{name}"
        );
    }
    // In no PCR are the name of a template and the data of a violation. Changed, they replay, and are a finding as
    // before: an unknown template, a violation.
    let all = Policy {
        exclude: vec![PathPattern::new("*").unwrap()],
        ..Policy::default()
    };
    for at in 0..list.bytes.len() {
        for bit in [1, 0x80] {
            let mut changed = list.bytes.clone();
            changed[at] ^= bit;
            let Ok(Prefix::Proven { entries, .. }) = replay(&start(), &changed, list.pcr) else {
                continue;
            };
            let judged = all.judge(
                List::new(&changed, HashAlg::Sha1, 0),
                entries,
                &Known::default(),
                &quoted(list.pcr),
            );
            let found = judged.map_or(1, |judged| judged.unjustified + judged.violations);
            assert!(found > 0, "byte {at}");
        }
    }
}

/// A template's name chooses how data are read; none of ours reads those of another as other digests.
#[test]
fn no_entry_is_read_by_two_templates() {
    let mut list = MeasuredList::new();
    let digest = super::builder::digest_field(&[1; 32]);
    let lie = super::builder::digest_field(&[2; 32]);
    // What root puts into a file's attributes, shaped like a digest.
    let fields = [&digest, &super::builder::text("/a"), &lie].map(Clone::clone);
    list.push("ima-sig", &fields);
    for name in ["ima-buf", "ima-sig"] {
        let mut named = list.bytes.clone();
        named[28..35].copy_from_slice(name.as_bytes());
        let entry = List::new(&named, HashAlg::Sha1, 0).next().unwrap().unwrap();
        let measured = entry.measured().unwrap().unwrap();
        assert_eq!(measured.digest.bytes, [1; 32]);
    }
    for name in [
        "ima-ng",
        "ima-ngv2",
        "ima-sigv2",
        "ima-modsig",
        "evm-sig",
        "d|n|d-ng",
    ] {
        let mut other = MeasuredList::new();
        other.push(name, &fields);
        let entry = List::new(&other.bytes, HashAlg::Sha1, 0)
            .next()
            .unwrap()
            .unwrap();
        assert!(!matches!(entry.measured(), Ok(Some(_))), "{name}");
    }
}

#[test]
fn what_is_wrong_is_named_by_entry_and_place() {
    let list = sample();
    let at = list.starts[3];
    let refused = |bytes: &[u8]| replay(&start(), bytes, list.pcr).unwrap_err();
    let field = |field, end: usize| {
        assert_eq!(
            refused(&list.bytes[..end]),
            MalformedList::Truncated {
                index: 3,
                offset: at,
                field
            }
            .into()
        );
    };
    field("pcr", at + 2);
    field("template hash", at + 23);
    field("template name", at + 26);
    field("template name", at + 30);
    field("template data", at + 36);
    field("template data", at + 60);
    let mut long = list.bytes.clone();
    long[at + 24..at + 28].copy_from_slice(&256_u32.to_le_bytes());
    assert_eq!(
        refused(&long),
        MalformedList::TooLong {
            index: 3,
            offset: at,
            field: "template name",
            length: 256,
            limit: 255
        }
        .into()
    );
    let mut huge = list.bytes.clone();
    huge[at + 35..at + 39].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(
        refused(&huge),
        ReplayRefused::Malformed(MalformedList::TooLong { index: 3, .. })
    ));
    let mut hash = list.bytes.clone();
    hash[at + 4] ^= 1;
    assert_eq!(
        refused(&hash),
        ReplayRefused::TemplateHash {
            index: 3,
            offset: at
        }
    );
    let mut pcr = list.bytes.clone();
    pcr[at] = 11;
    assert_eq!(
        refused(&pcr),
        ReplayRefused::OtherPcr {
            index: 3,
            offset: at,
            pcr: 11
        }
    );
    let mut trailing = list.bytes[..list.starts[5]].to_vec();
    trailing.push(0);
    assert!(matches!(
        refused(&trailing),
        ReplayRefused::Malformed(MalformedList::Truncated { index: 5, .. })
    ));
    assert_eq!(
        start().replay(
            List::new(&[], HashAlg::Sha1, 0),
            &PcrValues::new(),
            &AllowList::default()
        ),
        Err(ReplayRefused::NotQuoted(HashAlg::Sha256))
    );
}

#[test]
fn fields_that_do_not_fit_their_template_are_named() {
    for (template, fields, field) in [
        (
            "ima-ng",
            vec![super::builder::digest_field(&[0; 32])],
            "template data",
        ),
        (
            "ima-ng",
            vec![b"sha256\0".to_vec(), super::builder::text("/a")],
            "digest",
        ),
        (
            "ima-ng",
            vec![
                super::builder::digest_field(&[0; 65]),
                super::builder::text("/a"),
            ],
            "digest",
        ),
        (
            "ima-ng",
            vec![super::builder::digest_field(&[0; 32]), b"/a".to_vec()],
            "path",
        ),
        (
            "ima-ng",
            vec![super::builder::digest_field(&[0; 32]), b"/a\0b\0".to_vec()],
            "path",
        ),
        (
            "ima-ng",
            vec![
                super::builder::digest_field(&[0; 32]),
                super::builder::text("/a"),
                Vec::new(),
            ],
            "template data",
        ),
        (
            "ima-ngv2",
            vec![
                super::builder::digest_field(&[0; 32]),
                super::builder::text("/a"),
            ],
            "digest",
        ),
    ] {
        let mut list = MeasuredList::new();
        list.push(template, &fields);
        let entry = List::new(&list.bytes, HashAlg::Sha1, 5)
            .next()
            .unwrap()
            .unwrap();
        assert_eq!(
            entry.measured(),
            Err(MalformedList::Field {
                index: 5,
                offset: 0,
                field
            })
        );
    }
}

#[test]
fn a_list_of_64_mib_is_read_without_memory_of_its_own() {
    // One entry that claims everything, and a list of the smallest entries that there are.
    let mut claims = sample().bytes;
    claims.resize(64 << 20, 0xff);
    assert!(matches!(
        replay(&start(), &claims, [1; 32]),
        Err(ReplayRefused::OtherPcr { .. } | ReplayRefused::Malformed(_))
    ));
    let mut small = MeasuredList::new();
    small.push("", &[]);
    let many = small.bytes.repeat((4 << 20) / small.bytes.len());
    let Ok(Prefix::NotReached { replay: state }) = replay(&start(), &many, [1; 32]) else {
        panic!("proven");
    };
    assert_eq!(state.entries() as usize, many.len() / small.bytes.len());
    // The state never grows: it is kept for every host.
    assert!(serde_json::to_string(&state).unwrap().len() < 300);
}

proptest! {
    #[test]
    fn any_pieces_give_what_the_whole_gives(
        kinds in proptest::collection::vec(0_u8..4, 1..40),
        cuts in proptest::collection::vec(0_usize..40, 0..6),
    ) {
        let mut list = MeasuredList::new();
        let mut values = vec![list.pcr];
        for (n, kind) in kinds.iter().enumerate() {
            let path = format!("/f{n}");
            list = match kind {
                0 => list.violation(&path),
                1 => list.signed(&path, path.as_bytes(), b"sig"),
                2 => list.buffer(&path, b"x", b"x"),
                _ => list.file(&path, path.as_bytes()),
            };
            values.push(list.pcr);
        }
        let Prefix::Proven { replay: whole, .. } = replay(&start(), &list.bytes, list.pcr).unwrap() else {
            panic!("not reached");
        };
        let mut ends: Vec<usize> = cuts.into_iter().filter(|cut| *cut < kinds.len()).collect();
        ends.push(kinds.len());
        ends.sort_unstable();
        let mut state = start();
        for end in ends {
            let from = state.entries() as usize;
            let begin = list.starts.get(from).copied().unwrap_or(list.bytes.len());
            // The list is always read to its end: later entries count for nothing.
            let outcome = replay(&state, &list.bytes[begin..], values[end]).unwrap();
            let Prefix::Proven { replay, entries, .. } = outcome else { panic!("not reached") };
            prop_assert_eq!(entries, end - from);
            let text = serde_json::to_string(&replay).unwrap();
            state = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&state, &replay);
        }
        prop_assert_eq!(state, whole);
    }
}

/// The files a, b and c of /usr/bin, and nothing else.
fn listing() -> Policy {
    let mut allow = AllowList::default();
    let lines = ["a", "b", "c"].map(|name| {
        let digest = data_encoding::HEXLOWER.encode(&sha256(name.as_bytes()));
        format!("{digest}  /usr/bin/{name}\n")
    });
    allow.add(&lines.concat()).unwrap();
    allow.finish();
    Policy {
        allow,
        ..Policy::default()
    }
}

#[test]
fn what_is_listed_is_known_without_hashing_and_comes_to_the_same() {
    let policy = listing();
    // The same data under another name are read otherwise: as a signature that is missing, as nothing that is known.
    let mut list = sample()
        .file("/usr/bin/b", b"b")
        .file("/usr/bin/b", b"other");
    for name in ["ima-sig", "own"] {
        let digest = super::builder::digest_field(&sha256(b"a"));
        list.push(name, &[digest, super::builder::text("/usr/bin/a")]);
    }
    for entry in List::new(&list.bytes, HashAlg::Sha1, 0).map(Result::unwrap) {
        let hashes = policy.allow.hashes(&entry);
        let listed = entry.template_hash().1;
        assert!(hashes.is_none_or(|hashes| hashes.of(HashAlg::Sha1) == Some(listed)));
    }
    let outcome = |bytes: &[u8], allow: &AllowList| {
        let read = List::new(bytes, HashAlg::Sha1, 0);
        let prefix = start().replay(read.clone(), &quoted(list.pcr), allow)?;
        Ok::<_, ReplayRefused>(match prefix {
            Prefix::Proven {
                replay,
                entries,
                known,
            } => Some((
                replay,
                policy.judge(read, entries, &known, &PcrValues::new()),
            )),
            Prefix::NotReached { .. } => None,
        })
    };
    let none = AllowList::default();
    assert!(matches!(outcome(&list.bytes, &policy.allow), Ok(Some(_))));
    for at in 0..list.bytes.len() {
        for bit in [0, 1, 0x80] {
            let mut changed = list.bytes.clone();
            changed[at] ^= bit;
            let known = outcome(&changed, &policy.allow);
            assert_eq!(known, outcome(&changed, &none), "byte {at}");
        }
    }
    let Ok(Prefix::Proven { known, .. }) = start().replay(
        List::new(&list.bytes, HashAlg::Sha1, 0),
        &quoted(list.pcr),
        &policy.allow,
    ) else {
        panic!("not reached");
    };
    // A signed entry carries more than the file.
    let which: Vec<_> = (0..10).filter(|at| known.has(*at)).collect();
    assert_eq!(which, [1, 5, 6, 8, 9]);
}
