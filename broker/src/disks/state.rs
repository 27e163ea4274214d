//! When a disk has too little room left, and which of the sessions that write to it has to go.
//!
//! Pure. It must never choose a session that wrote next to nothing.

use holdfast_protocol::id::SessionId;

/// No more than such a share of a disk is kept free, whatever is configured.
const SHARE: u64 = 10;
/// A session that wrote less than this share of what is kept free has not filled the disk.
const NOTHING: u64 = 8;
/// Below this share of it, nobody goes on.
const LAST: u64 = 16;

/// One disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    keep: u64,
    mark: u64,
}

/// What a look at a disk shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room.
    Enough,
    /// There is too little: what writes to it has to be stopped.
    TooLittle,
}

/// What is to become of the sessions that write to a disk with too little room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This one filled it, and is ended.
    End(SessionId),
    /// None of them did, so far as can be told: they stand still until there is room.
    Hold,
}

impl Disk {
    /// A disk of `size` bytes, of which `keep` are to stay free.
    pub fn new(size: u64, keep: u64) -> Self {
        let keep = keep.min(size / SHARE);
        Self { keep, mark: keep }
    }

    /// So many bytes are free now.
    pub fn on_look(&mut self, free: u64) -> Room {
        if free < self.mark {
            return Room::TooLittle;
        }
        if free >= self.keep {
            self.mark = self.keep;
        }
        Room::Enough
    }

    /// What each session has written to it since it began, in bytes, in the order in which they did.
    pub fn judge(&mut self, free: u64, written: &[(SessionId, u64)]) -> Verdict {
        let most = written.iter().max_by_key(|(_, bytes)| *bytes);
        match most {
            Some((session, bytes)) if *bytes >= self.keep / NOTHING => {
                // What it wrote may stay on the disk: the others go on, until that shrinks further.
                self.mark = (free - free / 4).max(self.keep / LAST);
                Verdict::End(*session)
            }
            Some(_) | None => {
                // A little more than where they stopped, or they would stop and go all the time.
                self.mark = self.keep + self.keep / NOTHING;
                Verdict::Hold
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn id(number: u8) -> SessionId {
        SessionId::from_random([number; 16])
    }

    #[test]
    fn who_wrote_most_goes_and_the_others_go_on_until_there_is_less_still() {
        let mut disk = Disk::new(100 << 30, 1024 * MIB);
        assert_eq!(disk.on_look(1024 * MIB), Room::Enough);
        assert_eq!(disk.on_look(1000 * MIB), Room::TooLittle);
        let written = [(id(1), 200 * MIB), (id(2), 9000 * MIB), (id(3), 0)];
        assert_eq!(disk.judge(1000 * MIB, &written), Verdict::End(id(2)));
        assert_eq!(disk.on_look(999 * MIB), Room::Enough);
        assert_eq!(disk.on_look(749 * MIB), Room::TooLittle);
        let written = [(id(1), 400 * MIB), (id(3), 0)];
        assert_eq!(disk.judge(749 * MIB, &written), Verdict::End(id(1)));
        // Room again: from here on all is as it was.
        assert_eq!(disk.on_look(1025 * MIB), Room::Enough);
        assert_eq!(disk.on_look(1023 * MIB), Room::TooLittle);
    }

    #[test]
    fn at_the_very_end_nobody_goes_on() {
        let mut disk = Disk::new(100 << 30, 1024 * MIB);
        let verdict = disk.judge(0, &[(id(1), 9000 * MIB), (id(2), 0)]);
        assert_eq!(verdict, Verdict::End(id(1)));
        assert_eq!(disk.on_look(0), Room::TooLittle);
        assert_eq!(disk.judge(0, &[(id(2), 0)]), Verdict::Hold);
    }

    #[test]
    fn what_somebody_else_filled_holds_them_until_there_is_clearly_room() {
        let mut disk = Disk::new(100 << 30, 1024 * MIB);
        let verdict = disk.judge(500 * MIB, &[(id(1), 127 * MIB), (id(2), 0)]);
        assert_eq!(verdict, Verdict::Hold);
        assert_eq!(disk.on_look(1100 * MIB), Room::TooLittle);
        assert_eq!(disk.on_look(1152 * MIB), Room::Enough);
        assert_eq!(disk.on_look(1100 * MIB), Room::Enough);
    }

    #[test]
    fn a_small_disk_keeps_a_tenth_and_none_keeps_none() {
        assert_eq!(Disk::new(100, 1024).on_look(10), Room::Enough);
        assert_eq!(Disk::new(100, 1024).on_look(9), Room::TooLittle);
        assert_eq!(Disk::new(100, 0).on_look(0), Room::Enough);
    }
}
