//! Places where a tree of the human's would put other code in place of what was measured.
//!
//! Pure. The program itself, Holdfast's own programs and the agents' managed settings lie in some of
//! them; what the loader and the shell find first lies in the others.

use holdfast_launcher::Place;

/// Nothing of the human's is lent at these places, in them, or over them.
const OURS: [&str; 22] = [
    "/opt/holdfast/bin",
    "/opt/holdfast/libexec",
    "/opt/holdfast/package",
    "/etc/claude-code",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/passwd",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/bin",
    "/usr/sbin",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local/bin",
    "/usr/local/lib",
];

/// Whether a tree at this place would cover, or be found before, what a session runs.
pub(crate) fn covers(place: &Place) -> bool {
    OURS.iter()
        .filter_map(|ours| Place::parse(ours).ok())
        .any(|ours| place.is_within(&ours) || ours.is_within(place))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn nothing_covers_what_is_run() {
        for bad in [
            "/opt",
            "/opt/holdfast",
            "/opt/holdfast/bin/claude",
            "/opt/holdfast/package/node_modules",
            "/usr",
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/lib64/ld-linux-x86-64.so.2",
            "/etc",
            "/etc/claude-code/managed-settings.json",
            "/etc/ld.so.preload",
        ] {
            assert!(covers(&Place::parse(bad).unwrap()), "{bad}");
        }
        for good in [
            "/opt/node/bin",
            "/opt/holdfast-agents",
            "/opt/holdfast/node/bin",
            "/usr/src/app",
            "/etc/ssl/mine",
            "/home/ann/lib",
            "/work",
        ] {
            assert!(!covers(&Place::parse(good).unwrap()), "{good}");
        }
    }
}
