//! A human's own profile of an agent, from a folder that any program of theirs writes to. The input: the kind, a line
//! feed, the text.
#![no_main]

use holdfast_launch_agents::profile::{Profile, with_own};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (kind, text) = text.split_once('\n').unwrap_or(("claude", text));
    let Ok(kind) = kind.parse() else {
        return;
    };
    let built_in = Profile::built_in().expect("they are part of the program");
    let Ok(profile) = with_own(&built_in, &kind, "any", text) else {
        return;
    };
    assert_eq!(profile.kind, kind);
    for place in profile.instructions.iter().chain(&profile.tools) {
        assert!(!place.starts_with('/') && !place.split('/').any(|part| part == ".."));
    }
    // What a known kind refuses, sets and starts with, it still does.
    if let Some(known) = built_in.iter().find(|known| known.kind == kind) {
        for variable in &known.set {
            let set = profile.set.iter().filter(|set| set.name == variable.name);
            assert!(set.map(|set| &set.value).eq([&variable.value]));
        }
        let flags = ["--bare", "--settings"].map(str::to_owned);
        for flag in flags {
            let known = known.argv("any", std::slice::from_ref(&flag)).is_ok();
            let own = profile.argv("any", &[flag]).is_ok();
            assert_eq!(known, own);
        }
    }
});
