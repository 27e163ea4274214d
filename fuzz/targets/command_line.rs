//! Other programs' command lines, made fit to be shown.
#![no_main]

// The module by itself, because the program keeps it to itself.
#[rustfmt::skip]
#[path = "../../cli/src/discover/words.rs"]
mod words;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    let told = words::command(line.split('\0'));
    assert!(told.len() <= 66);
    for word in &told {
        assert!(word.chars().count() <= 81 && !word.chars().any(char::is_control));
    }
    let shown = words::shown(line);
    assert!(shown.chars().count() <= 81 && !shown.chars().any(char::is_control));
    // What follows a flag's `=` changes nothing of what is told. (To look for the value in it would not do: a value may
    // be the very mark that stands for it.)
    if let Some((flag, value)) = line.split_once('=') {
        let other = if value == "other" { "another" } else { "other" };
        let without = format!("{flag}={other}");
        for program in ["x", "npx"] {
            assert_eq!(
                words::command([program, line]),
                words::command([program, &without])
            );
        }
    }
});
