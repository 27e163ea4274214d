//! Settings that pass between a repository and a session's git folder, as `git config --list -z` prints them.
#![no_main]

#[rustfmt::skip]
#[path = "../../cli/src/git/names.rs"]
#[allow(dead_code, reason = "the command line uses all of it")]
mod names;

// The module by itself, because the command line is a program and not a library.
#[rustfmt::skip]
#[path = "../../cli/src/git/config.rs"]
#[allow(dead_code, reason = "the command line uses all of it")]
mod config;

use config::Change;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let settings = config::settings(data);
    for setting in &settings {
        let sections = [
            "core", "extensions", "fetch", "index", "init", "lfs", "merge", "pull", "push", "rebase",
            "user", "branch", "remote", "submodule", "filter",
        ];
        assert!(sections.contains(&setting.section.as_str()));
        if setting.section == "filter" {
            assert!(setting.value.starts_with("git-lfs ") || setting.value == "true");
        }
        for text in [Some(&setting.value), setting.middle.as_ref()].into_iter().flatten() {
            assert!(!text.chars().any(char::is_control));
        }
    }
    // Each is a header and a line of its own: nothing that is written opens a section that is not on the list.
    let text = config::file(&settings);
    assert_eq!(text.lines().count(), settings.len() * 2);
    // What was there already comes back as nothing.
    assert!(config::changes(&settings, &settings).is_empty());
    for change in config::changes(&[], &settings) {
        if let Change::Follows(setting) = change {
            assert_eq!(setting.section, "branch");
            assert!(setting.key == "merge" || setting.value == ".");
        }
    }
});
