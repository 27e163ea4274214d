//! Follows a request's field block (RFC 7541 §5, §6) as far as its `:authority`.
//!
//! No table is kept: a name is recognized by its static index or in plain text, as the clients that
//! need it send it. This module must never change a byte of anything else.

/// The name that is looked for, and its index in the static table (RFC 7541 appendix A).
const NAME: &[u8] = b":authority";
const NAME_INDEX: u32 = 1;

/// Where in the field block (RFC 7541 §6) the next byte lies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fields {
    Start,
    /// The rest of an integer (RFC 7541 §5.1), and what it is.
    Integer(Integer, u32, u32),
    NameLength,
    Name {
        left: u32,
        matched: Option<usize>,
    },
    ValueLength(Field),
    Value {
        left: u32,
        treatment: Treatment,
    },
    /// Not understood: the rest of the connection is left alone.
    Lost,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Integer {
    /// Of an indexed field, or a table size: nothing follows.
    Alone,
    /// Of a literal field's name.
    NameIndex,
    NameLength(Coding),
    ValueLength(Coding, Field),
}

/// RFC 7541 §5.2.
#[derive(Clone, Copy, Debug)]
pub(super) enum Coding {
    Raw,
    Huffman,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Authority,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    Mend,
    Leave,
}

impl Fields {
    /// Takes one byte, and mends it if it has to be.
    pub(super) fn step(self, byte: &mut u8) -> Self {
        match self {
            Self::Start => match *byte {
                first @ 0x80.. => integer(Integer::Alone, first, 0x7f),
                first @ 0x40.. => integer(Integer::NameIndex, first, 0x3f),
                first @ 0x20.. => integer(Integer::Alone, first, 0x1f),
                first => integer(Integer::NameIndex, first, 0x0f),
            },
            // Four more bytes hold more than any frame: a longer integer is somebody's game.
            Self::Integer(_, _, 28..) => Self::Lost,
            Self::Integer(what, value, shift) => {
                let value = value + (u32::from(*byte & 0x7f) << shift);
                if *byte & 0x80 == 0 {
                    whole(what, value)
                } else {
                    Self::Integer(what, value, shift + 7)
                }
            }
            Self::NameLength => integer(Integer::NameLength(coding(*byte)), *byte, 0x7f),
            Self::Name { left, matched } => {
                let matched = matched
                    .filter(|&at| NAME.get(at) == Some(byte))
                    .map(|at| at + 1);
                match left {
                    0 | 1 if matched == Some(NAME.len()) => Self::ValueLength(Field::Authority),
                    0 | 1 => Self::ValueLength(Field::Other),
                    left => Self::Name {
                        left: left - 1,
                        matched,
                    },
                }
            }
            Self::ValueLength(field) => {
                integer(Integer::ValueLength(coding(*byte), field), *byte, 0x7f)
            }
            Self::Value { left, treatment } => {
                if treatment == Treatment::Mend && !is_of_a_host(*byte) {
                    *byte = b'-';
                }
                match left {
                    0 | 1 => Self::Start,
                    left => Self::Value {
                        left: left - 1,
                        treatment,
                    },
                }
            }
            Self::Lost => Self::Lost,
        }
    }
}

fn is_of_a_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.'
}

fn coding(first: u8) -> Coding {
    if first & 0x80 == 0 {
        Coding::Raw
    } else {
        Coding::Huffman
    }
}

/// An integer from its first byte, of which `prefix` are the bits that belong to it.
fn integer(what: Integer, first: u8, prefix: u8) -> Fields {
    let value = first & prefix;
    if value == prefix {
        Fields::Integer(what, u32::from(value), 0)
    } else {
        whole(what, u32::from(value))
    }
}

fn whole(what: Integer, value: u32) -> Fields {
    match what {
        Integer::Alone => Fields::Start,
        Integer::NameIndex => match value {
            0 => Fields::NameLength,
            NAME_INDEX => Fields::ValueLength(Field::Authority),
            _ => Fields::ValueLength(Field::Other),
        },
        Integer::NameLength(_) if value == 0 => Fields::ValueLength(Field::Other),
        Integer::NameLength(coding) => Fields::Name {
            left: value,
            matched: match coding {
                Coding::Raw => Some(0),
                Coding::Huffman => None,
            },
        },
        Integer::ValueLength(..) if value == 0 => Fields::Start,
        Integer::ValueLength(coding, field) => Fields::Value {
            left: value,
            treatment: match (coding, field) {
                (Coding::Raw, Field::Authority) => Treatment::Mend,
                (Coding::Raw | Coding::Huffman, _) => Treatment::Leave,
            },
        },
    }
}
