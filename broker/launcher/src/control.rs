//! The control socket of a session: signals go in; that the program stopped, and how it ended, comes out.
//!
//! One end is the session's first process, the other the broker. Nothing runs before the broker
//! says [`START`], so that the session is on record first; when it closes its end the session ends.
//! Pure encoding; but for what [`crate::inward`] asks and the order of a [`crate::shell`], it must never
//! carry anything else.

use crate::failure::Refusal;

/// The largest message in either direction, in bytes.
pub const MAX_CONTROL: usize = 64;

/// Lets the program run; the first message, and once.
pub const START: [u8; 1] = [0];

/// Puts a process of the session into a sub-agent's cgroup. Two descriptors come along: the cgroup's
/// `cgroup.procs`, and the process's pidfd.
pub const PLACE: [u8; 1] = [5];

/// Stops every process of a session that has no cgroup to be frozen by. One descriptor comes along, where a
/// byte is written once all of them stand.
pub const HALT: [u8; 1] = [8];

/// Lets them go on.
pub const GO_ON: [u8; 1] = [9];

/// A signal that the broker may pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PassedSignal {
    /// The terminal is gone.
    Hangup,
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\.
    Quit,
    /// Please end.
    Terminate,
    /// Ctrl-Z.
    Stop,
    /// Go on, and draw anew.
    Continue,
}

impl PassedSignal {
    /// The message that carries it.
    pub fn encode(self) -> [u8; 1] {
        [match self {
            Self::Hangup => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Terminate => 4,
            // 0, 5, 8 and 9 are no signals.
            Self::Stop => 6,
            Self::Continue => 7,
        }]
    }

    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        match message {
            [1] => Some(Self::Hangup),
            [2] => Some(Self::Interrupt),
            [3] => Some(Self::Quit),
            [4] => Some(Self::Terminate),
            [6] => Some(Self::Stop),
            [7] => Some(Self::Continue),
            _ => None,
        }
    }

    pub(crate) fn number(self) -> libc::c_int {
        match self {
            Self::Hangup => libc::SIGHUP,
            Self::Interrupt => libc::SIGINT,
            Self::Quit => libc::SIGQUIT,
            Self::Terminate => libc::SIGTERM,
            Self::Stop => libc::SIGTSTP,
            Self::Continue => libc::SIGCONT,
        }
    }
}

/// That the program has stopped, as a shell's job does at Ctrl-Z. It is told once for each
/// [`PassedSignal::Continue`], however often the program stops and goes on between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// How often the program had been told to continue by then: who has told it more often meanwhile
    /// knows that this is over.
    pub continued: u32,
}

impl Stopped {
    pub(crate) fn encode(self) -> [u8; 5] {
        let [a, b, c, d] = self.continued.to_le_bytes();
        [b'Z', a, b, c, d]
    }

    fn decode(message: &[u8]) -> Option<Self> {
        let [b'Z', a, b, c, d] = *message else {
            return None;
        };
        let continued = u32::from_le_bytes([a, b, c, d]);
        Some(Self { continued })
    }
}

/// What the first process tells of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It has stopped.
    Stopped(Stopped),
    /// It has ended.
    Ended(Ending),
}

impl News {
    /// Reads what came; an end of file, and anything foreign, means that the session was killed.
    pub fn decode(message: &[u8]) -> Self {
        match Stopped::decode(message) {
            Some(stopped) => Self::Stopped(stopped),
            None => Self::Ended(Ending::decode(message)),
        }
    }
}

/// How a session's program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It exited with this code.
    Exited(u8),
    /// This signal ended it.
    Signaled(u8),
    /// It never ran.
    NotStarted(Refusal),
    /// The session was killed before its program could end.
    Killed,
}

impl Ending {
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::Exited(code) => vec![b'E', code],
            Self::Signaled(signal) => vec![b'S', signal],
            Self::NotStarted(refusal) => {
                let mut message = vec![b'X'];
                message.extend(refusal.encode());
                message
            }
            Self::Killed => Vec::new(),
        }
    }

    /// Reads what came; an end of file, and anything foreign, means that the session was killed.
    pub fn decode(message: &[u8]) -> Self {
        match message {
            [b'E', code] => Self::Exited(*code),
            [b'S', signal] => Self::Signaled(*signal),
            [b'X', a, b, c, d, e, f] => {
                Refusal::decode([*a, *b, *c, *d, *e, *f]).map_or(Self::Killed, Self::NotStarted)
            }
            _ => Self::Killed,
        }
    }

    /// The exit code that a shell would show.
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Signaled(signal) => signal.saturating_add(128),
            Self::NotStarted(_) => 127,
            Self::Killed => 137,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Stage;

    #[test]
    fn endings_survive() {
        let refusal = Refusal::Host {
            stage: Stage::Execute,
            errno: 2,
        };
        for ending in [
            Ending::Exited(3),
            Ending::Signaled(9),
            Ending::NotStarted(refusal),
            Ending::NotStarted(Refusal::Stream),
            Ending::Killed,
        ] {
            assert_eq!(Ending::decode(&ending.encode()), ending);
        }
        assert_eq!(Ending::decode(b"E"), Ending::Killed);
    }

    #[test]
    fn a_stop_is_told_from_an_end() {
        let stopped = Stopped { continued: 70_000 };
        assert_eq!(News::decode(&stopped.encode()), News::Stopped(stopped));
        let ended = Ending::Exited(b'Z');
        assert_eq!(News::decode(&ended.encode()), News::Ended(ended));
        for foreign in [&b"Z"[..], b"Z\0\0\0", b"Z\0\0\0\0\0", b""] {
            assert_eq!(News::decode(foreign), News::Ended(Ending::Killed));
        }
    }

    #[test]
    fn signals_survive() {
        for signal in [
            PassedSignal::Hangup,
            PassedSignal::Interrupt,
            PassedSignal::Quit,
            PassedSignal::Terminate,
            PassedSignal::Stop,
            PassedSignal::Continue,
        ] {
            assert_eq!(PassedSignal::decode(&signal.encode()), Some(signal));
            for other in [START, PLACE, HALT, GO_ON] {
                assert_ne!(signal.encode(), other);
            }
        }
        assert_eq!(PassedSignal::decode(&[10]), None);
    }
}
