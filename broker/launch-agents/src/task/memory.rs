//! What a session's processes take of the host's memory, counted where no controller of the kernel's does.
//!
//! It reads only what anybody may. Pages that a fork shares are counted for each of its processes, so it must never say
//! more than the whole host has in use.

use std::fs;
use std::io;
use std::os::fd::AsFd;

/// The processes that a `cgroup.procs` lists.
pub(super) fn pids(list: impl AsFd) -> io::Result<Vec<u32>> {
    let mut text = Vec::new();
    loop {
        let mut page = [0; 16 * 1024];
        let offset = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let read = rustix::io::pread(&list, &mut page, offset)?;
        text.extend_from_slice(page.get(..read).unwrap_or_default());
        if read == 0 {
            break;
        }
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// The bytes that these processes have of their own in memory; those that ended meanwhile have none. `None` where the
/// host does not say.
pub(super) fn taken(pids: &[u32]) -> Option<u64> {
    let each = pids.iter().filter_map(|pid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        bytes(&status, "RssAnon:")
    });
    let sum: u64 = each.fold(0, u64::saturating_add);
    let used = in_use(&fs::read_to_string("/proc/meminfo").ok()?)?;
    Some(sum.min(used))
}

/// A number of KiB beside its name, in bytes (proc_pid_status(5), proc_meminfo(5)).
fn bytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(number.saturating_mul(1024))
}

/// What the host cannot give to anybody else.
fn in_use(meminfo: &str) -> Option<u64> {
    Some(bytes(meminfo, "MemTotal:")?.saturating_sub(bytes(meminfo, "MemAvailable:")?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn numbers_are_read_from_the_kernels_words() {
        let status = "VmRSS:\t   9000 kB\nRssAnon:\t    380 kB\nRssFile:\t 1 kB\n";
        assert_eq!(bytes(status, "RssAnon:"), Some(380 * 1024));
        for text in [
            "",
            "RssAnon:",
            "RssAnon: 3",
            "RssAnon: x kB",
            " RssAnon: 3 kB",
        ] {
            assert_eq!(bytes(text, "RssAnon:"), None, "{text:?}");
        }
        let meminfo = "MemTotal:       1000 kB\nMemFree: 9 kB\nMemAvailable:    400 kB\n";
        assert_eq!(in_use(meminfo), Some(600 * 1024));
        assert_eq!(in_use("MemTotal: 1000 kB\n"), None);
    }

    #[test]
    fn own_pages_count_and_never_for_more_than_the_host_has_in_use() {
        let block = vec![1_u8; 32 << 20];
        let own = taken(&[std::process::id()]).unwrap();
        assert!(own > 32 << 20, "{own}");
        let many = taken(&[std::process::id(); 10_000]).unwrap();
        let used = in_use(&fs::read_to_string("/proc/meminfo").unwrap()).unwrap();
        // Others come and go between the two looks.
        assert!(many < used * 2 && many < own * 10_000, "{many} of {used}");
        drop(block);
    }
}
