//! The kernel's measurement list, from the entry that the attestor asks for.
//!
//! Read after the quote, so that it covers what was quoted. Nothing is judged here: entries are counted and passed on.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use holdfast_proof::ima::{List, MalformedList};
use holdfast_proof::tpm::{Attest, HashAlg};
use holdfast_protocol::evidence::{ImaEnd, ImaList};
use holdfast_protocol::wire::MAX_IMA_LIST;
use holdfast_protocol::wire::attestor::ImaWanted;

/// How much is read at a time.
const PAGE: usize = 64 * 1024;

/// The first entry to send: a list begins anew with each boot.
pub(crate) fn first(wanted: ImaWanted, quote: &[u8]) -> u64 {
    match Attest::parse(quote) {
        Ok(quote) if quote.clock().reset_count == wanted.reset_count => wanted.first,
        Ok(_) | Err(_) => 0,
    }
}

/// Entries from number `first` on, as many as one attestation takes.
pub(crate) fn read(file: &File, first: u64) -> io::Result<ImaList> {
    let mut sent = ImaList {
        first,
        entries: Vec::new(),
        end: ImaEnd::Whole,
    };
    // What was read and is not a whole entry yet, and where it lies in the file.
    let (mut rest, mut at, mut index) = (Vec::new(), 0_u64, 0_u64);
    let mut page = vec![0; PAGE];
    loop {
        // By position: the kernel's file is read anew for every attestation.
        let read = file.read_at(&mut page, at)?;
        let bytes = page.get(..read).unwrap_or_default();
        let ended = bytes.is_empty();
        rest.extend_from_slice(bytes);
        at = at.saturating_add(read as u64);
        let mut used = 0;
        for entry in List::new(&rest, HashAlg::Sha1, index) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(MalformedList::Truncated { .. }) if !ended => break,
                Err(error) => return Err(io::Error::other(error)),
            };
            let end = used + entry.size();
            if entry.index() >= first {
                if sent.entries.len() + entry.size() > MAX_IMA_LIST {
                    sent.end = ImaEnd::Cut;
                    return Ok(sent);
                }
                sent.entries
                    .extend_from_slice(rest.get(used..end).unwrap_or_default());
            }
            (used, index) = (end, index.saturating_add(1));
        }
        if ended {
            return Ok(sent);
        }
        rest.drain(..used);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIST: &[u8] = include_bytes!("../../../proof/testdata/ima/debian-6.1.bin");

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn a_delta_is_what_the_list_has_from_there_on() {
        let file = file(LIST);
        assert_eq!(read(&file, 0).unwrap().entries, LIST);
        let entries: Vec<_> = List::new(LIST, HashAlg::Sha1, 0).flatten().collect();
        for entry in &entries {
            let sent = read(&file, entry.index()).unwrap();
            assert_eq!(sent.entries, LIST[entry.offset()..]);
            assert_eq!((sent.first, sent.end), (entry.index(), ImaEnd::Whole));
        }
        assert!(read(&file, 30).unwrap().entries.is_empty());
        assert!(read(&file, u64::MAX).unwrap().entries.is_empty());
    }

    #[test]
    fn a_long_list_is_cut_between_entries_and_goes_on() {
        let whole = LIST.repeat((5 << 20) / LIST.len());
        let file = file(&whole);
        let (mut joined, mut first, mut parts) = (Vec::new(), 0, 0);
        loop {
            let part = read(&file, first).unwrap();
            assert!(part.entries.len() <= MAX_IMA_LIST);
            first += List::new(&part.entries, HashAlg::Sha1, 0).flatten().count() as u64;
            joined.extend(part.entries);
            parts += 1;
            if part.end == ImaEnd::Whole {
                break;
            }
        }
        assert_eq!((parts, joined), (3, whole));
    }

    #[test]
    fn a_file_that_is_no_list_is_refused() {
        assert!(read(&file(&LIST[..LIST.len() - 1]), 0).is_err());
        assert!(read(&file(&[0xff; 100]), 0).is_err());
    }
}
