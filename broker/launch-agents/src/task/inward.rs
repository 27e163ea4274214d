//! Connections into a session, from outside to a server of its own.
//!
//! It must never connect into a session that does not run: a frozen one's first process does not
//! answer either.

use std::io;
use std::num::NonZeroU16;
use std::time::Duration;

use holdfast_launcher::inward;
use holdfast_protocol::id::SessionId;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::watch::readable;
use super::{SessionError, Sessions};

/// How long a session's first process may take; it does little else.
const PATIENCE: Duration = Duration::from_secs(1);

impl Sessions {
    /// Connects to a port of a running session's own loopback.
    ///
    /// # Errors
    /// [`SessionError::State`] unless it runs; [`SessionError::Host`] if nothing listens there.
    pub async fn connect_into(
        &self,
        id: SessionId,
        port: NonZeroU16,
    ) -> Result<TcpStream, SessionError> {
        let handles = {
            let table = self.table();
            table.registry.running(id).map_err(SessionError::State)?;
            table.handles.of(id)?
        };
        let connect = async {
            let answer = readable(handles.ask_for(port)?)?;
            let taken = answer
                .async_io(Interest::READABLE, |answer| inward::taken(answer))
                .await?;
            let stream = TcpStream::from_std(std::net::TcpStream::from(taken))?;
            stream.writable().await?;
            match stream.take_error()? {
                Some(error) => Err(error),
                None => Ok(stream),
            }
        };
        timeout(PATIENCE, connect)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(SessionError::Host)
    }
}
