//! Allow lists, exclusions and findings.

use proptest::prelude::*;

use super::builder::{MeasuredList, sha256};
use crate::ima::{AllowList, Finding, Findings, Known, List, PathPattern, Policy};
use crate::tpm::{HashAlg, PcrValues};

fn judge(policy: &Policy, list: &MeasuredList) -> Findings {
    let read = List::new(&list.bytes, HashAlg::Sha1, 0);
    policy
        .judge(
            read,
            list.starts.len(),
            &Known::default(),
            &PcrValues::new(),
        )
        .unwrap()
}

fn line(path: &str, content: &[u8]) -> String {
    format!(
        "sha256:{}  {path}\n",
        data_encoding::HEXLOWER.encode(&sha256(content))
    )
}

fn policy(lines: &[String], exclude: &[&str]) -> Policy {
    let mut allow = AllowList::default();
    allow.add(&lines.concat()).unwrap();
    allow.finish();
    Policy {
        allow,
        exclude: exclude
            .iter()
            .map(|text| PathPattern::new(text).unwrap())
            .collect(),
        ..Policy::default()
    }
}

#[test]
fn a_file_passes_only_as_it_is_listed() {
    let list = MeasuredList::new()
        .file("/bin/a", b"a")
        .file("/bin/b", b"a")
        .file("/bin/a", b"changed")
        .file("/tmp/x", b"x")
        .violation("/bin/a")
        .violation("/tmp/y")
        .buffer("kernel_version", b"6.1", b"6.1")
        .buffer("kernel_version", b"6.1", b"6.2")
        .file("/lib/modules/6.1/a.ko", b"ko")
        .file("/lib/other/a.ko", b"ko");
    let lines = [
        line("/bin/a", b"a"),
        line("kernel_version", b"6.1"),
        line("/lib/modules/*/a.ko", b"ko"),
    ];
    let findings = judge(&policy(&lines, &["/tmp/*"]), &list);
    assert_eq!(
        (findings.judged, findings.excluded, findings.unjustified),
        (10, 2, 5)
    );
    let words: Vec<String> = findings
        .first
        .iter()
        .map(|finding| format!("{} {}", finding.path, finding.why))
        .collect();
    assert_eq!(
        words,
        [
            "/bin/b not listed",
            "/bin/a listed with another digest",
            "/bin/a written while it was measured",
            "kernel_version its bytes are not those of its digest",
            "/lib/other/a.ko not listed",
        ]
    );
}

#[test]
fn an_unknown_template_is_a_finding_and_words_are_bounded_and_printable() {
    let mut list = MeasuredList::new();
    list.push("vendor-x", &[b"data".to_vec()]);
    let findings = judge(&policy(&[], &["*"]), &list);
    assert_eq!(
        findings.first[0].to_string(),
        "entry 0, vendor-x: its template is not known"
    );

    let mut list = MeasuredList::new();
    for _ in 0..100 {
        list = list.file(&format!("/\u{1b}[31m{}", "x".repeat(4000)), b"x");
    }
    let findings = judge(&policy(&[], &[]), &list);
    assert_eq!((findings.unjustified, findings.first.len()), (100, 16));
    let shown = findings.first[0].to_string();
    assert!(
        shown.starts_with("entry 0, /\\x1b[31mxxx") && shown.len() < 512,
        "{shown}"
    );
}

#[test]
fn lines_that_are_none_are_named() {
    let digest = "0".repeat(64);
    for (line, problem) in [
        ("word".to_owned(), "`ALGORITHM:HEX  /PATH` was expected"),
        (
            format!("md5:{digest}  /a"),
            "the algorithm is not sha1, sha256, sha384 or sha512",
        ),
        (
            format!("sha1:{digest}  /a"),
            "its digest has another length than its algorithm",
        ),
        ("sha256:zz  /a".to_owned(), "its digest is not hexadecimal"),
        (
            "00  /a".to_owned(),
            "its digest has the length of no algorithm",
        ),
        (format!("{digest}  "), "`ALGORITHM:HEX  /PATH` was expected"),
        (
            format!("\\{digest}  /a\\nb"),
            "a path with escapes cannot be listed: give its pattern",
        ),
        (
            format!("{digest}  /{}", "a".repeat(4096)),
            "its path is empty, or longer than 4096 bytes",
        ),
    ] {
        let text = format!("# comment\n\n{digest}  /fine\n{line}\n");
        let error = AllowList::default().add(&text).unwrap_err();
        assert_eq!((error.line, error.problem), (4, problem), "{line}");
    }
}

#[test]
fn a_large_list_stays_small_and_finds_every_entry() {
    let mut list = AllowList::default();
    let mut text = String::new();
    for n in 0..100_000_u32 {
        text.push_str(&line(
            &format!("/usr/lib/package/file-{n}"),
            &n.to_le_bytes(),
        ));
    }
    list.add(&text).unwrap();
    list.finish();
    assert_eq!(list.len(), 100_000);
    let policy = Policy {
        allow: list,
        ..Policy::default()
    };
    let mut measured = MeasuredList::new();
    for n in (0..100_000_u32).step_by(97) {
        measured = measured.file(&format!("/usr/lib/package/file-{n}"), &n.to_le_bytes());
    }
    assert_eq!(judge(&policy, &measured).unjustified, 0);
}

#[test]
fn findings_read_as_one_line() {
    let list = MeasuredList::new().file("/opt/x y", b"1");
    let words: Vec<String> = judge(&policy(&[], &[]), &list)
        .first
        .iter()
        .map(Finding::to_string)
        .collect();
    insta::assert_snapshot!(words.join("\n"), @"entry 0, /opt/x y, sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b: not listed");
}

/// What a pattern means, said once more: every `*` stands for some bytes.
fn model(pattern: &[u8], path: &[u8]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((b'*', rest)) => (0..=path.len()).any(|n| model(rest, &path[n..])),
        Some((byte, rest)) => path.first() == Some(byte) && model(rest, &path[1..]),
    }
}

proptest! {
    #[test]
    fn patterns_match_as_the_model_does(pattern in "[ab*]{1,8}", path in "[ab]{0,10}") {
        let found = PathPattern::new(&pattern).unwrap().matches(path.as_bytes());
        prop_assert_eq!(found, model(pattern.as_bytes(), path.as_bytes()));
    }

    #[test]
    fn a_hostile_list_is_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "\\PC{0,80}") {
        for entry in List::new(&bytes, HashAlg::Sha1, 0).flatten() {
            let _ = entry.measured();
        }
        let _ = AllowList::default().add(&text);
    }
}
