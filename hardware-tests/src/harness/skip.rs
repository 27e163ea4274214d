//! What a machine cannot do is left out loudly, and never where `CI` says that nothing may be.
//!
//! It must never let a test pass that showed nothing without saying so.

/// Says that a test is left out, and why.
///
/// # Panics
/// Where `CI` is `true`: nothing may be left out there.
pub fn skipped(why: &str) {
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "CI leaves nothing out: {why}");
    eprintln!("SKIPPED: {why}");
}
