//! What the processes of a session have taken, where it has no cgroup that counts it.
//!
//! Found as the descendants of its first process, which is the parent of all that lose theirs. For listings and signs of
//! life: it must never decide whose a call is.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use holdfast_launcher::peer;

/// More are not counted.
const MOST: usize = 16 * 1024;

/// A tick of the times in `/proc` (proc_pid_stat(5)): 100 a second for every program, whatever the kernel's own.
const TICK: Duration = Duration::from_millis(10);

/// How many there are, the first not counted.
pub(super) fn count(first: &OwnedFd) -> io::Result<u32> {
    let all = below(first)?.len().saturating_sub(1);
    Ok(u32::try_from(all).unwrap_or(u32::MAX))
}

/// The processor time of those that live and of those that were waited for.
pub(super) fn usage(first: &OwnedFd) -> io::Result<Duration> {
    let ticks = below(first)?.into_iter().filter_map(|pid| {
        // One that has just ended is waited for, and counts there.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        ticks(&stat)
    });
    let ticks = ticks.fold(0_u32, u32::saturating_add);
    Ok(TICK.saturating_mul(ticks))
}

/// `utime`, `stime`, `cutime` and `cstime` together.
fn ticks(stat: &str) -> Option<u32> {
    // The program's name stands in brackets, and may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let times = fields.split_ascii_whitespace().skip(11).take(4);
    Some(
        times
            .filter_map(|time| time.parse().ok())
            .fold(0, u32::saturating_add),
    )
}

/// The first process and its descendants.
pub(super) fn below(first: &OwnedFd) -> io::Result<Vec<u32>> {
    let first = peer::pid(first)?.ok_or(io::ErrorKind::NotFound)?;
    let mut all = vec![first];
    let mut next = 0;
    while let Some(pid) = all.get(next).copied() {
        next += 1;
        let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
            continue;
        };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children.split_ascii_whitespace();
            all.extend(children.filter_map(|pid| pid.parse::<u32>().ok()));
        }
        if all.len() > MOST {
            break;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_past_whatever_a_program_is_called() {
        let stat = "7 (a) R 1 2) S 1 7 7 0 -1 4194560 100 0 0 0 3 4 50 600 20 0 1 0 1 1 1";
        assert_eq!(ticks(stat), Some(657));
        assert_eq!(ticks("7 no brackets"), None);
    }
}
