//! How the launcher is started: four flags, or another one alone, fixed for its life.
//!
//! Parsed once, before anything is opened. No flag may weaken a session: [`Start::Contained`] is for a process that has
//! no rights, and is refused by one that has.

use std::ops::RangeInclusive;
use std::path::PathBuf;

/// What every start has to say.
pub const USAGE: &str = "holdfast-launcher --broker-uid UID --uid-range FIRST-LAST \
[--allow-root-human] [--bind SOCKET]
       holdfast-launcher --contained
without --bind it serves the listening socket that the service manager passes;
--contained, alone, is for a broker that a human runs without root, which starts it on its standard input";

/// Wrongly started.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// No such flag.
    #[error("`{0}` is not an option")]
    Unknown(String),
    /// A flag's value is absent or not what belongs there.
    #[error("`{0}` wants {1}")]
    Value(&'static str, &'static str),
}

/// What kind of launcher it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Root's, for the host's broker.
    System(Options),
    /// A human's own, without rights.
    Contained,
}

impl Start {
    /// Parses the arguments after the program's name.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        let arguments: Vec<String> = arguments.into_iter().collect();
        match arguments.as_slice() {
            [only] if only == "--contained" => Ok(Self::Contained),
            _ => Options::parse(arguments).map(Self::System),
        }
    }
}

/// The launcher's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The only uid that may connect.
    pub broker: u32,
    /// The uids that sessions get; nothing else on the host may use them.
    pub uids: RangeInclusive<u32>,
    /// Whether uid 0 counts as a human.
    pub root: RootHuman,
    /// Where to listen.
    pub listen: Listen,
}

/// Whether uid 0 may have sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootHuman {
    /// It may not: the default.
    Refuse,
    /// It may, as on machines that have no other user. Its sessions have no more rights for it.
    Allow,
}

/// Where the broker connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// A listening socket that the service manager passes (`LISTEN_FDS=1`).
    Passed,
    /// A socket to be made here, owned by the broker's uid.
    At(PathBuf),
}

impl Options {
    /// Parses the arguments after the program's name.
    ///
    /// # Errors
    /// [`UsageError`].
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, UsageError> {
        const NO_BROKER: UsageError = UsageError::Value("--broker-uid", "a uid");
        const NO_RANGE: UsageError = UsageError::Value(
            "--uid-range",
            "FIRST-LAST, between 1000 and 4294967293, not 65534",
        );
        let mut arguments = arguments.into_iter();
        let (mut broker, mut uids) = (None, None);
        let (mut root, mut listen) = (RootHuman::Refuse, Listen::Passed);
        while let Some(flag) = arguments.next() {
            match flag.as_str() {
                "--broker-uid" => broker = arguments.next().and_then(|uid| uid.parse().ok()),
                "--uid-range" => uids = arguments.next().and_then(|text| range(&text)),
                "--allow-root-human" => root = RootHuman::Allow,
                "--bind" => {
                    let path = arguments.next().map(PathBuf::from);
                    listen = path
                        .filter(|path| path.is_absolute())
                        .map(Listen::At)
                        .ok_or(UsageError::Value("--bind", "an absolute path"))?;
                }
                _ => return Err(UsageError::Unknown(flag)),
            }
        }
        Ok(Self {
            broker: broker.ok_or(NO_BROKER)?,
            uids: uids.ok_or(NO_RANGE)?,
            root,
            listen,
        })
    }
}

fn range(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-')?;
    let range = first.parse().ok()?..=last.parse().ok()?;
    // 65534 is nobody; the two highest numbers mean "none" to the kernel.
    let sound = *range.start() >= 1000
        && *range.end() < u32::MAX - 1
        && !range.is_empty()
        && !range.contains(&65534);
    sound.then_some(range)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parse(text: &str) -> Result<Options, UsageError> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_whole_line_parses() {
        let options =
            parse("--broker-uid 977 --uid-range 70000-70999 --bind /run/holdfast/l").unwrap();
        assert_eq!(options.broker, 977);
        assert_eq!(options.uids, 70000..=70999);
        assert_eq!(options.root, RootHuman::Refuse);
        assert_eq!(options.listen, Listen::At("/run/holdfast/l".into()));
    }

    #[test]
    fn a_launcher_without_rights_is_told_nothing_else() {
        let start = Start::parse(["--contained".to_owned()]);
        assert_eq!(start, Ok(Start::Contained));
    }

    #[test]
    fn what_is_unclear_is_refused() {
        for bad in [
            "",
            "--broker-uid 1",
            "--uid-range 70000-70999",
            "--broker-uid x --uid-range 70000-70999",
            "--broker-uid 1 --uid-range 0-999",
            "--broker-uid 1 --uid-range 70999-70000",
            "--broker-uid 1 --uid-range 65000-66000",
            "--broker-uid 1 --uid-range 70000-70999 --bind x",
            "--broker-uid 1 --uid-range 70000-70999 --yes",
            "--broker-uid 1 --uid-range 70000-70999 --contained",
            "--contained --contained",
            "--contained --allow-root-human",
        ] {
            let words = bad.split_whitespace().map(str::to_owned);
            assert!(Start::parse(words).is_err(), "{bad}");
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
