//! What is no log is refused by what is wrong with it, and nothing in one reaches a terminal.

use proptest::prelude::*;

use super::super::*;
use super::{Log, pcr};
use crate::event_log::{BootEvents, MAX_EVENTS, Words};
use crate::tpm::HashAlg;

fn flaw(bytes: &[u8]) -> (usize, Flaw) {
    let MalformedLog { number, flaw } = parse(bytes).unwrap_err();
    (number, flaw)
}

fn record(json: &str) -> Flaw {
    let whole = Log::new().measured(11, "phase", "ready").raw(json);
    let (number, flaw) = flaw(&whole.bytes);
    assert_eq!(number, 1);
    flaw
}

#[test]
fn what_is_no_log_is_refused_by_what_is_wrong() {
    let digest = |alg: &str, hex: &str| format!("{{\"hashAlg\":\"{alg}\",\"digest\":\"{hex}\"}}");
    let of = |pcr: &str, digests: &str| format!("{{{pcr}\"digests\":[{digests}]}}");
    let good = digest("sha256", &"ab".repeat(32));
    assert_eq!(flaw(b"{}\n"), (0, Flaw::Beginning));
    assert_eq!(flaw(b"\x1e{\"digests\":[]}\x1e{}\n"), (0, Flaw::Unended));
    assert_eq!(record("[]"), Flaw::Json);
    assert_eq!(record("{\"pcr\":11}"), Flaw::Json);
    assert_eq!(record(&of("\"pcr\":-1,", "")), Flaw::Json);
    assert_eq!(record(&of("\"pcr\":1,\"pcr\":2,", "")), Flaw::Json);
    assert_eq!(record(&of("\"pcr\":24,", "")), Flaw::Pcr(24));
    assert_eq!(record(&of("\"pcr\":1,\"nv_index\":2,", "")), Flaw::Both);
    assert_eq!(
        record(&of("\"pcr\":1,", &digest("sha256", "abcd"))),
        Flaw::Digest(HashAlg::Sha256)
    );
    assert_eq!(
        record(&of("\"pcr\":1,", &digest("sha384", &"zz".repeat(48)))),
        Flaw::Digest(HashAlg::Sha384)
    );
    assert_eq!(
        record(&of("\"pcr\":1,", &format!("{good},{good}"))),
        Flaw::Twice(HashAlg::Sha256)
    );
    let many = vec![digest("none", ""); 17].join(",");
    assert_eq!(record(&of("\"pcr\":1,", &many)), Flaw::Digests);
    assert_eq!(record(&" ".repeat(MAX_RECORD)), Flaw::TooLong);
    let deep = format!("{{\"digests\":[],\"content\":{}", "[".repeat(50_000));
    assert_eq!(record(&deep), Flaw::Json);
    let long = "\x1e{\"digests\":[]}\n".repeat(MAX_RECORDS + 1);
    assert_eq!(flaw(long.as_bytes()), (MAX_RECORDS, Flaw::TooMany));
}

#[test]
fn a_record_that_is_being_written_is_none_yet() {
    let log = Log::booted();
    let whole = parse(&log.bytes).unwrap();
    let last = log.bytes.iter().rposition(|byte| *byte == 0x1e).unwrap();
    for end in last..log.bytes.len() {
        assert_eq!(parse(&log.bytes[..end]).unwrap(), whole[..8], "{end}");
    }
    assert_eq!(parse(b"").unwrap(), []);
}

#[test]
fn what_a_boot_keeps_of_a_log_is_short_printable_and_marked_where_it_is_claimed() {
    let log = Log::booted().measured(15, "phase", "\u{1b}[31m`rm`\u{202e}");
    let records = parse(&log.bytes).unwrap();
    let pcrs = [9, 11, 15].map(pcr).into();
    let boot = BootEvents::without_firmware(HashAlg::Sha256).then(&records, &pcrs);
    let told: Vec<_> = boot
        .iter()
        .map(|event| {
            (
                event.pcr.get(),
                event.kind_words(),
                event.about.as_str(),
                event.words,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (11, "phase", "enter-initrd", Words::Measured),
            (
                9,
                "NvPCR",
                "hardware:0x1d10200:000bff27bc66",
                Words::Measured
            ),
            (9, "end of the NvPCRs", "", Words::Measured),
            (15, "volume key", "root:5e47a9db", Words::Claimed),
            (11, "phase", "leave-initrd", Words::Measured),
            (
                15,
                "machine id",
                "4691595be6a345f1833cc75fab63e475",
                Words::Measured
            ),
            (
                15,
                "file system",
                "/:ext4:5e47a9db:root:::",
                Words::Measured
            ),
            (11, "phase", "sysinit", Words::Measured),
            (11, "phase", "ready", Words::Measured),
            (15, "phase", "?[31m'rm'?", Words::Measured),
        ]
    );
    // Another boot's times are no difference.
    let again = String::from_utf8(log.bytes.clone()).unwrap();
    let again = again.replace("\"timestamp\":1", "\"timestamp\":29");
    assert_ne!(again.as_bytes(), log.bytes);
    let records = parse(again.as_bytes()).unwrap();
    let later = BootEvents::without_firmware(HashAlg::Sha256).then(&records, &pcrs);
    assert_eq!(later, boot);
    // Too many of one PCR give no value.
    let many = (0..=MAX_EVENTS).fold(Log::new(), |log, _| log.measured(11, "phase", "ready"));
    let records = parse(&many.bytes).unwrap();
    let boot = BootEvents::without_firmware(HashAlg::Sha256).then(&records, &pcrs);
    assert_eq!(boot.of_pcr(pcr(11)).count(), MAX_EVENTS);
    assert_eq!(boot.value(pcr(11)), None);
    assert!(boot.value(pcr(15)).is_some());
}

proptest! {
    /// Reading never panics, and yields no more than there is.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(prop_oneof![Just(0x1e_u8), Just(b'\n'), Just(b'{'), any::<u8>()], 0..200),
    ) {
        if let Ok(records) = parse(&bytes) {
            prop_assert!(records.len() <= bytes.len());
        }
    }

    /// A log that lost a byte, or has another there, is refused or read; the records before it are the same.
    #[test]
    fn records_before_a_flaw_are_what_they_were(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let log = Log::booted();
        let whole = parse(&log.bytes).unwrap();
        let mut spoiled = log.bytes.clone();
        let at = at.index(spoiled.len());
        spoiled[at] = byte;
        let before = log.bytes[..at].iter().filter(|byte| **byte == 0x1e).count().saturating_sub(1);
        let read: Vec<_> = Records::new(&spoiled).map_while(Result::ok).map(|(record, _)| record).collect();
        prop_assert!(read.len() >= before || at == 0);
        prop_assert!(read.starts_with(&whole[..before.min(read.len())]));
    }
}
