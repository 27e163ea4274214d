//! A human's vault, as the broker reads it from a folder that others may have written to.
#![no_main]

// The module by itself, because the job keeps it to itself.
#[rustfmt::skip]
#[path = "../../broker/issue-credentials/src/vault/file.rs"]
#[allow(dead_code, reason = "the job uses all of it")]
mod file;

use file::{FileError, VaultFile};
use holdfast_protocol::call::HumanUid;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = match VaultFile::read(bytes, HumanUid(0)) {
        Ok(file) => file,
        // It says whose it is, so that it can be read for that human.
        Err(FileError::Other(human)) => VaultFile::read(bytes, human).expect("it is that human's"),
        Err(FileError::TooLarge | FileError::Form(_)) => return,
    };
    for entry in file.secrets.values() {
        assert!(entry.sealed.parts().is_some());
    }
    // Written with more white space than it came with, it can grow too large; otherwise it is the same again.
    let Ok(written) = file.write() else {
        return;
    };
    let again = VaultFile::read(&written, file.human).expect("what is written can be read");
    assert_eq!(again, file);
});
