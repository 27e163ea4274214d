//! The machine's clocks, read at the broker's edge alone, and the floor on the disk.
//!
//! Every core takes the time as an input, and every shell asks the one [`Clock`](holdfast_protocol::clock::Clock) that is
//! made with [`read`]. The file is read back as strictly as a peer's message; it must never lower the floor.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use holdfast_protocol::Timestamp;
use holdfast_protocol::clock::{Clock, Floor, Reading};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::durable;
use crate::state::Jitter;

/// The largest file that is read.
const MAX_FILE: u64 = 4096;

/// The floor cannot be kept or read back. Environment.
#[derive(Debug, thiserror::Error)]
pub enum FloorError {
    /// The file cannot be read or written.
    #[error("the time that was proved last cannot be kept in `{path}`")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is something else.
    #[error(
        "`{path}` does not say which time was proved last; without it the broker goes by its own build's"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
}

/// What the file has.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    floor: Floor,
}

/// What the machine's clocks say.
pub fn read() -> Reading {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Reading {
        system: Timestamp::from_millis(0) + since,
        uptime: Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default(),
    }
}

/// The floor that is kept at `path`, and at least `built`: the broker itself was not built in the future.
///
/// # Errors
/// [`FloorError`] if there is something else.
pub fn load_floor(path: &Path, built: Floor) -> Result<Floor, FloorError> {
    let kept = durable::load(path, MAX_FILE).map_err(|source| FloorError::Io {
        path: path.to_owned(),
        source,
    })?;
    let Some(text) = kept else {
        return Ok(built);
    };
    let File { floor } = serde_json::from_slice(&text).map_err(|source| FloorError::Invalid {
        path: path.to_owned(),
        source,
    })?;
    Ok(floor.max(built))
}

/// Keeps the floor, durably, whole or not at all.
pub(crate) fn keep_floor(path: &Path, floor: Floor) -> Result<(), FloorError> {
    let text = serde_json::to_vec(&File { floor }).map_err(|source| FloorError::Invalid {
        path: path.to_owned(),
        source,
    })?;
    durable::replace(path, &text).map_err(|source| FloorError::Io {
        path: path.to_owned(),
        source,
    })
}

/// Spreads a fleet.
pub(crate) fn jitter(clock: &Clock) -> Jitter {
    Jitter::from_random(clock.jitter_bits())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_floor_is_kept_never_lowered_and_nothing_else_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock.json");
        let floor = |secs| Floor::try_from(Timestamp::from_secs(secs)).unwrap();
        assert_eq!(load_floor(&path, floor(50)).unwrap(), floor(50));
        keep_floor(&path, floor(100)).unwrap();
        assert_eq!(load_floor(&path, floor(50)).unwrap(), floor(100));
        assert_eq!(load_floor(&path, floor(150)).unwrap(), floor(150));
        for hostile in [
            "",
            "{}",
            "[]",
            "{\"floor\":-1}",
            "{\"floor\":1e300}",
            "{\"floor\":18446744073709551615}",
            "{\"floor\":1,\"floor\":2}",
            "{\"floor\":1,\"more\":2}",
        ] {
            std::fs::write(&path, hostile).unwrap();
            assert!(load_floor(&path, floor(50)).is_err(), "{hostile}");
        }
    }

    #[test]
    fn the_machines_clocks_run() {
        let before = read();
        let after = read();
        assert!(after.uptime > before.uptime && before.uptime > Duration::ZERO);
    }
}
