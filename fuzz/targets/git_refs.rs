//! Refs that a session left in its git folder, before anything of it comes near the human's.
#![no_main]

// The module by itself, because the command line is a program and not a library.
#[rustfmt::skip]
#[path = "../../cli/src/git/names.rs"]
#[allow(dead_code, reason = "the command line uses all of it")]
mod names;

use libfuzzer_sys::fuzz_target;
use names::{MAX_NAME, Oid, RefName, Value};

fuzz_target!(|data: &[u8]| {
    match names::value(data) {
        Some(Value::Object(oid)) => sound_oid(&oid),
        Some(Value::Symbolic(name)) => sound_name(&name),
        None => {}
    }
    let (packed, odd) = names::packed(data);
    assert!(packed.len() + odd <= data.split(|byte| *byte == b'\n').count());
    for (name, oid) in &packed {
        sound_name(name);
        sound_oid(oid);
        // It stands there like that.
        let line = format!("{oid} {name}");
        assert!(data.windows(line.len()).any(|part| part == line.as_bytes()));
    }
    for entry in names::log(data) {
        sound_oid(&entry.oid);
        assert!(!entry.why.chars().any(char::is_control));
    }
});

fn sound_oid(oid: &Oid) {
    assert!(matches!(oid.as_str().len(), 40 | 64));
    assert!(oid.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()));
}

/// One word of one line that stays below `refs/`.
fn sound_name(name: &RefName) {
    let text = name.as_str();
    assert!(text.len() <= MAX_NAME && text.starts_with("refs/") && !text.contains(".."));
    assert!(!text.chars().any(|c| c.is_ascii_control() || c == ' '));
    assert!(text.split('/').all(|part| !part.is_empty() && !part.starts_with('.')));
    assert_eq!(RefName::parse(text).as_ref(), Some(name));
}
