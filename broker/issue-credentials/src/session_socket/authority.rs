//! Lets clients in that name a socket's path as their request's `:authority`.
//!
//! gRPC's C core (so Python, C++, Ruby, PHP) and its Java send the path, with `%` or `/` in it,
//! over a Unix socket. That is no host (RFC 9113 §8.3.1), and our HTTP/2 resets such a stream before
//! any of our code sees it. The socket alone says who is asked, nobody reads `:authority`: so each of
//! its bytes that a host cannot have becomes `-` on the way in, in place, which leaves every length
//! and the peer's compression state (RFC 7541 §2.3.2) as they were.
//!
//! This module must never judge: what it does not understand it leaves alone, for HTTP/2 to refuse.

mod fields;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use fields::Fields;

/// Bytes of the client's connection preface (RFC 9113 §3.4).
const PREFACE: u32 = 24;

/// Frame types and flags (RFC 9113 §6.2, §6.10).
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// A stream whose incoming requests have an `:authority` that is a host.
pub(super) struct Mended<S> {
    stream: S,
    scanner: Scanner,
}

impl<S> Mended<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            scanner: Scanner::default(),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Mended<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(new) = buf.filled_mut().get_mut(before..) {
            self.scanner.mend(new);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Mended<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Follows a connection byte by byte.
#[derive(Debug)]
struct Scanner {
    at: At,
    fields: Fields,
}

/// Where in the frames (RFC 9113 §4.1) the next byte lies.
#[derive(Clone, Copy, Debug)]
enum At {
    Preface(u32),
    Header { bytes: [u8; 9], have: u8 },
    Skipped(u32),
    PadLength(Block),
    Priority(Block, u8),
    Fields(Block),
}

/// What is left of a frame that carries fields, and how much of that is padding.
#[derive(Clone, Copy, Debug)]
struct Block {
    left: u32,
    padding: u32,
    flags: u8,
}

impl Default for Scanner {
    fn default() -> Self {
        Self {
            at: At::Preface(PREFACE),
            fields: Fields::Start,
        }
    }
}

impl Scanner {
    fn mend(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.at = self.step(byte);
        }
    }

    fn step(&mut self, byte: &mut u8) -> At {
        match self.at {
            At::Preface(left) => skip(left, At::Preface),
            At::Skipped(left) => skip(left, At::Skipped),
            At::Header { mut bytes, have } => {
                if let Some(slot) = bytes.get_mut(usize::from(have)) {
                    *slot = *byte;
                }
                if have < 8 {
                    let have = have + 1;
                    return At::Header { bytes, have };
                }
                self.payload(bytes)
            }
            At::PadLength(block) => {
                let padding = u32::from(*byte);
                let left = block.left.saturating_sub(1);
                after_pad_length(Block {
                    left,
                    padding,
                    ..block
                })
            }
            At::Priority(block, bytes) => {
                let left = block.left.saturating_sub(1);
                let block = Block { left, ..block };
                match bytes {
                    0 | 1 => fields(block),
                    bytes => At::Priority(block, bytes - 1),
                }
            }
            At::Fields(block) => {
                self.fields = self.fields.step(byte);
                let left = block.left.saturating_sub(1);
                fields(Block { left, ..block })
            }
        }
    }

    fn payload(&mut self, header: [u8; 9]) -> At {
        let [a, b, c, kind, flags, ..] = header;
        let left = u32::from_be_bytes([0, a, b, c]);
        let block = |flags| Block {
            left,
            padding: 0,
            flags,
        };
        match kind {
            _ if left == 0 => frame(),
            HEADERS => {
                self.fields = Fields::Start;
                if flags & PADDED == 0 {
                    after_pad_length(block(flags))
                } else {
                    At::PadLength(block(flags))
                }
            }
            CONTINUATION => fields(block(0)),
            _ => At::Skipped(left),
        }
    }
}

fn frame() -> At {
    At::Header {
        bytes: [0; 9],
        have: 0,
    }
}

fn skip(left: u32, more: fn(u32) -> At) -> At {
    match left {
        0 | 1 => frame(),
        left => more(left - 1),
    }
}

fn after_pad_length(block: Block) -> At {
    if block.left == 0 {
        frame()
    } else if block.flags & PRIORITY == 0 {
        fields(block)
    } else {
        At::Priority(block, 5)
    }
}

fn fields(block: Block) -> At {
    match block.left {
        0 => frame(),
        left if left <= block.padding => At::Skipped(left),
        _ => At::Fields(block),
    }
}

#[cfg(test)]
mod tests;
