#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::policy::{Allow, Listed};

fn digest(byte: u8) -> Sha256Digest {
    Sha256Digest::new([byte; 32])
}

fn package(name: Option<&str>) -> MeasuredPackage {
    MeasuredPackage {
        digest: digest(9),
        script: "x.js".to_owned(),
        name: name.map(|name| name.parse().unwrap()),
    }
}

fn kind_of(
    name: &str,
    package: Option<&MeasuredPackage>,
    asked: Option<&str>,
    policy: &Policy,
) -> Result<String, NotOfKind> {
    let profiles = Profile::built_in().unwrap();
    let candidate = Candidate {
        name,
        program: digest(1),
        package,
    };
    let asked = asked.map(|kind| kind.parse().unwrap());
    claim(&profiles, candidate, asked.as_ref(), policy).map(|profile| profile.kind.to_string())
}

#[test]
fn a_kind_is_the_program_s_not_the_word_s() {
    let any = Policy::default();
    let codex = package(Some("@openai/codex"));
    let other = package(Some("left-pad"));
    let loose = package(None);
    let kind = |name, package, asked| kind_of(name, package, asked, &any);
    assert_eq!(kind("claude", None, None).unwrap(), "claude");
    assert_eq!(kind("bash", None, None).unwrap(), "shell");
    // The package decides, whatever the command is called.
    assert_eq!(kind("codex", Some(&codex), None).unwrap(), "codex");
    assert_eq!(kind("cx", Some(&codex), None).unwrap(), "codex");
    assert_eq!(kind("codex", Some(&other), None).unwrap(), "shell");
    assert_eq!(kind("codex", Some(&loose), None).unwrap(), "shell");
    assert_eq!(kind("cx", Some(&codex), Some("codex")).unwrap(), "codex");
    for (name, package, asked) in [
        ("bash", None, "codex"),
        ("bash", None, "claude"),
        ("codex", Some(&other), "codex"),
        ("codex", Some(&loose), "codex"),
        ("claude", Some(&codex), "claude"),
    ] {
        let result = kind(name, package, Some(asked));
        assert!(matches!(result, Err(NotOfKind::Other { .. })), "{name}");
    }
    // Less than it could be is anybody's to ask for.
    assert_eq!(kind("claude", None, Some("shell")).unwrap(), "shell");
    assert!(matches!(
        kind("bash", None, Some("emacs")),
        Err(NotOfKind::Unknown(_))
    ));
}

#[test]
fn the_host_s_own_list_says_what_a_digest_is() {
    let listed = |program, package| Policy {
        allow: Allow::Any,
        programs: vec![Listed {
            kind: "claude".parse().unwrap(),
            program,
            package,
        }],
        ..Policy::default()
    };
    let mine = listed(Some(digest(1)), None);
    assert_eq!(kind_of("my-claude", None, None, &mine).unwrap(), "claude");
    assert_eq!(
        kind_of("my-claude", None, Some("claude"), &mine).unwrap(),
        "claude"
    );
    let other = listed(Some(digest(2)), None);
    assert_eq!(kind_of("my-claude", None, None, &other).unwrap(), "shell");
    let tree = listed(None, Some(digest(9)));
    let loose = package(None);
    assert_eq!(kind_of("x", Some(&loose), None, &tree).unwrap(), "claude");
    assert_eq!(kind_of("x", None, None, &tree).unwrap(), "shell");
}
