//! TPMS_ATTEST: what a host claims that its TPM attested. Read, then written again from what was read.
#![no_main]

use holdfast_proof::tpm::{Attest, Attested, Exclusive, Safe, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(attest) = Attest::parse(data) else {
        return;
    };
    assert_eq!(attest.as_bytes(), data);
    let written = write(&attest);
    let again = Attest::parse(&written).expect("what was parsed can be encoded");
    assert_eq!(again.qualified_signer(), attest.qualified_signer());
    assert_eq!(again.extra_data(), attest.extra_data());
    assert_eq!(again.clock(), attest.clock());
    assert_eq!(again.firmware_version(), attest.firmware_version());
    assert_eq!(again.attested(), attest.attested());
    // The bitmaps of a PCR selection have several lengths; nothing else has two spellings.
    if !matches!(attest.attested(), Attested::Quote(_)) {
        assert_eq!(written, data);
    }
});

fn write(attest: &Attest) -> Vec<u8> {
    let clock = attest.clock();
    let mut writer = Writer::new();
    writer
        .u32(0xff54_4347)
        .u16(match attest.attested() {
            Attested::NvCertify(_) => 0x8014,
            Attested::SessionAudit(_) => 0x8016,
            Attested::Certify(_) => 0x8017,
            Attested::Quote(_) => 0x8018,
        })
        .bytes(&attest.qualified_signer().to_sized())
        .u16(attest.extra_data().len() as u16)
        .bytes(attest.extra_data())
        .u64(clock.clock_ms)
        .u32(clock.reset_count)
        .u32(clock.restart_count)
        .u8(match clock.safe {
            Safe::No => 0,
            Safe::Yes => 1,
        })
        .u64(attest.firmware_version());
    match attest.attested() {
        Attested::Quote(quoted) => writer
            .bytes(&quoted.selection.encode())
            .sized(&quoted.pcr_digest),
        Attested::Certify(certified) => writer
            .bytes(&certified.name.to_sized())
            .bytes(&certified.qualified_name.to_sized()),
        Attested::NvCertify(certified) => writer
            .bytes(&certified.index_name.to_sized())
            .u16(certified.offset)
            .sized(&certified.contents),
        Attested::SessionAudit(audited) => writer
            .u8(match audited.exclusive {
                Exclusive::No => 0,
                Exclusive::Yes => 1,
            })
            .sized(&audited.session_digest),
    };
    writer.finish()
}
