//! What this host gives sessions: controllers to bound them with, uids of their own, news of their humans.

use std::fs;

use holdfast_protocol::management::Presence;

use super::{Examined, Finding};

/// The controllers that sessions are bounded by (Linux, admin-guide/cgroup-v2).
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];

/// Whether the v2 hierarchy has the controllers.
pub fn controllers() -> Examined {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let root = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let place = fields.next()?;
        (fields.next()? == "cgroup2").then_some(place)
    });
    let present = root.map(|root| {
        let list = fs::read_to_string(format!("{root}/cgroup.controllers"));
        list.unwrap_or_default()
    });
    examine_controllers(present.as_deref())
}

fn examine_controllers(present: Option<&str>) -> Examined {
    let what = "session limits";
    let Some(present) = present else {
        return Examined {
            what,
            finding: Finding::Broken,
            seen: "no cgroup v2 hierarchy is mounted".to_owned(),
            advice: "mount one (cgroup2): without it no session can be made",
        };
    };
    let present: Vec<&str> = present.split_whitespace().collect();
    let absent: Vec<&str> = CONTROLLERS
        .into_iter()
        .filter(|wanted| !present.contains(wanted))
        .collect();
    if absent.is_empty() {
        return Examined {
            what,
            finding: Finding::Good,
            seen: "memory, processes and processors can be bounded".to_owned(),
            advice: "",
        };
    }
    Examined {
        what,
        finding: Finding::Weak,
        seen: format!(
            "cgroup v2 has no controller for {}: sessions run without that bound",
            absent.join(", ")
        ),
        advice: "boot with the unified hierarchy (systemd.unified_cgroup_hierarchy=1); processes are bounded by uid \
                 all the same",
    }
}

/// Whether the uids of sessions are set aside for them.
pub fn uids() -> Examined {
    let text = fs::read_to_string("/etc/subuid").unwrap_or_default();
    examine_uids(&text, launchers_range())
}

/// The range that a running launcher was started with, as the kernel shows its arguments.
fn launchers_range() -> Option<(u64, u64)> {
    fs::read_dir("/proc").ok()?.find_map(|entry| {
        let line = fs::read(entry.ok()?.path().join("cmdline")).ok()?;
        let line = String::from_utf8(line).ok()?;
        let mut words = line.split('\0');
        if !words.next()?.ends_with("holdfast-launcher") {
            return None;
        }
        let range = words.skip_while(|word| *word != "--uid-range").nth(1)?;
        let (first, last) = range.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    })
}

fn examine_uids(subuid: &str, range: Option<(u64, u64)>) -> Examined {
    let what = "session uids";
    let Some((first, last)) = range else {
        return Examined {
            what,
            finding: Finding::Weak,
            seen: "no launcher is seen to run".to_owned(),
            advice: "start holdfast-launcher: without it there are no sealed sessions",
        };
    };
    let reserved = subuid.lines().any(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        let [name, start, count] = fields.as_slice() else {
            return false;
        };
        let (Ok(start), Ok(count)) = (start.parse::<u64>(), count.parse::<u64>()) else {
            return false;
        };
        *name == "holdfast" && start <= first && last < start.saturating_add(count)
    });
    Examined {
        what,
        finding: if reserved {
            Finding::Good
        } else {
            Finding::Weak
        },
        seen: format!(
            "{first} to {last}, {} in /etc/subuid",
            if reserved { "reserved" } else { "not reserved" }
        ),
        advice: if reserved {
            ""
        } else {
            "add the line of packaging/subid/holdfast.subuid to /etc/subuid and /etc/subgid: no tool then gives these \
             numbers to anybody else"
        },
    }
}

/// Whether a locked screen and a logout are seen.
pub fn presence(presence: &Presence) -> Examined {
    let (finding, seen, advice) = match presence {
        Presence::Unwanted => (
            Finding::Good,
            "a locked screen and a logout mean nothing, by configuration".to_owned(),
            "",
        ),
        Presence::Followed => (
            Finding::Good,
            "systemd-logind tells of locked screens and logouts".to_owned(),
            "",
        ),
        Presence::Unseen { why } => (
            Finding::Weak,
            format!("a locked screen or a logout goes unnoticed: {why}"),
            "sessions end with the command that keeps them all the same; where there is no logind, set `on-lock` and \
             `on-logout` to \"nothing\"",
        ),
    };
    Examined {
        what: "screen and logout",
        finding,
        seen,
        advice,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hybrid_host_is_weak_and_says_what_is_missing() {
        let found = examine_controllers(Some("cpuset cpu io memory hugetlb pids\n"));
        assert_eq!(found.finding, Finding::Good);
        let hybrid = examine_controllers(Some("cpu"));
        assert_eq!(hybrid.finding, Finding::Weak);
        assert!(hybrid.seen.contains("memory, pids:"), "{}", hybrid.seen);
        assert_eq!(examine_controllers(None).finding, Finding::Broken);
    }

    #[test]
    fn a_reservation_has_to_hold_the_whole_range() {
        let finding = |text| examine_uids(text, Some((70_000, 70_999))).finding;
        assert_eq!(
            finding("ann:100000:65536\nholdfast:70000:1000\n"),
            Finding::Good
        );
        for short in [
            "",
            "holdfast:70000:999",
            "holdfast:70001:1000",
            "ann:70000:1000",
        ] {
            assert_eq!(finding(short), Finding::Weak, "{short}");
        }
        assert_eq!(examine_uids("", None).finding, Finding::Weak);
    }
}
