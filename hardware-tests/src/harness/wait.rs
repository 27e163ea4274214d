//! Waiting for something to become true, with an end.
//!
//! It must never wait without a deadline, and never end quietly when the deadline passes.

use std::time::{Duration, Instant};

/// Short against any budget that a test checks, long against what looking costs.
const PAUSE: Duration = Duration::from_millis(5);

/// Blocks this thread until `condition` holds. Looks at least once, also when `deadline` is zero.
///
/// # Panics
/// When `deadline` has passed; `what` names the thing in the message.
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < deadline,
            "waited {deadline:?} in vain for {what}"
        );
        std::thread::sleep(PAUSE);
    }
}

/// As [`wait_until`], for a test that runs on tokio: the other tasks go on meanwhile.
///
/// # Panics
/// When `deadline` has passed; `what` names the thing in the message.
pub async fn eventually(deadline: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !condition().await {
        assert!(
            start.elapsed() < deadline,
            "waited {deadline:?} in vain for {what}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}
