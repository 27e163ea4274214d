//! What an attestor's word on the time is worth.
//!
//! The connection says who states it, and the certificate that was signed in the same answer says that the authority
//! itself was there: it certifies a key that is younger than the question. A time counts only as far as both agree. It
//! must never be taken from anything but an attestation that has succeeded.

use std::time::Duration;

use holdfast_proof::svid::Svid;
use holdfast_protocol::Timestamp;
use holdfast_protocol::clock::{BeforeFloor, Clock, Reading, Source, TOLERANCE};
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::pin::PinnedAttestor;

/// What the attestor stated, and when it was asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stated {
    pub(crate) time: Timestamp,
    pub(crate) asked: Reading,
}

/// An answer whose time is not to be believed. Peer, but for [`TimeError::Unsaid`].
#[derive(Debug, thiserror::Error)]
pub enum TimeError {
    /// The authority that was pinned did not sign the answer's certificate.
    #[error("its certificate is not signed by the authority that this host knows")]
    Authority(#[source] rustls::Error),
    /// An attestor that is older than this broker.
    #[error(
        "it does not say what time it is, and this host's clock is lost: set the clock, or bring the attestor up to date"
    )]
    Unsaid,
    /// Its own certificate had ended by then, or had not begun.
    #[error("its own certificate is not valid at the time that it states")]
    OwnCertificate(#[source] rustls::Error),
    /// The certificate that it signed was signed at another time.
    #[error("the certificate that it signed begins {} s away from the time that it states", .0.as_secs())]
    Signed(Duration),
    /// That time has passed.
    #[error(transparent)]
    BeforeFloor(#[from] BeforeFloor),
}

/// An answer, as far as time is concerned.
pub(crate) struct Answer<'a> {
    /// What it states; `None` where it does not.
    pub(crate) time: Option<Timestamp>,
    /// What it signed.
    pub(crate) svid: &'a Svid,
    pub(crate) chain: &'a [CertificateDer<'static>],
    /// What its own end of the connection showed.
    pub(crate) server: &'a [CertificateDer<'static>],
    pub(crate) asked: Reading,
}

/// Believes a time if everything in the answer agrees with it.
pub(crate) fn judge(
    answer: &Answer<'_>,
    pinned: &PinnedAttestor,
    clock: &Clock,
) -> Result<Option<Stated>, TimeError> {
    let Answer {
        time,
        svid,
        chain,
        server,
        asked,
    } = answer;
    let at = match (time, clock.told()) {
        (Some(time), _) => *time,
        (None, told) if told.source == Source::Lost => return Err(TimeError::Unsaid),
        (None, told) => told.now,
    };
    pinned
        .vouches(server, unix(at))
        .map_err(TimeError::OwnCertificate)?;
    // Its beginning, which the authority has signed; what begins in a moment is nothing that a clock of ours has to see.
    let signed = at.max(svid.not_before).min(svid.not_after);
    pinned
        .vouches(chain, unix(signed))
        .map_err(TimeError::Authority)?;
    let Some(time) = *time else {
        return Ok(None);
    };
    let away = time.since(svid.not_before).max(svid.not_before.since(time));
    if away > TOLERANCE || time >= svid.not_after {
        return Err(TimeError::Signed(away));
    }
    let floor = clock.floor().at();
    if time < floor {
        return Err(BeforeFloor(floor.since(time)).into());
    }
    Ok(Some(Stated {
        time,
        asked: *asked,
    }))
}

/// As TLS has it.
pub(crate) fn unix(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_millis(at.as_millis()))
}

#[cfg(test)]
mod tests;
