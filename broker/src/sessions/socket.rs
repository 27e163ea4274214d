//! The run socket's first message, with its descriptors, and the frames that follow.
//!
//! A wish that is late, too large, or comes with other descriptors than it speaks of is refused, and
//! what came is closed.

use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use holdfast_protocol::frame::{self, FrameError};
use holdfast_protocol::run::{MAX_TREES, RunRequest, ShellRequest};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use serde::Deserialize;

/// How long the command line may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// Program, project, three streams, trees, package.
const MAX_DESCRIPTORS: usize = 2 + 3 + MAX_TREES + 1;

/// A wish was not understood; the caller is to blame.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// It did not come whole, or in time.
    #[error("the request did not come whole")]
    Read(#[source] std::io::Error),
    /// It is not a frame, or not a request.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It came with other descriptors than it speaks of.
    #[error("the request came with {came} descriptors and speaks of {spoken_of}")]
    Descriptors {
        /// How many came.
        came: usize,
        /// How many it speaks of.
        spoken_of: usize,
    },
}

/// What a first frame asks for.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum Request {
    /// A shell in a session.
    Shell(ShellRequest),
    /// A session.
    Run(Box<RunRequest>),
}

impl Request {
    /// How many descriptors come with it; `None` if it speaks of more than any may.
    fn descriptors(&self) -> Option<usize> {
        match self {
            Self::Shell(request) => Some(request.descriptors()),
            Self::Run(request) => (request.trees.len() <= MAX_TREES).then(|| request.descriptors()),
        }
    }
}

/// Reads the first frame and its descriptors. Blocks: run it where that is allowed.
pub fn read_wish(stream: &UnixStream) -> Result<(Request, Vec<OwnedFd>), WishError> {
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(WishError::Read)?;
    let (prefix, descriptors) = read_prefix(stream).map_err(WishError::Read)?;
    let mut body = vec![0; frame::body_length(prefix)?];
    (&*stream).read_exact(&mut body).map_err(WishError::Read)?;
    let request: Request = frame::decode(&body)?;
    let spoken_of = request.descriptors();
    if spoken_of != Some(descriptors.len()) {
        return Err(WishError::Descriptors {
            came: descriptors.len(),
            spoken_of: spoken_of.unwrap_or(usize::MAX),
        });
    }
    Ok((request, descriptors))
}

/// The length prefix, which the descriptors come with.
fn read_prefix(stream: &UnixStream) -> std::io::Result<([u8; frame::PREFIX], Vec<OwnedFd>)> {
    let mut prefix = [0; frame::PREFIX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut prefix)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL,
    )?;
    let descriptors: Vec<OwnedFd> = ancillary
        .drain()
        .filter_map(|message| {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                Some(descriptors)
            } else {
                None
            }
        })
        .flatten()
        .collect();
    let whole = received.bytes == prefix.len() && !received.flags.contains(ReturnFlags::CTRUNC);
    if whole {
        Ok((prefix, descriptors))
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}
