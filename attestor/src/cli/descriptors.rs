//! Room for connections: each is a file descriptor, and a process is given a thousand unless it asks for more.

use std::num::NonZeroU32;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that are no host's connection: the store's, the log, the listener.
const OWN: u64 = 128;

/// How many of `wanted` connections there is room for, once the system has given what it gives without being root.
pub(super) fn room_for(wanted: NonZeroU32) -> usize {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        ..limits
    };
    let given = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limits.maximum,
        Err(error) => {
            tracing::warn!(%error, "no more file descriptors are to be had");
            limits.current
        }
    };
    // Without a limit there is always room.
    let room = given.map_or(u64::MAX, |given| given.saturating_sub(OWN));
    let room = usize::try_from(room).unwrap_or(usize::MAX).max(1);
    let wanted = usize::try_from(wanted.get()).unwrap_or(usize::MAX);
    if room < wanted {
        tracing::warn!(
            connections = room,
            "fewer connections are kept than `max-connections` says: the limit of file descriptors is too low"
        );
    }
    wanted.min(room)
}
