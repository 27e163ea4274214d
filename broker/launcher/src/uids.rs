//! Which session uids are in use.
//!
//! Pure. It must never give out a uid twice, and puts off reusing one as long as it can.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// The uids that sessions may have.
#[derive(Debug)]
pub(crate) struct Uids {
    range: RangeInclusive<u32>,
    used: BTreeSet<u32>,
    next: u32,
}

impl Uids {
    pub(crate) fn new(range: RangeInclusive<u32>) -> Self {
        let next = *range.start();
        Self {
            range,
            used: BTreeSet::new(),
            next,
        }
    }

    /// Takes the first uid that is free here and that `claim` says is free elsewhere.
    pub(crate) fn take(&mut self, claim: impl Fn(u32) -> bool) -> Option<u32> {
        let (start, end) = (*self.range.start(), *self.range.end());
        let free = (self.next..=end)
            .chain(start..self.next)
            .find(|uid| !self.used.contains(uid) && claim(*uid))?;
        self.used.insert(free);
        self.next = if free == end {
            start
        } else {
            free.saturating_add(1)
        };
        Some(free)
    }

    /// Gives a uid back, once nothing runs under it.
    pub(crate) fn give_back(&mut self, uid: u32) {
        self.used.remove(&uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uids_are_unique_and_reused_last() {
        let mut uids = Uids::new(10..=12);
        let any = |_| true;
        assert_eq!([uids.take(any), uids.take(any)], [Some(10), Some(11)]);
        uids.give_back(10);
        assert_eq!([uids.take(any), uids.take(any)], [Some(12), Some(10)]);
        assert_eq!(uids.take(any), None);
        uids.give_back(11);
        assert_eq!(uids.take(|uid| uid != 11), None);
        assert_eq!(uids.take(any), Some(11));
    }
}
