//! What the firmware of a simulated host has measured: one event for each PCR of its own, and Secure Boot on.

use holdfast_proof::tpm::HashAlg;

/// UEFI_VARIABLE_DATA of `SecureBoot`, which is 1.
const SECURE_BOOT: &[u8] = b"\x61\xdf\xe4\x8b\xca\x93\xd2\x11\xaa\x0d\x00\xe0\x98\x03\x2b\x8c\
    \x0a\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0S\0e\0c\0u\0r\0e\0B\0o\0o\0t\0\x01";

/// The log, in the SHA-256 bank.
pub(crate) fn event_log() -> Vec<u8> {
    let mut log = hex("0000000003000000");
    log.extend([0; 20]);
    log.extend(33_u32.to_le_bytes());
    log.extend(b"Spec ID Event03\0");
    log.extend(hex("0000000000020002 01000000 0b002000 00"));
    for pcr in [0, 2, 4] {
        log.extend(event(pcr, 8, &pcr.to_le_bytes()));
    }
    log.extend(event(7, 0x8000_0001, SECURE_BOOT));
    log
}

/// UEFI_VARIABLE_DATA of a variable of no vendor.
pub(crate) fn variable(name: &str, content: &[u8]) -> Vec<u8> {
    let mut data = vec![0; 16];
    data.extend((name.len() as u64).to_le_bytes());
    data.extend((content.len() as u64).to_le_bytes());
    data.extend(name.encode_utf16().flat_map(u16::to_le_bytes));
    data.extend(content);
    data
}

/// A TCG_PCR_EVENT2 of one bank, whose digest is that of its data.
pub(crate) fn event(pcr: u32, kind: u32, data: &[u8]) -> Vec<u8> {
    let mut record = pcr.to_le_bytes().to_vec();
    record.extend(kind.to_le_bytes());
    record.extend(hex("01000000 0b00"));
    record.extend(HashAlg::Sha256.digest(data).as_bytes());
    record.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
    record.extend(data);
    record
}

fn hex(digits: &str) -> Vec<u8> {
    let digits = digits.replace(' ', "");
    data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap()
}
