//! What this host says of itself, and what of it is read anew for every attestation.
//!
//! The descriptors come from whoever may open them; it must never open a path.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

use holdfast_protocol::grade::Grade;

/// The largest event log that is sent; firmware's are some tens of kilobytes.
const MAX_EVENT_LOG: usize = 1 << 20;

/// How much of it is read at a time.
const PAGE: usize = 64 * 1024;

/// What this host says of itself.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name, for the operator's eyes.
    pub name: String,
    /// What kind of installation it is.
    pub grade: Grade,
    /// The firmware's event log, open for reading; `None` where there is none.
    pub event_log: Option<Arc<File>>,
    /// The kernel's measurement list, open for reading; `None` where there is none.
    pub ima_list: Option<Arc<File>>,
    /// systemd's log of what it measured, open for reading; `None` where there is none.
    pub systemd_log: Option<Arc<File>>,
    /// How often the quoted PCRs are looked at: one TPM command for every 8 of them.
    pub pcr_interval: Duration,
}

impl Host {
    /// The event log as it stands; empty where there is none.
    pub(crate) fn event_log(&self) -> std::io::Result<Vec<u8>> {
        let Some(file) = &self.event_log else {
            return Ok(Vec::new());
        };
        let mut log = Vec::new();
        let mut page = vec![0; PAGE];
        loop {
            // By position: the kernel's file is read anew for every attestation.
            let read = file.read_at(&mut page, log.len() as u64)?;
            let bytes = page.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(log);
            }
            log.extend_from_slice(bytes);
            if log.len() > MAX_EVENT_LOG {
                return Err(std::io::Error::other(
                    "the event log is larger than any firmware's",
                ));
            }
        }
    }
}
