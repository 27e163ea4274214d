//! systemd's log of what it measured, of the PCRs that are quoted.
//!
//! Read after the quote, so that it covers what was quoted. What systemd measures elsewhere, such as who logged in, stays on
//! the host. Nothing is judged here: records are picked and passed on.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread;
use std::time::Duration;

use holdfast_proof::systemd_log::Records;
use holdfast_proof::tpm::{PcrIndex, PcrValues};
use holdfast_protocol::wire::MAX_SYSTEMD_LOG;

/// The most that is read: the boot's records come first.
const MAX_READ: usize = 16 << 20;

/// How much is read at a time.
const PAGE: usize = 64 * 1024;

/// The mark of a log of which a record is owed (systemd `src/shared/measurement-log.c`): systemd sets it, extends the PCR,
/// writes the record, and takes it away. It stays where the writer died.
const OWED: u32 = 0o1000;

/// How long a record that is owed is waited for, and in what steps.
const PATIENCE: u32 = 20;
const STEP: Duration = Duration::from_millis(50);

/// The records of the quoted PCRs.
pub(crate) fn read(file: &File, quoted: &PcrValues) -> io::Result<Vec<u8>> {
    // No lock is taken: systemd would wait for it.
    for _ in 0..PATIENCE {
        if file.metadata()?.mode() & OWED == 0 {
            break;
        }
        thread::sleep(STEP);
    }
    let mut log = Vec::new();
    let mut page = vec![0; PAGE];
    while log.len() < MAX_READ {
        // By position: the file is read anew for every attestation.
        let read = file.read_at(&mut page, log.len() as u64)?;
        let bytes = page.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        log.extend_from_slice(bytes);
    }
    Ok(picked(&log, quoted))
}

/// The records that go into quoted PCRs, as far as the log is one and a message takes them.
fn picked(log: &[u8], quoted: &PcrValues) -> Vec<u8> {
    let quoted: BTreeSet<PcrIndex> = quoted.iter().map(|(index, _)| index).collect();
    let mut sent = Vec::new();
    for record in Records::new(log) {
        match record {
            Ok((record, bytes)) if record.pcr().is_some_and(|pcr| quoted.contains(&pcr)) => {
                if sent.len() + bytes.len() > MAX_SYSTEMD_LOG {
                    tracing::warn!("systemd's log is longer than one attestation takes");
                    break;
                }
                sent.extend_from_slice(bytes);
            }
            Ok(_) => {}
            Err(malformed) => {
                tracing::warn!(%malformed, "systemd's log counts only as far as this record");
            }
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use std::fs::{OpenOptions, Permissions};
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use holdfast_proof::tpm::HashAlg;

    use super::*;

    fn record(pcr: &str, text: &str) -> String {
        format!(
            "\x1e{{{pcr},\"digests\":[],\"content_type\":\"systemd\",\"content\":{{\"string\":\"{text}\"}}}}\n"
        )
    }

    fn quoted(indices: &[u8]) -> PcrValues {
        let mut values = PcrValues::new();
        for index in indices {
            let index = PcrIndex::new(*index).unwrap();
            assert!(values.insert(index, HashAlg::Sha256.digest(b"")));
        }
        values
    }

    #[test]
    fn only_records_of_quoted_pcrs_leave_the_host() {
        let mut file = tempfile::tempfile().unwrap();
        let phase = record("\"pcr\":11", "ready");
        let login = record("\"nv_index\":30474755", "login:somebody");
        let machine = record("\"pcr\":15", "machine-id:1");
        for record in [&phase, &login, &machine, &phase] {
            file.write_all(record.as_bytes()).unwrap();
        }
        // And one that is being written.
        file.write_all(b"\x1e{\"pcr\":11").unwrap();
        let sent = read(&file, &quoted(&[7, 11])).unwrap();
        assert_eq!(sent, [phase.as_bytes(), phase.as_bytes()].concat());
        let sent = read(&file, &quoted(&[15])).unwrap();
        assert_eq!(sent, machine.as_bytes());
        assert_eq!(read(&file, &quoted(&[4])).unwrap(), b"");
    }

    #[test]
    fn a_log_counts_as_far_as_it_is_one_and_fits() {
        let phase = record("\"pcr\":11", "ready");
        let broken = [phase.as_bytes(), b"\x1e[]\n", phase.as_bytes()].concat();
        assert_eq!(picked(&broken, &quoted(&[11])), phase.as_bytes());
        let long = phase.repeat(2 * MAX_SYSTEMD_LOG / phase.len());
        let sent = picked(long.as_bytes(), &quoted(&[11]));
        assert_eq!(sent.len(), MAX_SYSTEMD_LOG / phase.len() * phase.len());
    }

    #[test]
    fn a_record_that_is_owed_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let phase = record("\"pcr\":11", "ready");
        std::fs::write(&path, "").unwrap();
        let marked = |mode| std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        marked(0o1600);
        let file = File::open(&path).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(100));
                let mut log = OpenOptions::new().append(true).open(&path).unwrap();
                log.write_all(phase.as_bytes()).unwrap();
                marked(0o600);
            });
            assert_eq!(read(&file, &quoted(&[11])).unwrap(), phase.as_bytes());
        });
        // Not for ever: its writer may have died.
        marked(0o1600);
        assert_eq!(read(&file, &quoted(&[11])).unwrap(), phase.as_bytes());
    }
}
