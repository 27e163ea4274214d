//! What a push begins with: the refs that it would change (gitprotocol-pack(5), "Reference Update
//! Request"), before the objects.
//!
//! Pure, and strict, because the remote reads the same bytes: what is not understood wholly is
//! refused. It must never accept a head that a server could read as other commands.

/// The longest head, in bytes.
pub const MAX_HEAD: usize = 64 * 1024;

/// The most refs of one push.
pub const MAX_COMMANDS: usize = 64;

/// The longest name of a ref, in bytes.
const MAX_REF: usize = 1024;

/// The bytes of a line's length (gitprotocol-common(5), "pkt-line Format").
const LENGTH: usize = 4;

/// Reads a push's head as it arrives.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    /// Where the next line begins.
    at: usize,
    part: Part,
    head: PushHead,
    /// What follows the commands.
    then: Then,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Commands,
    Options,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Then {
    #[default]
    Objects,
    Options,
}

/// What a push would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushHead {
    /// The refs that it changes, in its order; empty for git's probe, which is one flush-pkt alone.
    pub commands: Vec<Command>,
    /// The options that it gives the server (`git push -o`).
    pub options: Vec<String>,
    /// How it wants to be told what became of it.
    pub report: Report,
}

/// One ref and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The whole name of the ref (`refs/heads/main`).
    pub name: String,
    /// The object that it names now, in hexadecimal; zeros if there is no such ref.
    pub old: String,
    /// The object that it is to name; zeros to delete it.
    pub new: String,
}

/// How a client wants to be told what became of its push.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Report {
    /// Not at all.
    #[default]
    None,
    /// As lines.
    Plain,
    /// As lines in the first band, with progress in the second.
    SideBand,
}

/// What follows some more bytes.
#[derive(Debug)]
pub enum Step {
    /// The head goes on.
    More(Reader),
    /// The head is whole.
    Whole {
        /// What it says.
        head: PushHead,
        /// All bytes read so far: the head as it came, and what came after it.
        bytes: Vec<u8>,
    },
}

/// A head that is not passed on; the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is too long.
    #[error("the push changes too many refs at once (at most {MAX_COMMANDS}, in {MAX_HEAD} bytes)")]
    TooLong,
    /// A line's frame is wrong.
    #[error("the push has a line whose length is wrong")]
    Line,
    /// It is signed, and what is signed would have to be read elsewhere.
    #[error("signed pushes are not passed on (push without --signed)")]
    Signed,
    /// A line is no command.
    #[error("the push has a line that is not understood")]
    Command,
    /// A ref's name is not one.
    #[error("the push names a ref that git would not accept")]
    Ref,
    /// A ref stands twice.
    #[error("the push names a ref twice")]
    Twice,
    /// The client announces what could change the meaning of the rest.
    #[error("the push announces a capability that is not understood")]
    Capability,
    /// There are no commands, but something else.
    #[error("the push changes no ref")]
    Nothing,
}

impl Command {
    /// Whether the ref is to be deleted.
    pub fn deletes(&self) -> bool {
        is_zero(&self.new)
    }

    /// Whether the ref is said not to exist yet.
    pub fn creates(&self) -> bool {
        is_zero(&self.old)
    }
}

impl Reader {
    /// Reads on.
    ///
    /// # Errors
    /// [`Unreadable`] once it is clear that the head cannot be passed on.
    pub fn feed(mut self, more: &[u8]) -> Result<Step, Unreadable> {
        self.bytes.extend_from_slice(more);
        loop {
            let Some(line) = next_line(&self.bytes, self.at)? else {
                // Longer than the longest head, and not a line more: it will not become one.
                if self.bytes.len() > MAX_HEAD {
                    return Err(Unreadable::TooLong);
                }
                return Ok(Step::More(self));
            };
            self.at = line.end();
            if self.at > MAX_HEAD {
                return Err(Unreadable::TooLong);
            }
            match (self.part, line) {
                (Part::Commands, Line::Data { data, .. }) => {
                    read_command(data, &mut self.head, &mut self.then)?;
                }
                (Part::Options, Line::Data { data, .. }) => {
                    self.head.options.push(read_option(data)?);
                }
                (Part::Commands, Line::Flush { .. }) if self.then == Then::Options => {
                    self.part = Part::Options;
                }
                (Part::Commands | Part::Options, Line::Flush { .. }) => return self.whole(),
            }
        }
    }

    fn whole(self) -> Result<Step, Unreadable> {
        if self.head.commands.is_empty() && self.at > LENGTH {
            return Err(Unreadable::Nothing);
        }
        Ok(Step::Whole {
            head: self.head,
            bytes: self.bytes,
        })
    }
}

/// One line, and where it ends.
enum Line<'a> {
    Data { data: &'a [u8], end: usize },
    Flush { end: usize },
}

impl Line<'_> {
    fn end(&self) -> usize {
        match self {
            Self::Data { end, .. } | Self::Flush { end } => *end,
        }
    }
}

fn next_line(bytes: &[u8], at: usize) -> Result<Option<Line<'_>>, Unreadable> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some((digits, rest)) = rest.split_first_chunk::<LENGTH>() else {
        return Ok(None);
    };
    let length = digits.iter().try_fold(0, |length, &digit| {
        let digit = char::from(digit).to_digit(16).ok_or(Unreadable::Line)?;
        Ok(length * 16 + digit as usize)
    })?;
    match length {
        0 => Ok(Some(Line::Flush { end: at + LENGTH })),
        // Delimiters, and a line that is empty, which no client writes here.
        1..=LENGTH => Err(Unreadable::Line),
        _ => Ok(rest.get(..length - LENGTH).map(|data| Line::Data {
            data,
            end: at + length,
        })),
    }
}

fn read_command(line: &[u8], head: &mut PushHead, then: &mut Then) -> Result<(), Unreadable> {
    if line.starts_with(b"push-cert") {
        return Err(Unreadable::Signed);
    }
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    if let Some(id) = line.strip_prefix(b"shallow ") {
        // A shallow clone says where its history ends; that changes nothing at the remote.
        return object_id(id).map(|_| ());
    }
    let mut parts = line.splitn(2, |&byte| byte == 0);
    let command = parts.next().unwrap_or_default();
    if let Some(capabilities) = parts.next() {
        // Servers read capabilities on any line; clients write them on the first.
        if !head.commands.is_empty() {
            return Err(Unreadable::Capability);
        }
        (head.report, *then) = read_capabilities(capabilities)?;
    }
    let mut words = command.splitn(3, |&byte| byte == b' ');
    let mut word = || words.next().ok_or(Unreadable::Command);
    let (old, new, name) = (object_id(word()?)?, object_id(word()?)?, ref_name(word()?)?);
    // A client's objects are all named by one hash, and nothing becomes nothing only by mistake.
    let lengths = head
        .commands
        .first()
        .map_or(old.len(), |first| first.old.len());
    if old.len() != lengths || new.len() != lengths || (is_zero(&old) && is_zero(&new)) {
        return Err(Unreadable::Command);
    }
    if head.commands.iter().any(|other| other.name == name) {
        return Err(Unreadable::Twice);
    }
    if head.commands.len() == MAX_COMMANDS {
        return Err(Unreadable::TooLong);
    }
    head.commands.push(Command { name, old, new });
    Ok(())
}

/// The hash in hexadecimal: SHA-1 or SHA-256.
fn object_id(text: &[u8]) -> Result<String, Unreadable> {
    let hex = |b: &u8| b.is_ascii_digit() || (b'a'..=b'f').contains(b);
    if matches!(text.len(), 40 | 64) && text.iter().all(hex) {
        text_of(text).ok_or(Unreadable::Command)
    } else {
        Err(Unreadable::Command)
    }
}

fn is_zero(id: &str) -> bool {
    id.bytes().all(|b| b == b'0')
}

/// A ref's whole name, by the rules of git-check-ref-format(1).
fn ref_name(text: &[u8]) -> Result<String, Unreadable> {
    let name = text_of(text).ok_or(Unreadable::Ref)?;
    let forbidden =
        |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let component = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.ends_with(".lock")
    };
    let valid = name.len() <= MAX_REF
        && name
            .strip_prefix("refs/")
            .is_some_and(|rest| rest.split('/').all(component))
        && !name.chars().any(forbidden)
        && !name.contains("..")
        && !name.contains("@{");
    if valid {
        Ok(name)
    } else {
        Err(Unreadable::Ref)
    }
}

/// Every capability is one that is known not to change what the commands mean.
fn read_capabilities(text: &[u8]) -> Result<(Report, Then), Unreadable> {
    let text = text_of(text).ok_or(Unreadable::Capability)?;
    let (mut told, mut banded, mut then) = (false, false, Then::Objects);
    for capability in text.split(' ').filter(|capability| !capability.is_empty()) {
        let name = capability.split('=').next().unwrap_or_default();
        match name {
            "report-status" | "report-status-v2" => told = true,
            "side-band-64k" => banded = true,
            "push-options" => then = Then::Options,
            "agent" | "atomic" | "delete-refs" | "object-format" | "ofs-delta" | "quiet"
            | "session-id" => {}
            _ => return Err(Unreadable::Capability),
        }
    }
    let report = match (told, banded) {
        (true, true) => Report::SideBand,
        (true, false) => Report::Plain,
        (false, _) => Report::None,
    };
    Ok((report, then))
}

fn read_option(line: &[u8]) -> Result<String, Unreadable> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    text_of(line)
        .filter(|text| !text.chars().any(char::is_control))
        .ok_or(Unreadable::Command)
}

fn text_of(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests;
