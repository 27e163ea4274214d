//! The broker's one clock: made once, handed to every job.
//!
//! It must never be told a time by anything but the machine's clocks and an attestation.

use std::path::Path;
use std::time::Duration;

use holdfast_attest_host::{FloorError, load_floor, read};
use holdfast_protocol::Timestamp;
use holdfast_protocol::clock::{Clock, Floor, Source};

/// How wrong the clock may have been of the machine that built this.
const BUILDERS_CLOCK: Duration = Duration::from_secs(24 * 3600);

/// A clock that goes by the floor in `path`, and by this program's build at least.
///
/// # Errors
/// [`FloorError`] if the file has something else.
pub fn open(path: &Path) -> Result<Clock, FloorError> {
    let clock = Clock::new(load_floor(path, built())?, read);
    if clock.told().source == Source::Lost {
        tracing::warn!(
            "this host's clock is before a time that has passed; the attestor is asked what time it is"
        );
    }
    Ok(clock)
}

fn built() -> Floor {
    let seconds = env!("HOLDFAST_BUILT").parse().unwrap_or(0);
    Floor::proven(Timestamp::from_secs(seconds) - BUILDERS_CLOCK)
}
