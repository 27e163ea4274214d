//! Asks a peer whether it still writes on its connection: an HTTP/2 PING with a random payload, right
//! behind the server's first frame (RFC 9113 §6.7), whose answer has to come from it.
//!
//! Every byte's sender is judged already. What that misses is a process that is known by what it runs:
//! it can write its whole request, hand the connection on, and only then execute the program that is
//! trusted. That program does not answer; whoever got the connection answers as a stranger. This module
//! must never take a payload for the answer that it did not draw, nor change any other byte.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::workload::Admission;

/// Bytes of the client's connection preface (RFC 9113 §3.4).
const PREFACE: u32 = 24;
/// Bytes of a frame's header (RFC 9113 §4.1).
const HEADER: u8 = 9;
/// A PING with [`ACK`] answers one; its payload has eight bytes (RFC 9113 §6.7).
const PING: u8 = 0x6;
const ACK: u8 = 0x1;
const PAYLOAD: u32 = 8;

/// A stream that proves its admission once the peer has answered.
pub(super) struct Challenged<S> {
    stream: S,
    admission: Admission,
    payload: [u8; 8],
    outward: Outward,
    inward: Inward,
}

/// What goes out next.
#[derive(Clone, Copy, Debug)]
enum Outward {
    /// The header of the first frame.
    Header { bytes: [u8; 3], have: u8 },
    /// The rest of it.
    Payload(u32),
    /// The PING, of which so much is out.
    Ping(usize),
    /// All of it: nothing more is added.
    Done,
}

/// Where in the frames the next byte that comes in lies.
#[derive(Clone, Copy, Debug)]
enum Inward {
    Preface(u32),
    Header {
        bytes: [u8; 9],
        have: u8,
    },
    Skipped(u32),
    /// An answer, as far as it matches.
    Answer {
        at: usize,
        matches: Matches,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Matches {
    Yes,
    No,
}

impl<S> Challenged<S> {
    /// Asks with this payload, which has to be drawn anew for each connection.
    pub(super) fn new(stream: S, admission: Admission, payload: [u8; 8]) -> Self {
        Self {
            stream,
            admission,
            payload,
            outward: Outward::Header {
                bytes: [0; 3],
                have: 0,
            },
            inward: Inward::Preface(PREFACE),
        }
    }

    fn ping(&self) -> Vec<u8> {
        let mut frame = vec![0, 0, 8, PING, 0, 0, 0, 0, 0];
        frame.extend(self.payload);
        frame
    }

    fn hear(&mut self, byte: u8) {
        self.inward = match self.inward {
            Inward::Preface(left) => skip(left, Inward::Preface),
            Inward::Skipped(left) => skip(left, Inward::Skipped),
            Inward::Header { mut bytes, have } => {
                if let Some(slot) = bytes.get_mut(usize::from(have)) {
                    *slot = byte;
                }
                let have = have.saturating_add(1);
                if have < HEADER {
                    Inward::Header { bytes, have }
                } else {
                    let [a, b, c, kind, flags, ..] = bytes;
                    match u32::from_be_bytes([0, a, b, c]) {
                        0 => header(),
                        PAYLOAD if kind == PING && flags & ACK != 0 => Inward::Answer {
                            at: 0,
                            matches: Matches::Yes,
                        },
                        length => Inward::Skipped(length),
                    }
                }
            }
            Inward::Answer { at, mut matches } => {
                if self.payload.get(at) != Some(&byte) {
                    matches = Matches::No;
                }
                let at = at.saturating_add(1);
                if at < self.payload.len() {
                    Inward::Answer { at, matches }
                } else {
                    if matches == Matches::Yes {
                        self.admission.prove();
                    }
                    header()
                }
            }
        };
    }

    /// How much of what HTTP/2 writes may go out before the PING.
    fn before_ping(&self) -> usize {
        let left = match self.outward {
            Outward::Header { have, .. } => u32::from(HEADER.saturating_sub(have)),
            Outward::Payload(left) => left,
            Outward::Ping(_) => 0,
            Outward::Done => u32::MAX,
        };
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    fn went_out(&mut self, sent: &[u8]) {
        for byte in sent {
            self.outward = match self.outward {
                Outward::Header { mut bytes, have } => {
                    if let Some(slot) = bytes.get_mut(usize::from(have)) {
                        *slot = *byte;
                    }
                    let have = have.saturating_add(1);
                    let [a, b, c] = bytes;
                    match (have < HEADER, u32::from_be_bytes([0, a, b, c])) {
                        (true, _) => Outward::Header { bytes, have },
                        (false, 0) => Outward::Ping(0),
                        (false, length) => Outward::Payload(length),
                    }
                }
                Outward::Payload(0 | 1) => Outward::Ping(0),
                Outward::Payload(left) => Outward::Payload(left.saturating_sub(1)),
                other @ (Outward::Ping(_) | Outward::Done) => other,
            };
        }
    }
}

fn header() -> Inward {
    Inward::Header {
        bytes: [0; 9],
        have: 0,
    }
}

fn skip(left: u32, more: fn(u32) -> Inward) -> Inward {
    match left {
        0 | 1 => header(),
        left => more(left.saturating_sub(1)),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Challenged<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let new = buf.filled().get(before..).unwrap_or_default();
        for &byte in new {
            self.hear(byte);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> Challenged<S> {
    /// Writes what is left of the PING, if it is its turn.
    fn poll_ping(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Outward::Ping(sent) = self.outward {
            let ping = self.ping();
            let rest = ping.get(sent..).unwrap_or_default();
            if rest.is_empty() {
                self.outward = Outward::Done;
                break;
            }
            let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if wrote == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outward = Outward::Ping(sent.saturating_add(wrote));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Challenged<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_ping(cx))?;
        let part = bytes
            .get(..self.before_ping().min(bytes.len()))
            .unwrap_or_default();
        let wrote = ready!(Pin::new(&mut self.stream).poll_write(cx, part))?;
        self.went_out(part.get(..wrote).unwrap_or_default());
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_ping(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const DRAWN: [u8; 8] = *b"abcdefgh";

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 0];
        frame.extend(payload);
        frame
    }

    #[tokio::test]
    async fn the_ping_goes_out_behind_the_first_frame_however_that_is_written() {
        let first = frame(4, 0, &[1, 2, 3, 4, 5, 6]);
        let second = frame(8, 0, &[0, 0, 0, 1]);
        let written: Vec<u8> = first.iter().chain(&second).copied().collect();
        for piece in 1..written.len() {
            let (near, mut far) = duplex(1024);
            let mut stream = Challenged::new(near, Admission::unproven(), DRAWN);
            for bytes in written.chunks(piece) {
                stream.write_all(bytes).await.unwrap();
            }
            drop(stream);
            let mut seen = Vec::new();
            far.read_to_end(&mut seen).await.unwrap();
            let ping = frame(PING, 0, &DRAWN);
            assert_eq!(seen, [first.clone(), ping, second.clone()].concat());
        }
    }

    #[tokio::test]
    async fn a_flush_behind_the_first_frame_is_enough() {
        let (near, mut far) = duplex(1024);
        let mut stream = Challenged::new(near, Admission::unproven(), DRAWN);
        stream.write_all(&frame(4, 0, &[])).await.unwrap();
        stream.flush().await.unwrap();
        let mut seen = [0; 9 + 17];
        far.read_exact(&mut seen).await.unwrap();
        assert_eq!(seen[9..], frame(PING, 0, &DRAWN));
    }

    #[tokio::test]
    async fn only_the_answer_to_this_ping_proves() {
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        for (answer, proves) in [
            (frame(PING, ACK, &DRAWN), true),
            (frame(PING, 0, &DRAWN), false),
            (frame(PING, ACK, b"abcdefgi"), false),
            (frame(0, ACK, &DRAWN), false),
            (frame(0, 0, &frame(PING, ACK, &DRAWN)), false),
        ] {
            for piece in [1, 5, 64] {
                let admission = Admission::unproven();
                let (mut far, near) = duplex(1024);
                let mut stream = Challenged::new(near, admission.clone(), DRAWN);
                let settings = frame(4, 0, &[]);
                far.write_all(&[&preface[..], &settings, &answer].concat())
                    .await
                    .unwrap();
                drop(far);
                let mut buffer = vec![0; piece];
                while stream.read(&mut buffer).await.unwrap() > 0 {}
                assert_eq!(admission.is_proven(), proves, "{answer:?}");
            }
        }
    }
}
