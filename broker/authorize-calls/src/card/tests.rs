#![allow(clippy::unwrap_used, reason = "tests")]
use proptest::prelude::*;

use super::*;

fn headline(effects: &[Effect]) -> String {
    summary(effects, "")
}

fn push(remote: Option<&str>, refspec: Option<&str>, history: History) -> Effect {
    Effect::Pushes {
        remote: remote.map(str::to_owned),
        refspec: refspec.map(str::to_owned),
        history,
    }
}

#[test]
fn headlines_say_what_will_happen() {
    let read = Effect::Reads {
        path: "/p/a".into(),
    };
    let run = Effect::Runs {
        program: "git".into(),
    };
    let headlines = [
        headline(&[]),
        headline(std::slice::from_ref(&read)),
        headline(&[read.clone(), run.clone()]),
        headline(&[
            read.clone(),
            run.clone(),
            push(Some("origin"), Some("main"), History::Kept),
        ]),
        headline(&[push(None, None, History::Overwritten)]),
        headline(&[push(
            Some("https://evil.example/x"),
            Some("refs/*"),
            History::Overwritten,
        )]),
        headline(&[push(Some("origin"), Some("refs/tags/v1"), History::Kept)]),
        headline(&[Effect::Publishes {
            registry: "npm".into(),
        }]),
        headline(&[
            Effect::Deletes {
                path: "/home/ann/x".into(),
            },
            read,
        ]),
        headline(&[Effect::Deletes {
            path: format!("/a/{}/end", "long/".repeat(40)).into(),
        }]),
        headline(&[Effect::Writes {
            path: "/p/\u{202e}gpj.exe`; really`".into(),
        }]),
        headline(&[Effect::Reaches {
            host: "new.example:443".into(),
            manner: Manner::Fetch,
        }]),
        headline(&[
            Effect::Reaches {
                host: "new.example".into(),
                manner: Manner::Send,
            },
            run,
        ]),
        headline(&[Effect::UsesSecret {
            name: "github".into(),
        }]),
        headline(&[Effect::Spends {
            what: "gpu hours".into(),
        }]),
        headline(&[Effect::Uninspectable {
            why: "a shell runs what it is fed".into(),
            reach: Reach::Outward,
        }]),
        headline(&[Effect::Uninspectable {
            why: "`awk` may write a file".into(),
            reach: Reach::Local,
        }]),
    ];
    insta::assert_snapshot!(headlines.join("\n"));
}

proptest! {
    #[test]
    fn nothing_invisible_is_shown(path in ".*") {
        let shown = headline(&[Effect::Writes { path: path.into() }]);
        prop_assert!(shown.chars().all(|c| c.is_alphanumeric() || c.is_ascii_graphic() || c == ' ' || c == '…'));
        prop_assert!(shown.starts_with("Write `") && shown.ends_with('`'));
        prop_assert_eq!(shown.matches('`').count(), 2);
    }
}

#[test]
fn a_session_that_begins_is_named_with_its_project() {
    let widens = |typed: &str| Effect::Widens {
        widening: typed.parse().unwrap(),
    };
    let whom = "claude in `/home/ann/app`";
    let headlines = [
        summary(&[widens("--rw /home/ann/data")], whom),
        summary(
            &[widens("--ro /srv/docs"), widens("--host a.example")],
            whom,
        ),
        summary(&[widens("--unguard .github/workflows")], whom),
        summary(
            &[
                widens("--publish 3000"),
                widens("--reach localhost:5432"),
                widens("--rw /srv/x"),
            ],
            whom,
        ),
    ];
    insta::assert_snapshot!(headlines.join("\n"), @"
    Lend `/home/ann/data` writable to claude in `/home/ann/app`
    Lend `/srv/docs` for reading to claude in `/home/ann/app`, and 1 more thing
    Let `.github/workflows` be changed, which decides what runs outside the session, for claude in `/home/ann/app`
    Lend `/srv/x` writable to claude in `/home/ann/app`, and 2 more things
    ");
}
