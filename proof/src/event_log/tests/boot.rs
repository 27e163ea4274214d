//! What is kept of a boot: the digests give what the log gives, and its words are bounded and plain.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::*;
use super::builder::{Builder, SECURE_BOOT, variable};
use crate::tpm::{HashAlg, PcrIndex};

const BANK: HashAlg = HashAlg::Sha256;

fn pcr(index: u8) -> PcrIndex {
    PcrIndex::new(index).unwrap()
}

fn all() -> BTreeSet<PcrIndex> {
    (0..24).map(pcr).collect()
}

fn boot(log: &[u8]) -> BootEvents {
    BootEvents::of(log, BANK, &all()).unwrap().unwrap()
}

fn words(boot: &BootEvents, index: u8) -> Vec<String> {
    boot.of_pcr(pcr(index))
        .map(|event| {
            let content = event
                .content
                .map_or_else(String::new, |value| format!("={value}"));
            format!("{} {}{content}", event.kind_words(), event.about)
        })
        .collect()
}

#[test]
fn what_is_kept_of_real_logs_gives_what_they_give_and_comes_back_the_same() {
    for log in [
        include_bytes!("../../../testdata/event_log/ovmf-secure-boot.bin").as_slice(),
        include_bytes!("../../../testdata/event_log/ovmf.bin"),
    ] {
        let boot = boot(log);
        let replayed = replay(log).unwrap().values;
        for index in all() {
            assert_eq!(
                boot.value(index).as_ref(),
                replayed.value(BANK, index),
                "{index:?}"
            );
        }
        let kept = serde_json::to_string(&boot).unwrap();
        assert!(kept.len() < 16 << 10, "{}", kept.len());
        assert_eq!(serde_json::from_str::<BootEvents>(&kept).unwrap(), boot);
    }
}

#[test]
fn real_events_are_told_in_words() {
    let log = include_bytes!("../../../testdata/event_log/ovmf-secure-boot.bin");
    let boot = boot(log);
    let seven = words(&boot, 7);
    assert_eq!(seven[0], "variable SecureBoot=1", "{seven:?}");
    assert!(seven.contains(&"variable PK".to_owned()), "{seven:?}");
    assert!(seven.contains(&"separator =0".to_owned()), "{seven:?}");
    let four = words(&boot, 4);
    assert!(
        four.contains(&"action Calling EFI Application from Boot Option".to_owned()),
        "{four:?}"
    );
    let variable = boot.of_pcr(pcr(7)).next().unwrap();
    assert_eq!(variable.words, Words::Measured);
}

/// UEFI_IMAGE_LOAD_EVENT of a file, on a hard drive.
fn image(path: &str) -> Vec<u8> {
    let node = |kind: u8, subkind: u8, content: &[u8]| {
        let length = u16::try_from(content.len() + 4).unwrap().to_le_bytes();
        [&[kind, subkind, length[0], length[1]], content].concat()
    };
    let path: Vec<u8> = path.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let nodes = [
        node(4, 1, &[0; 38]),
        node(4, 4, &[path, vec![0, 0]].concat()),
        node(0x7f, 0xff, &[]),
    ]
    .concat();
    let mut data = vec![0; 24];
    data.extend((nodes.len() as u64).to_le_bytes());
    data.extend(nodes);
    data
}

#[test]
fn another_digest_in_one_place_gives_another_value_of_its_pcr_alone() {
    let log = Builder::new(&[BANK])
        .measure(7, 0x8000_0001, &variable(SECURE_BOOT, "SecureBoot", &[1]))
        .forge(
            4,
            0x8000_0003,
            b"a loader",
            &image("\\EFI\\BOOT\\BOOTX64.EFI"),
        )
        .measure(4, 4, &[0; 4])
        .bytes();
    let boot = boot(&log);
    assert_eq!(
        words(&boot, 4),
        ["boot loader \\EFI\\BOOT\\BOOTX64.EFI", "separator =0"]
    );
    let loader = boot.of_pcr(pcr(4)).next().unwrap();
    // The path is the host's word: its program was measured.
    assert_eq!(loader.words, Words::Claimed);
    let new = BANK.digest(b"another loader");
    let (predicted, changed) = boot.with_replaced(&loader.digest, &new);
    assert_eq!(changed, BTreeSet::from([pcr(4)]));
    let afterwards = Builder::new(&[BANK])
        .forge(4, 0x8000_0003, b"another loader", b"")
        .measure(4, 4, &[0; 4])
        .bytes();
    let afterwards = replay(&afterwards).unwrap().values;
    assert_eq!(
        predicted.value(pcr(4)).as_ref(),
        afterwards.value(BANK, pcr(4))
    );
    assert_eq!(predicted.value(pcr(7)), boot.value(pcr(7)));
    let (same, changed) = boot.with_replaced(&new, &loader.digest);
    assert_eq!((same, changed), (boot, BTreeSet::new()));
}

#[test]
fn a_hostile_log_is_cut_and_cannot_write_to_a_terminal() {
    let mut log = Builder::new(&[BANK]);
    log = log.measure(
        7,
        0x8000_0001,
        &variable(SECURE_BOOT, "Secure\u{1b}[2J`\u{202e}Boot", &[1]),
    );
    for count in 0..1000_u32 {
        log = log.measure(4, 0x5, format!("{count}{}", "x".repeat(1000)).as_bytes());
    }
    let boot = boot(&log.bytes());
    assert_eq!(boot.of_pcr(pcr(4)).count(), MAX_EVENTS);
    // What is cut gives no value, rather than a wrong one.
    assert_eq!(boot.value(pcr(4)), None);
    assert!(boot.value(pcr(7)).is_some());
    assert_eq!(words(&boot, 7), ["variable Secure?[2J'?Boot=1"]);
    assert!(boot.of_pcr(pcr(4)).all(|event| event.about.len() <= 80));
}

proptest! {
    /// Whatever an event holds, its words are short and printable.
    #[test]
    fn words_are_plain(kind in prop_oneof![Just(0x5_u32), Just(0x6), Just(0xd), 0x8000_0001..=0x8000_0010_u32, any::<u32>()],
                       data in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assume!(kind != 3);
        let log = Builder::new(&[BANK]).measure(4, kind, &data).bytes();
        for event in boot(&log).of_pcr(pcr(4)) {
            prop_assert!(event.about.len() <= 80);
            prop_assert!(event.about.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'`'));
        }
    }
}
