//! As much of the TPM's wire format as counting and delaying need (TPM 2.0 Library, Part 1, §18).
//!
//! It must never change a byte, and never take a length on trust: both sides may send anything.

use std::io::{self, Read};

use super::command::CommandCode;

/// Tag, size, code.
pub(super) const HEADER: usize = 10;

/// `TPM_PT_MAX_COMMAND_SIZE` and `…RESPONSE_SIZE` are 4,096 on swtpm and on the chips we know; twice that lets a
/// client's too long command reach the TPM, so that the TPM is what refuses it.
pub(super) const LONGEST: usize = 8_192;

/// `TPM_ST_SESSIONS`.
const SESSIONS: u16 = 0x8002;

/// `TPMA_SESSION.continueSession`.
const CONTINUE_SESSION: u8 = 1;

/// Reads one command or response, whole. None at the end of the stream before the first byte.
///
/// # Errors
/// Those of the stream, and `InvalidData` for a size that no TPM uses.
pub(super) fn read_message(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut message = vec![0; HEADER];
    let first = stream.read(&mut message)?;
    if first == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut message[first..])?;

    let size = Cursor(&message[2..]).u32().unwrap_or_default();
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if !(HEADER..=LONGEST).contains(&size) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a TPM message of {size} bytes"),
        ));
    }
    message.resize(size, 0);
    stream.read_exact(&mut message[HEADER..])?;
    Ok(Some(message))
}

/// A command, taken apart as far as it is well formed.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) code: CommandCode,
    pub(super) handles: Vec<u32>,
    pub(super) authorizations: Vec<Authorization>,
    pub(super) parameters: Cursor<'a>,
}

/// One entry of a command's authorization area.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authorization {
    pub(super) session: u32,
    pub(super) lifetime: Lifetime,
}

/// What becomes of a session when the command has succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lifetime {
    Continues,
    EndsHere,
}

impl<'a> Request<'a> {
    /// None for what is not a command at all.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor(message);
        let tag = cursor.u16()?;
        let _size = cursor.u32()?;
        let code = CommandCode::new(cursor.u32()?);
        let handles = (0..code.handles()).map_while(|_| cursor.u32()).collect();
        let mut authorizations = Vec::new();
        if tag == SESSIONS {
            let mut area = Cursor(cursor.sized_u32().unwrap_or_default());
            while let Some(authorization) = Authorization::parse(&mut area) {
                authorizations.push(authorization);
            }
        }
        Some(Self {
            code,
            handles,
            authorizations,
            parameters: cursor,
        })
    }
}

impl Authorization {
    fn parse(area: &mut Cursor<'_>) -> Option<Self> {
        let session = area.u32()?;
        let _nonce = area.sized_u16()?;
        let attributes = area.u8()?;
        let _hmac = area.sized_u16()?;
        let lifetime = if attributes & CONTINUE_SESSION == 0 {
            Lifetime::EndsHere
        } else {
            Lifetime::Continues
        };
        Some(Self { session, lifetime })
    }
}

/// A response's code and what follows it.
#[derive(Debug)]
pub(super) struct Response<'a> {
    /// `TPM_RC`; zero is success.
    pub(super) code: u32,
    sessions: bool,
    rest: Cursor<'a>,
}

impl<'a> Response<'a> {
    /// None for what is not a response at all.
    pub(super) fn parse(message: &'a [u8]) -> Option<Self> {
        let mut rest = Cursor(message);
        let tag = rest.u16()?;
        let _size = rest.u32()?;
        let code = rest.u32()?;
        Some(Self {
            code,
            sessions: tag == SESSIONS,
            rest,
        })
    }

    /// The handle at the front, for a command that makes one.
    pub(super) fn handle(&self) -> Option<u32> {
        let mut cursor = self.rest;
        cursor.u32()
    }

    /// The parameters, for a command that makes no handle.
    pub(super) fn parameters(&self) -> Cursor<'a> {
        let mut cursor = self.rest;
        if self.sessions {
            // parameterSize
            let _size = cursor.u32();
        }
        cursor
    }
}

/// Bytes not looked at yet. Every read fails at the end instead of going past it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    /// A `TPM2B`: a 16-bit length and that many bytes.
    pub(super) fn sized_u16(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// A 32-bit length and that many bytes, as the authorization area has it.
    pub(super) fn sized_u32(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(usize::try_from(length).ok()?)
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_no_tpm_uses_are_refused() {
        for size in [0_u32, 9, 8_193, u32::MAX] {
            let mut bytes = vec![0x80, 0x01];
            bytes.extend(size.to_be_bytes());
            bytes.extend([0, 0, 1, 0x7b]);
            let refused = read_message(&mut bytes.as_slice()).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{size}");
        }
    }

    #[test]
    fn cut_message_is_an_error_and_no_message_is_the_end() {
        let whole = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 8];
        assert_eq!(read_message(&mut whole.as_slice()).unwrap().unwrap(), whole);
        for cut in 1..whole.len() {
            assert!(read_message(&mut &whole[..cut]).is_err(), "{cut}");
        }
        assert!(read_message(&mut io::empty()).unwrap().is_none());
    }

    #[test]
    fn lying_lengths_inside_a_command_end_the_parse_and_nothing_else() {
        // FlushContext's neighbors: Unseal with an authorization area that claims more than there is.
        let mut command = vec![0x80, 0x02, 0, 0, 0, 0, 0, 0, 0x01, 0x5e];
        command.extend(0x8000_0000_u32.to_be_bytes());
        command.extend(u32::MAX.to_be_bytes());
        let request = Request::parse(&command).unwrap();
        assert_eq!(request.code.name(), "Unseal");
        assert_eq!(request.handles, [0x8000_0000]);
        assert!(request.authorizations.is_empty());
    }
}
