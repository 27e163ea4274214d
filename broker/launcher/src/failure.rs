//! Why a session was not made: one short, bounded answer for the broker.
//!
//! A refusal names the step and the kernel's error number. It must never carry text from outside.

use std::io;

use rustix::io::Errno;

/// Why the launcher made no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The broker's message is not a launch, or not one that fits its bounds.
    #[error("the message is not a valid launch")]
    Message,
    /// The number or kind of the descriptors does not fit the message.
    #[error("the descriptors do not fit the message")]
    Descriptors,
    /// A standard stream is a way out: a terminal of the host's, or a connection to a server on it.
    #[error(
        "a standard stream may be no terminal of the host's and no connection to a server on it (a Unix socket with a name); \
         use a pipe or a file"
    )]
    Stream,
    /// The connection belongs to no human that may have sessions; the payload is its uid.
    #[error("uid {0} is not a human who may have sessions")]
    Human(u32),
    /// All session uids are in use.
    #[error("no session uid is free")]
    Exhausted,
    /// It takes root, and this launcher runs without.
    #[error("that takes root, and Holdfast runs without: contained")]
    Unprivileged,
    /// The host could not do a step.
    #[error("{stage}: {}", io::Error::from_raw_os_error(*errno))]
    Host {
        /// The step.
        stage: Stage,
        /// The kernel's error number.
        errno: i32,
    },
}

impl Refusal {
    /// Its number, a step's number, and a number of the refusal's own.
    pub(crate) fn encode(self) -> [u8; 6] {
        let (kind, stage, value) = match self {
            Self::Message => (1, 0, 0),
            Self::Descriptors => (2, 0, 0),
            Self::Human(uid) => (3, 0, uid),
            Self::Exhausted => (4, 0, 0),
            Self::Host { stage, errno } => (5, stage.code(), errno.cast_unsigned()),
            Self::Unprivileged => (6, 0, 0),
            Self::Stream => (7, 0, 0),
        };
        let [a, b, c, d] = value.to_le_bytes();
        [kind, stage, a, b, c, d]
    }

    /// Reads what [`Self::encode`] wrote; `None` if it is none of that.
    pub(crate) fn decode([kind, stage, value @ ..]: [u8; 6]) -> Option<Self> {
        let value = u32::from_le_bytes(value);
        Some(match kind {
            1 => Self::Message,
            2 => Self::Descriptors,
            3 => Self::Human(value),
            4 => Self::Exhausted,
            5 => Self::Host {
                stage: Stage::from_code(stage)?,
                errno: value.cast_signed(),
            },
            6 => Self::Unprivileged,
            7 => Self::Stream,
            _ => return None,
        })
    }
}

macro_rules! stages {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// A step of making a session.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Stage { $($(#[$doc])* $name = $code,)* }

        impl Stage {
            /// The step with this number, as a message carries it.
            pub(crate) fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The step's number, as a message carries it.
            pub(crate) fn code(self) -> u8 {
                match self { $(Self::$name => $code,)* }
            }
        }

        impl std::fmt::Display for Stage {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)* })
            }
        }
    };
}

stages! {
    /// Reading the human's credentials from the passed connection.
    Credentials = 1, "cannot read who asks";
    /// Making the cgroup.
    Cgroup = 2, "cannot make the session's cgroup";
    /// Making the user namespace.
    Identity = 3, "cannot map the session's uid";
    /// Cloning a passed tree; idmapping it, where it is written to.
    Tree = 4, "cannot take over a passed folder";
    /// Starting the process.
    Spawn = 5, "cannot start the session's process";
    /// Making the root, its system folders and devices.
    Root = 6, "cannot make the session's root";
    /// Mounting the passed trees.
    Mount = 7, "cannot mount a folder at its place";
    /// Loopback and the bridge's listener.
    Network = 8, "cannot make the session's network";
    /// The session's terminal.
    Terminal = 9, "cannot make the session's terminal";
    /// Changing to the session's uid.
    Privileges = 10, "cannot drop privileges";
    /// Landlock.
    Landlock = 11, "cannot apply Landlock";
    /// Seccomp.
    Seccomp = 12, "cannot apply seccomp";
    /// The session's working folder.
    Directory = 13, "cannot enter the working folder";
    /// Executing the program.
    Execute = 14, "cannot execute the program";
    /// The session did not get ready in time.
    Deadline = 15, "the session did not get ready in time";
    /// Looking at a process.
    Describe = 16, "cannot tell what the process runs";
}

/// Attaches the step to a kernel error.
pub(crate) trait At<T> {
    /// `self`, or the refusal that names `stage`.
    fn at(self, stage: Stage) -> Result<T, Refusal>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, stage: Stage) -> Result<T, Refusal> {
        self.map_err(|errno| Refusal::Host {
            stage,
            errno: errno.raw_os_error(),
        })
    }
}

impl<T> At<T> for io::Result<T> {
    fn at(self, stage: Stage) -> Result<T, Refusal> {
        self.map_err(|error| Refusal::Host {
            stage,
            errno: error.raw_os_error().unwrap_or(Errno::INVAL.raw_os_error()),
        })
    }
}
