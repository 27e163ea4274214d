//! Whether the uids of sessions are nobody else's: this host's accounts, groups and subordinate ids.
//!
//! A session's uid that is an account's would give that account the session, and the session the
//! account's files. Files of accounts only: what a directory service knows is for its administrator to
//! keep free. It must never change any of them.

use std::fs;
use std::io;
use std::ops::RangeInclusive;

/// Whose reservation in `/etc/subuid` is the sessions' own: the broker's account.
const RESERVED_BY: &str = "holdfast";

/// Fails if a uid of the range is taken; the text says where.
pub(crate) fn refuse_taken(range: &RangeInclusive<u32>) -> io::Result<()> {
    type Search = fn(&str, &RangeInclusive<u32>) -> Option<String>;
    const FILES: [(&str, Search); 4] = [
        ("/etc/passwd", account_in),
        ("/etc/group", account_in),
        ("/etc/subuid", reservation_in),
        ("/etc/subgid", reservation_in),
    ];
    for (path, search) in FILES {
        if let Some(whose) = search(&read(path)?, range) {
            return Err(io::Error::other(format!(
                "--uid-range {}-{} meets `{whose}` in {path}: choose a range that nothing else uses",
                range.start(),
                range.end()
            )));
        }
    }
    Ok(())
}

/// A file's text, empty where it is absent; people's names in it may be in any encoding.
fn read(path: &str) -> io::Result<String> {
    match fs::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Whose number, the third field (passwd(5), group(5)), lies in the range.
fn account_in(text: &str, range: &RangeInclusive<u32>) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.starts_with('#'))?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        range.contains(&number).then(|| name.to_owned())
    })
}

/// Whose subordinate ids (subuid(5)) overlap the range.
fn reservation_in(text: &str, range: &RangeInclusive<u32>) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| *name != RESERVED_BY)?;
        let first: u64 = fields.next()?.parse().ok()?;
        let count: u64 = fields.next()?.parse().ok()?;
        let (start, end) = (u64::from(*range.start()), u64::from(*range.end()));
        let overlaps = count > 0 && first <= end && first.saturating_add(count) > start;
        overlaps.then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: RangeInclusive<u32> = 70_000..=70_999;

    #[test]
    fn an_account_in_the_range_is_found() {
        let free = "root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n";
        assert_eq!(account_in(free, &RANGE), None);
        let taken = format!("{free}bob:x:70999:100::/:/bin/sh\n");
        assert_eq!(account_in(&taken, &RANGE).as_deref(), Some("bob"));
        // What is no account is none: a comment, a line of NIS.
        assert_eq!(account_in("# x:y:70000\n+::::::\n\n", &RANGE), None);
    }

    #[test]
    fn subordinate_ids_may_touch_the_range_and_not_enter_it() {
        for free in [
            "ann:100000:65536",
            "ann:69000:1000",
            "ann:71000:5",
            "ann:70000:0",
            "holdfast:70000:1000",
            "nonsense",
        ] {
            assert_eq!(reservation_in(free, &RANGE), None, "{free}");
        }
        for taken in ["ann:69000:1001", "ann:70999:1", "ann:0:4294967295"] {
            let whose = reservation_in(taken, &RANGE);
            assert_eq!(whose.as_deref(), Some("ann"), "{taken}");
        }
    }
}
