#![allow(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;

use super::*;

fn extend(kind: &str, program: &str, text: &str) -> Result<Profile, OwnProfileError> {
    let built_in = Profile::built_in().unwrap();
    with_own(&built_in, &kind.parse().unwrap(), program, text)
}

#[test]
fn a_profile_adds_to_what_holdfast_knows() {
    let text = "names=['cc']\nkeep=['MY_EDITOR']\ninstructions=['.notes/house.md']\n\
                tools=['.local/share/lint']\nhosts=['models.example']\n\
                [[set]]\nname='CLAUDE_THEME'\nvalue='light'";
    let profile = extend("claude", "cc", text).unwrap();
    assert_eq!(profile.kind.as_str(), "claude");
    assert!(
        profile
            .instructions
            .contains(&".claude/CLAUDE.md".to_owned())
    );
    assert!(profile.instructions.contains(&".notes/house.md".to_owned()));
    assert_eq!(profile.hosts, ["api.anthropic.com", "models.example"]);
    assert_eq!(profile.own_hosts, ["models.example"]);
    assert!(
        profile
            .set
            .iter()
            .any(|set| set.name.as_str() == "DISABLE_AUTOUPDATER")
    );
    // What the kind refuses, it still refuses.
    assert!(profile.argv("cc", &["--bare".to_owned()]).is_err());
}

#[test]
fn a_profile_may_define_a_kind_for_any_program() {
    let profile = extend(
        "aider",
        "aider",
        "arguments=['--no-auto-commits','{arguments}']",
    )
    .unwrap();
    assert_eq!(profile.kind.as_str(), "aider");
    let argv = profile.argv("aider", &["x".to_owned()]).unwrap();
    assert_eq!(argv.len(), 3);
    assert!(extend("aider", "aider", "").is_ok());
}

#[test]
fn hostile_profiles_are_refused() {
    for (kind, text) in [
        ("claude", "arguments=['{arguments}']"),
        ("claude", "refuse=[]"),
        ("claude", "seed=[]"),
        ("claude", "kind='shell'"),
        ("claude", "keep=['LD_PRELOAD']"),
        ("claude", "keep=['ANTHROPIC_API_KEY']"),
        ("claude", "keep=['GITHUB_TOKEN']"),
        ("claude", "keep=['https_proxy']"),
        ("claude", "[[set]]\nname='DISABLE_AUTOUPDATER'\nvalue='0'"),
        ("claude", "[[set]]\nname='PATH'\nvalue='/x'"),
        ("claude", "[[set]]\nname='HOLDFAST_SOCKET'\nvalue='/x'"),
        ("claude", "[[set]]\nname='X'\nvalue=\"a\\u0000b\""),
        ("claude", "tools=['../x']"),
        ("claude", "instructions=['/etc/shadow']"),
        ("claude", "hosts=['localhost']"),
        ("claude", "hosts=['10.0.0.1']"),
        ("claude", "hosts=['*.example']"),
        ("mine", "names=['claude']"),
        ("mine", "arguments=[]"),
        ("mine", "arguments=['{arguments}','{arguments}']"),
    ] {
        assert!(extend(kind, "x", text).is_err(), "{kind}: {text}");
    }
    assert!(extend("mine", "claude", "").is_err());
    let many: Vec<String> = (0..65).map(|n| format!("'V{n}'")).collect();
    assert!(extend("mine", "x", &format!("keep=[{}]", many.join(","))).is_err());
    let long = format!("# {}", "x".repeat(MAX_PROFILE));
    assert!(matches!(
        extend("mine", "x", &long),
        Err(OwnProfileError::TooLong)
    ));
}

proptest! {
    #[test]
    fn whatever_is_added_no_refusal_goes(text in "(names|keep|tools|hosts|instructions)=\\['[a-zA-Z_./]{0,12}'\\]") {
        if let Ok(profile) = extend("claude", "claude", &text) {
            prop_assert!(profile.argv("claude", &["--settings=x".to_owned()]).is_err());
            prop_assert!(profile.instructions.iter().chain(&profile.tools).all(|place| is_below_home(place)));
        }
    }
}
