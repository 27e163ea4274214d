#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::HashMap;
use std::fs;

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_790_000_000);

/// What is found in a home with these files, in this environment.
fn look(files: &[(&str, &[u8])], variables: &[(&str, &str)]) -> (Finds, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = home.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let finds = Finds::look(
        None,
        &Surroundings {
            home: home.path(),
            variable: &|name| variables.get(name).map(|value| (*value).to_owned()),
            now: NOW,
        },
    );
    (finds, home)
}

/// The finds as the command prints them, with the home's own name taken out.
fn told((finds, home): &(Finds, tempfile::TempDir)) -> String {
    let home = home.path().display().to_string();
    crate::render::secrets::finds(finds, &[]).replace(&home, "~")
}

const LOGIN: &[u8] = br#"{"claudeAiOauth": {"accessToken": "sk-ant-oat01-abc", "refreshToken": "sk-ant-ort01-def",
    "expiresAt": 1790000001000, "scopes": ["user:inference"], "subscriptionType": "max"}, "mcpOAuth": {}}"#;

#[test]
fn what_lies_around_is_found_with_its_use() {
    let git = b"https://dev:p%40ss%20w@github.com\nhttps://x:t1@git.example:8443/org/\nhttps://y:t2@github.com\n\n";
    let looked = look(
        &[
            (".claude/.credentials.json", LOGIN),
            (".git-credentials", git),
            (".config/git/credentials", b"http://u:v@10.0.0.1:3000\n"),
        ],
        &[
            ("ANTHROPIC_API_KEY", "sk-ant-api03-key"),
            ("ANTHROPIC_BASE_URL", "https://gateway.example/anthropic"),
            ("CLAUDE_CODE_OAUTH_TOKEN", ""),
        ],
    );
    let text = told(&looked);
    insta::assert_snapshot!(text);
    let values: Vec<String> = looked
        .0
        .found
        .iter()
        .map(|found| found.value.expose().to_string())
        .collect();
    assert_eq!(
        values,
        [
            "sk-ant-api03-key",
            "sk-ant-oat01-abc",
            "p@ss w",
            "t1",
            "t2",
            "v"
        ]
    );
    let json = serde_json::to_string(&looked.0).unwrap();
    for value in ["api03-key", "oat01", "ort01", "p@ss", "p%40ss"] {
        assert!(
            !text.contains(value) && !json.contains(value),
            "{value} was shown"
        );
    }
}

#[test]
fn what_is_no_secret_is_told_of_without_its_words() {
    let git = b"https://github.com\nssh://u:word@x.example\nhttps://u@x.example\nhttps://u:a%0ab@x.example\n\
        https://u:%zz@x.example\nhttps://u:%ff@x.example\nhttps://u:word@x.example/?q\nword\nhttps://u%3av:word@x.example\n";
    let looked = look(
        &[
            (
                ".claude/.credentials.json",
                b"{\"claudeAiOauth\": \"word\"}",
            ),
            (".git-credentials", git),
        ],
        &[("ANTHROPIC_API_KEY", "a word")],
    );
    assert!(looked.0.found.is_empty(), "{:?}", looked.0.found);
    let text = told(&looked);
    insta::assert_snapshot!(text);
    assert!(!text.contains("word@") && !text.contains("a word"));
}

#[test]
fn a_key_does_not_go_to_another_api_than_its_own() {
    let (finds, _home) = look(
        &[],
        &[
            ("ANTHROPIC_API_KEY", "sk-ant-api03-key"),
            ("ANTHROPIC_BASE_URL", "gateway"),
        ],
    );
    assert!(finds.found.is_empty());
    assert_eq!(finds.skipped.len(), 1);
}

#[test]
fn a_token_that_has_expired_is_not_taken() {
    let expired = String::from_utf8(LOGIN.to_vec())
        .unwrap()
        .replace("1790000001000", "1790000000000");
    let (finds, _home) = look(&[(".claude/.credentials.json", expired.as_bytes())], &[]);
    assert!(finds.found.is_empty());
    assert!(finds.skipped[0].why.contains("expired"));
}

#[test]
fn what_is_too_long_is_not_read_to_its_end() {
    let long = vec![b'x'; MAX_FILE + 1];
    let many = "https://u:p@x.example\n".repeat(MAX_FOUND + 1);
    let (finds, _home) = look(
        &[
            (".claude/.credentials.json", &long),
            (".git-credentials", many.as_bytes()),
        ],
        &[],
    );
    assert_eq!(finds.found.len(), MAX_FOUND);
    assert_eq!(finds.skipped.len(), 2);
    let names: BTreeSet<_> = finds.found.iter().map(|found| &found.name).collect();
    assert_eq!(names.len(), MAX_FOUND, "two secrets have one name");
}

#[test]
fn only_a_file_is_read() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join(".git-credentials")).unwrap();
    let pipe = home.path().join(".claude/.credentials.json");
    fs::create_dir(home.path().join(".claude")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let finds = Finds::look(
        None,
        &Surroundings {
            home: home.path(),
            variable: &|_| None,
            now: NOW,
        },
    );
    assert!(finds.found.is_empty());
    assert_eq!(finds.skipped.len(), 2);
}

proptest! {
    #[test]
    fn no_file_breaks_it(claude in prop::collection::vec(any::<u8>(), 0..200), git in "(https?://|[%:@/a-z0-9\\[\\]]|\\PC|\n){0,80}") {
        let (finds, _home) = look(
            &[(".claude/.credentials.json", &claude), (".git-credentials", git.as_bytes())],
            &[],
        );
        for found in &finds.found {
            prop_assert!(!found.value.expose().chars().any(char::is_control));
        }
    }

    #[test]
    fn git_credentials_come_back_as_they_were_stored(user in "[a-z@%/]{1,8}", password in "[ -~é]{1,20}") {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let line = format!("https://{}:{}@git.example\n", encode(&user), encode(&password));
        let (finds, _home) = look(&[(".git-credentials", line.as_bytes())], &[]);
        prop_assert_eq!(&*finds.found[0].value.expose(), &password);
        let SecretUse::Git { username, .. } = &finds.found[0].purpose else {
            return Err(TestCaseError::fail("not for git"));
        };
        prop_assert_eq!(username.as_str(), &user);
    }
}
