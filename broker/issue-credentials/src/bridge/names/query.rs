//! DNS messages of a session (RFC 1035 §4): one question in, one short answer out.
//!
//! Pure. What comes is foreign: nothing is followed, nothing but the question is read, and what is not
//! one question gets an error or no answer. It must never take longer than the message is.

use std::net::Ipv4Addr;

use holdfast_protocol::widening::HostName;

/// The longest message that is looked at, in bytes: a name is at most 255, and what EDNS adds is small.
pub const MAX_MESSAGE: usize = 1232;

/// How long an answer may be kept, in seconds: a name keeps its address as long as its session lives.
const TTL: u32 = 300;

const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const CLASS_IN: u16 = 1;

// RFC 1035 §4.1.1: the second word of the header.
const RESPONSE: u16 = 1 << 15;
const OPCODE: u16 = 0b1111 << 11;
const RECURSION_DESIRED: u16 = 1 << 8;
const RECURSION_AVAILABLE: u16 = 1 << 7;

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked about; absent if it cannot name a host.
    pub name: Option<HostName>,
    /// What is asked.
    pub wants: Wants,
    id: u16,
    flags: u16,
    /// The question's own bytes, which an answer repeats.
    asked: Vec<u8>,
}

/// What is asked about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// An IPv4 address.
    Address,
    /// Something that no name has here: IPv6, mail, services.
    Other,
}

/// A message that is no question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// It cannot be answered at all.
    #[error("the message is no DNS query")]
    Unanswerable,
    /// It is not one question, well formed.
    #[error("the query is malformed")]
    Malformed(u16),
    /// It asks for something other than a look-up.
    #[error("the query is no look-up")]
    Unsupported(u16),
}

/// What a question is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// This address.
    Address(Ipv4Addr),
    /// The name is there, and has nothing of that kind.
    Nothing,
    /// There is no such name.
    NoSuchName,
    /// There is no room for another name.
    Full,
}

impl Question {
    /// Reads a message.
    ///
    /// # Errors
    /// [`NotAsked`].
    pub fn read(message: &[u8]) -> Result<Self, NotAsked> {
        let mut input = Reader(message);
        let header = (|| {
            let (id, flags) = (input.word()?, input.word()?);
            let counts = [input.word()?, input.word()?, input.word()?, input.word()?];
            Some((id, flags, counts))
        })();
        let (id, flags, counts) = header.ok_or(NotAsked::Unanswerable)?;
        if flags & RESPONSE != 0 || message.len() > MAX_MESSAGE {
            return Err(NotAsked::Unanswerable);
        }
        if flags & OPCODE != 0 {
            return Err(NotAsked::Unsupported(id));
        }
        // One additional record is EDNS's (RFC 6891 §6.1.1), and may be left out of the answer (§7).
        let [1, 0, 0, 0..=2] = counts else {
            return Err(NotAsked::Malformed(id));
        };
        let malformed = NotAsked::Malformed(id);
        let name = input.name().ok_or(malformed)?;
        let (kind, class) = (
            input.word().ok_or(malformed)?,
            input.word().ok_or(malformed)?,
        );
        if class != CLASS_IN {
            return Err(NotAsked::Unsupported(id));
        }
        let end = message.len() - input.0.len();
        Ok(Self {
            name: name.parse().ok(),
            wants: if kind == TYPE_A {
                Wants::Address
            } else {
                Wants::Other
            },
            id,
            flags,
            asked: message.get(HEADER..end).unwrap_or_default().to_vec(),
        })
    }

    /// The message that answers it.
    pub fn answered(&self, answer: Answer) -> Vec<u8> {
        let code = match answer {
            Answer::Address(_) | Answer::Nothing => 0,
            Answer::Full => 2,
            Answer::NoSuchName => 3,
        };
        let flags = RESPONSE | RECURSION_AVAILABLE | self.flags & RECURSION_DESIRED | code;
        let records = u16::from(matches!(answer, Answer::Address(_)));
        let mut out = header(self.id, flags, [1, records]);
        out.extend(&self.asked);
        if let Answer::Address(address) = answer {
            // The name is that of the question (§4.1.4).
            out.extend([0xc0, 12]);
            out.extend(TYPE_A.to_be_bytes());
            out.extend(CLASS_IN.to_be_bytes());
            out.extend(TTL.to_be_bytes());
            out.extend([0, 4]);
            out.extend(address.octets());
        }
        out
    }
}

impl NotAsked {
    /// The message that says so, if there is anybody to tell.
    pub fn answered(self) -> Option<Vec<u8>> {
        let flags = RESPONSE | RECURSION_AVAILABLE;
        match self {
            Self::Unanswerable => None,
            Self::Malformed(id) => Some(header(id, flags | 1, [0, 0])),
            Self::Unsupported(id) => Some(header(id, flags | 4, [0, 0])),
        }
    }
}

fn header(id: u16, flags: u16, [questions, answers]: [u16; 2]) -> Vec<u8> {
    let words = [id, flags, questions, answers, 0, 0];
    words.into_iter().flat_map(u16::to_be_bytes).collect()
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn word(&mut self) -> Option<u16> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(u16::from_be_bytes(*head))
    }

    /// A name without compression, with dots; bytes that a host's name never has become `?`.
    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        loop {
            let (&length, rest) = self.0.split_first()?;
            if length == 0 {
                self.0 = rest;
                return Some(name);
            }
            // The two high bits are a pointer's, or reserved.
            if length > 63 {
                return None;
            }
            let (label, rest) = rest.split_at_checked(length.into())?;
            self.0 = rest;
            if !name.is_empty() {
                name.push('.');
            }
            // A dot inside a label is not one between labels.
            name.extend(label.iter().map(|byte| match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(*byte),
                _ => '?',
            }));
            // With its lengths, a name is at most 255 bytes (§2.3.4).
            if name.len() > 253 {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests;
