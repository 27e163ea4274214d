//! Length-prefixed JSON: the frames of every local socket.
//!
//! A frame is a big-endian `u32` length and that many bytes of JSON. Pure: bytes in, values out;
//! the caller does the I/O. It must never allocate more than [`MAX_FRAME`] for a peer.
//!
//! A first byte of zero also tells a frame from the HTTP/2 preface (`PRI * …`) that opens a gRPC
//! connection on the same socket: lengths stay below 2²⁴.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest frame body, in bytes.
pub const MAX_FRAME: usize = 1 << 20;

/// Bytes of the length prefix.
pub const PREFIX: usize = 4;

/// A frame cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The peer announced more than [`MAX_FRAME`] bytes, or none.
    #[error("a frame of {0} bytes is outside 1 to {MAX_FRAME}")]
    Length(usize),
    /// The peer's body is not the message that belongs here.
    #[error("the frame is not a valid message")]
    Body(#[source] serde_json::Error),
}

/// Reads the length prefix.
///
/// # Errors
/// [`FrameError::Length`] if the body would be empty or larger than [`MAX_FRAME`].
pub fn body_length(prefix: [u8; PREFIX]) -> Result<usize, FrameError> {
    let length = u32::from_be_bytes(prefix) as usize;
    match length {
        1..=MAX_FRAME => Ok(length),
        _ => Err(FrameError::Length(length)),
    }
}

/// Reads a frame's body.
///
/// # Errors
/// [`FrameError::Body`] if it is not a `T`.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(body).map_err(FrameError::Body)
}

/// A whole frame, prefix included.
///
/// # Errors
/// [`FrameError::Length`] if the message is too large, [`FrameError::Body`] if it has no JSON form.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; PREFIX];
    serde_json::to_writer(&mut frame, message).map_err(FrameError::Body)?;
    let length = frame.len() - PREFIX;
    if length > MAX_FRAME {
        return Err(FrameError::Length(length));
    }
    let prefix = u32::try_from(length)
        .map_err(|_| FrameError::Length(length))?
        .to_be_bytes();
    for (slot, byte) in frame.iter_mut().zip(prefix) {
        *slot = byte;
    }
    Ok(frame)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn frames_survive(text in "\\PC{0,200}") {
            let frame = encode(&text).unwrap();
            let length = body_length(frame[..PREFIX].try_into().unwrap()).unwrap();
            prop_assert_eq!(length, frame.len() - PREFIX);
            prop_assert_eq!(frame[0], 0);
            prop_assert_eq!(decode::<String>(&frame[PREFIX..]).unwrap(), text);
        }
    }

    #[test]
    fn a_hostile_length_is_refused() {
        assert!(body_length([0xff; 4]).is_err());
        assert!(body_length([0; 4]).is_err());
        assert!(body_length(*b"PRI ").is_err());
    }
}
