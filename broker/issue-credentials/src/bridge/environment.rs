//! The variables that lead a session's programs to the bridge.
//!
//! They hold placeholders. This module must never see a secret.

use std::num::NonZeroU16;

use holdfast_protocol::vault::{AnthropicCredential, SecretUse};

use crate::grant::Granted;

/// The variables, names and values, for a bridge on `port` of the session's own loopback.
///
/// `helper` is git's credential helper as git's configuration has it (a path, or a command after
/// `!`); it is the only one that git asks.
pub fn environment(granted: &[Granted], port: NonZeroU16, helper: &str) -> Vec<(String, String)> {
    let bridge = format!("http://127.0.0.1:{port}");
    let mut variables = Vec::new();
    let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        set(name, bridge.clone());
    }
    for name in ["NO_PROXY", "no_proxy"] {
        set(name, "127.0.0.1,localhost".to_owned());
    }
    // An agent has one key; the first that was granted is it.
    let model = granted.iter().find_map(|granted| match granted.purpose {
        SecretUse::Anthropic { credential, .. } => Some((credential, &granted.placeholder)),
        SecretUse::Git { .. } => None,
    });
    if let Some((credential, placeholder)) = model {
        set("ANTHROPIC_BASE_URL", format!("{bridge}/anthropic"));
        let name = match credential {
            AnthropicCredential::ApiKey => "ANTHROPIC_AUTH_TOKEN",
            AnthropicCredential::SubscriptionToken => "CLAUDE_CODE_OAUTH_TOKEN",
        };
        set(name, placeholder.as_str().to_owned());
    }
    let settings = git_settings(granted, &bridge, helper);
    set("GIT_TERMINAL_PROMPT", "0".to_owned());
    set("GIT_CONFIG_COUNT", settings.len().to_string());
    for (n, (key, value)) in settings.into_iter().enumerate() {
        set(&format!("GIT_CONFIG_KEY_{n}"), key);
        set(&format!("GIT_CONFIG_VALUE_{n}"), value);
    }
    variables
}

fn git_settings(granted: &[Granted], bridge: &str, helper: &str) -> Vec<(String, String)> {
    let mut settings = vec![
        // An empty value forgets the helpers that other configuration named.
        ("credential.helper".to_owned(), String::new()),
        ("credential.helper".to_owned(), helper.to_owned()),
        ("credential.useHttpPath".to_owned(), "true".to_owned()),
    ];
    for granted in granted {
        let SecretUse::Git { remote, .. } = &granted.purpose else {
            continue;
        };
        let key = format!("url.{bridge}/git/{}/.insteadOf", granted.name);
        // Git compares beginnings of text. With the slash nothing beside the remote matches; without
        // it, which one repository needs, `.git` at the end keeps its neighbors out.
        settings.push((key.clone(), format!("{remote}/")));
        if remote.path().ends_with(".git") {
            settings.push((key, remote.to_string()));
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeMap;

    use super::*;
    use crate::grant::Placeholder;

    fn variables(purposes: Vec<SecretUse>) -> BTreeMap<String, String> {
        let granted: Vec<Granted> = purposes
            .into_iter()
            .map(|purpose| Granted {
                name: "a-secret".parse().unwrap(),
                purpose,
                placeholder: Placeholder::from_random([0; 20]),
            })
            .collect();
        let port = NonZeroU16::new(3128).unwrap();
        environment(&granted, port, "/bin/helper")
            .into_iter()
            .collect()
    }

    #[test]
    fn an_agent_finds_its_model() {
        let base = "https://api.anthropic.com";
        for (credential, name) in [
            (AnthropicCredential::ApiKey, "ANTHROPIC_AUTH_TOKEN"),
            (
                AnthropicCredential::SubscriptionToken,
                "CLAUDE_CODE_OAUTH_TOKEN",
            ),
        ] {
            let base = base.parse().unwrap();
            let set = variables(vec![SecretUse::Anthropic { base, credential }]);
            let url = set.get("ANTHROPIC_BASE_URL").unwrap();
            assert_eq!(url, "http://127.0.0.1:3128/anthropic");
            assert!(set.get(name).unwrap().starts_with("hf_"));
            assert_eq!(
                set.values()
                    .filter(|value| value.starts_with("hf_"))
                    .count(),
                1
            );
        }
    }

    #[test]
    fn without_a_secret_there_is_the_proxy_alone() {
        let set = variables(vec![]);
        assert_eq!(set.get("HTTPS_PROXY").unwrap(), "http://127.0.0.1:3128");
        assert_eq!(set.get("NO_PROXY").unwrap(), "127.0.0.1,localhost");
        assert_eq!(set.get("GIT_CONFIG_COUNT").unwrap(), "3");
        assert!(!set.keys().any(|name| name.starts_with("ANTHROPIC")));
    }

    #[test]
    fn a_remote_is_led_to_the_bridge_and_its_neighbors_are_not() {
        for (remote, leads) in [
            ("https://git.example/org", vec!["https://git.example/org/"]),
            (
                "https://git.example/org/repo.git",
                vec![
                    "https://git.example/org/repo.git/",
                    "https://git.example/org/repo.git",
                ],
            ),
        ] {
            let (remote, username) = (remote.parse().unwrap(), "me".parse().unwrap());
            let set = variables(vec![SecretUse::Git { remote, username }]);
            let key = "url.http://127.0.0.1:3128/git/a-secret/.insteadOf";
            let led: Vec<&str> = (0..10)
                .filter(|n| {
                    set.get(&format!("GIT_CONFIG_KEY_{n}"))
                        .is_some_and(|is| is == key)
                })
                .filter_map(|n| {
                    set.get(&format!("GIT_CONFIG_VALUE_{n}"))
                        .map(String::as_str)
                })
                .collect();
            assert_eq!(led, leads);
        }
    }
}
