//! What the parser breaks on, or would never end on.

use super::*;

#[test]
fn a_here_document_without_a_tag_is_read_and_ends() {
    for script in ["cat <<''", "cat <<'' ", "cat <<\"\" x", "echo $(cat <<'' )"] {
        effects(script, Path::new(CWD), &world());
    }
    let push = "cat <<''\nbody\n\ngit push origin main";
    let found = effects(push, Path::new(CWD), &world());
    assert!(
        found
            .iter()
            .any(|effect| matches!(effect, Effect::Pushes { .. })),
        "{found:?}"
    );
}

#[test]
fn what_the_parser_breaks_on_is_uninspectable_and_harms_nobody() {
    let deep = format!("{}ls ~99999999999999999999", "{ ".repeat(40)) + &"; }".repeat(40);
    for script in [
        "echo 2147483648>&1",
        "cat 99999999999999999999>x",
        "a 4294967296<y",
        "ls ~99999999999999999999",
        "ls ~-99999999999999999999/x",
        "cat <<<~+99999999999999999999",
        "cat <<\r ",
        "cat <<-\x0c x",
        "echo $(cat <<\r )",
        "cat <<\r\nharmless\n\r\ngit push",
        deep.as_str(),
    ] {
        let found = effects(script, Path::new(CWD), &world());
        let outward = |effect: &Effect| {
            matches!(
                effect,
                Effect::Uninspectable {
                    reach: Reach::Outward,
                    ..
                }
            )
        };
        assert!(found.iter().any(outward), "{script}: {found:?}");
        // The next text is understood as ever.
        let next = effects("ls >file", Path::new(CWD), &world());
        assert!(!next.iter().any(outward), "{next:?}");
    }
    // As an argument it is only a number.
    let effects = effects("echo 2147483648; ls >file", Path::new(CWD), &world());
    assert!(!matches!(
        effects.first(),
        Some(Effect::Uninspectable { .. })
    ));
}
