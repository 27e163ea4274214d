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
