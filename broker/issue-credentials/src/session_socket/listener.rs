//! A listening socket on which the kernel names the sender of every message.
//!
//! Connections take `SO_PASSCRED` (unix(7)) from the socket that they come to: newer kernels at
//! connect, older ones at accept, and what is written between the two is marked by both. So it is
//! on before anybody can connect. This module must never make a listener without it.

use std::io;
use std::path::Path;

use rustix::net::sockopt::set_socket_passcred;
use tokio::net::{UnixListener, UnixSocket, UnixStream};

/// Connections that may wait to be accepted: twice what one session may have open.
const BACKLOG: u32 = 128;

/// One session's listening socket.
#[derive(Debug)]
pub struct SessionListener(UnixListener);

impl SessionListener {
    /// Binds a socket to `path`, and listens.
    ///
    /// # Errors
    /// What the system says; there is no listener then, though the socket's file may exist.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = UnixSocket::new_stream()?;
        set_socket_passcred(&socket, true)?;
        socket.bind(path)?;
        socket.listen(BACKLOG).map(Self)
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        let (stream, _) = self.0.accept().await?;
        Ok(stream)
    }
}
