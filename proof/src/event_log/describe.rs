//! What an event says of itself, in a few words (TCG PC Client Platform Firmware Profile 1.06 §10.2, §10.4).
//!
//! All of it is a host's text: it must never come out longer than its bound, or with a character that a terminal obeys.

use super::record::{Event, EventType};

/// The most characters of what an event is about: a path on a boot partition fits.
const MAX_ABOUT: usize = 80;

/// The longest variable whose content is told as a number.
const MAX_NUMBER: usize = 4;

/// What an event is about, and its content where that is a small number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Described {
    /// A variable's name, a file's path, an action; empty if the event says nothing that we read.
    pub(super) about: String,
    /// The variable's content.
    pub(super) content: Option<u64>,
}

/// Describes an event by its type.
pub(super) fn describe(event: &Event<'_>) -> Described {
    let data = event.data;
    let described = match event.kind {
        EventType::VariableDriverConfig
        | EventType::Other(0x8000_0002 | 0x8000_000c | 0x8000_00e0) => variable(data),
        EventType::Other(0x8000_0003..=0x8000_0005) => image(data).map(|path| Described {
            about: path,
            content: None,
        }),
        EventType::Separator => Some(Described {
            about: String::new(),
            content: number(data),
        }),
        EventType::Other(0x6) => tagged(data).map(text),
        EventType::Other(0x5 | 0x7 | 0x8 | 0xd | 0x8000_0007) => Some(text(data)),
        EventType::NoAction | EventType::Other(_) => None,
    };
    described.unwrap_or_default()
}

/// What kind of event a word names, in words.
pub(super) fn kind(word: u32) -> &'static str {
    match word {
        0x1 => "firmware code",
        0x4 => "separator",
        0x5 | 0x8000_0007 => "action",
        0x6 => "tagged event",
        0x7 => "firmware's first code",
        0x8 => "firmware version",
        0x9 => "CPU microcode",
        0xa => "platform flags",
        0xb => "table of devices",
        0xd => "boot loader's step",
        0xe => "boot loader's data",
        0x8000_0001 => "variable",
        0x8000_0002 | 0x8000_000c => "boot variable",
        0x8000_0003 => "boot loader",
        0x8000_0004 => "boot driver",
        0x8000_0005 => "runtime driver",
        0x8000_0006 | 0x8000_000d => "partition table",
        0x8000_0008 | 0x8000_000a => "firmware",
        0x8000_0009 | 0x8000_000b => "firmware tables",
        0x8000_00e0 => "signer",
        word => crate::systemd_log::words(word).unwrap_or("event"),
    }
}

/// UEFI_VARIABLE_DATA (§10.2.6): its name, and its content if it is a small number.
fn variable(data: &[u8]) -> Option<Described> {
    let (_vendor, rest) = data.split_first_chunk::<16>()?;
    let (name_length, rest) = length(rest)?;
    let (data_length, rest) = length(rest)?;
    // The length of the name is in characters, of the data in bytes.
    let (name, rest) = rest.split_at_checked(name_length.checked_mul(2)?)?;
    let content = rest.get(..data_length)?;
    Some(Described {
        about: utf16(name),
        content: number(content),
    })
}

/// UEFI_IMAGE_LOAD_EVENT (§10.2.3): the file paths of its device path (UEFI 2.10 §10.3.5.4).
fn image(data: &[u8]) -> Option<String> {
    // Where it was loaded, how long it is, where it was linked to.
    let (_placed, rest) = data.split_at_checked(24)?;
    let (length, rest) = length(rest)?;
    let mut rest = rest.get(..length)?;
    let mut path = String::new();
    while let [kind, subkind, low, high, ..] = rest {
        let node = usize::from(u16::from_le_bytes([*low, *high]));
        let (node, after) = rest.split_at_checked(node)?;
        let content = node.get(4..)?;
        if (*kind, *subkind) == (4, 4) && path.len() < MAX_ABOUT {
            path.push_str(&utf16(content));
        }
        rest = after;
    }
    Some(path.chars().take(MAX_ABOUT).collect())
}

/// TCG_PCClientTaggedEvent (§10.2.2): its data.
fn tagged(data: &[u8]) -> Option<&[u8]> {
    let (_id, rest) = data.split_first_chunk::<4>()?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_le_bytes(*size)).ok()?)
}

/// Text of one or two bytes a character: systemd and shim write either.
fn text(data: &[u8]) -> Described {
    let wide = data.len() >= 2 && data.get(1) == Some(&0);
    let about = if wide {
        utf16(data)
    } else {
        let units = data.iter().copied().take_while(|byte| *byte != 0);
        plain(units.map(char::from))
    };
    Described {
        about,
        content: None,
    }
}

fn utf16(data: &[u8]) -> String {
    let (characters, _) = data.as_chunks::<2>();
    let units = characters
        .iter()
        .map(|unit| u16::from_le_bytes(*unit))
        .take_while(|unit| *unit != 0);
    plain(char::decode_utf16(units).map(|unit| unit.unwrap_or('?')))
}

/// Only what every terminal prints as it is, and not the sign that we quote with.
pub(super) fn plain(characters: impl Iterator<Item = char>) -> String {
    characters
        .map(|character| match character {
            '`' => '\'',
            ' '..='~' => character,
            _ => '?',
        })
        .take(MAX_ABOUT)
        .collect()
}

fn number(data: &[u8]) -> Option<u64> {
    let fits = (1..=MAX_NUMBER).contains(&data.len());
    fits.then(|| {
        let add = |value, byte: &u8| value << 8 | u64::from(*byte);
        data.iter().rev().fold(0, add)
    })
}

fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    Some((length, rest))
}
