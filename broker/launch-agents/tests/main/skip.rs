//! What a machine cannot do is left out loudly, and never where `CI` says that nothing may be.

/// Says that a test, or a part of one, is left out, and why.
///
/// # Panics
/// Where `CI` is `true`.
pub fn skipped(why: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "CI leaves nothing out: {why}");
    eprintln!("SKIPPED: {why}");
}
