//! The list that a Debian kernel wrote and the PCRs that its TPM had: `testdata/README.md` says how.

use crate::ima::{
    AllowList, Finding, Known, List, PathPattern, Policy, Prefix, Replay, SigningKeys,
};
use crate::tpm::{Digest, HashAlg, PcrIndex, PcrValues};

const LIST: &[u8] = include_bytes!("../../../testdata/ima/debian-6.1.bin");
const RSA: &[u8] = include_bytes!("../../../testdata/ima/signer-rsa.pem");
const P256: &[u8] = include_bytes!("../../../testdata/ima/signer-p256.pem");

fn list() -> List<'static> {
    List::new(LIST, HashAlg::Sha1, 0)
}

fn pcrs() -> PcrValues {
    let mut values = PcrValues::new();
    for line in include_str!("../../../testdata/ima/debian-6.1.pcrs").lines() {
        let mut words = line.split(' ').skip(1);
        let alg = super::super::template::alg(words.next().unwrap()).unwrap();
        let index = PcrIndex::new(words.next().unwrap().parse().unwrap()).unwrap();
        let value = data_encoding::HEXUPPER
            .decode(words.next().unwrap().as_bytes())
            .unwrap();
        assert!(values.insert(index, Digest::new(alg, &value).unwrap()));
    }
    values
}

#[test]
fn it_replays_to_each_bank_as_the_kernel_extended_it() {
    // Every template, a violation among them. The kernel had no SHA-384 and SHA-512 yet when IMA began.
    for (bank, padded) in [
        (HashAlg::Sha1, false),
        (HashAlg::Sha256, false),
        (HashAlg::Sha384, true),
        (HashAlg::Sha512, true),
    ] {
        let outcome = Replay::start([bank])
            .replay(list(), &pcrs(), &AllowList::default())
            .unwrap();
        let Prefix::Proven {
            replay, entries, ..
        } = outcome
        else {
            panic!("{bank:?} was not reached");
        };
        assert_eq!((entries, replay.entries()), (30, 30));
        assert_eq!(replay.padded().next().is_some(), padded, "{bank:?}");
    }
    let all = [
        HashAlg::Sha1,
        HashAlg::Sha256,
        HashAlg::Sha384,
        HashAlg::Sha512,
    ];
    assert!(matches!(
        Replay::start(all).replay(list(), &pcrs(), &AllowList::default()),
        Ok(Prefix::Proven { entries: 30, .. })
    ));
}

#[test]
fn every_entry_is_understood() {
    let seen: Vec<String> = list()
        .map(|entry| {
            let entry = entry.unwrap();
            let measured = entry.measured().unwrap().unwrap();
            format!(
                "{} {}{}{}{}",
                entry.template().escape_ascii(),
                measured.path.escape_ascii(),
                if entry.is_violation() {
                    " violation"
                } else {
                    ""
                },
                measured
                    .signature
                    .map_or_else(String::new, |s| format!(" signature of {}", s.len())),
                measured
                    .buffer
                    .map_or_else(String::new, |b| format!(" {}", b.escape_ascii())),
            )
        })
        .collect();
    insta::assert_snapshot!(seen[..22].join("\n"));
}

#[test]
fn signed_files_pass_and_the_others_are_named() {
    let mut allow = AllowList::default();
    let zero = "0".repeat(64);
    let lines = [
        "sha256:3d9f2889d6782537624a4e1a10e68a2ddd53e0ee8bac02676f27308f42ec6bf6  /bin/busybox",
        &format!("{zero}  /mnt/ls"),
        "c649630fffdece11d77acacde7eed08d7f25ad1401271bcea31b6ce0eed3d5a3  /mnt/file with space 7",
        "6c3042b3dfe2895588d0894961147d9694d1441d *//mnt/nothing",
    ];
    allow.add(&lines.join("\n")).unwrap();
    allow.finish();
    let policy = Policy {
        allow,
        exclude: vec![PathPattern::new("/mnt/tool*").unwrap()],
        keys: keys(),
    };
    let findings = policy
        .judge(list(), 30, &Known::default(), &pcrs())
        .unwrap();
    assert_eq!(
        (findings.judged, findings.signed, findings.excluded),
        (30, 2, 10)
    );
    let words: Vec<String> = findings.first.iter().map(Finding::to_string).collect();
    insta::assert_snapshot!(words.join("\n"));
}

#[test]
fn a_boot_aggregate_of_another_boot_is_found() {
    let mut other = PcrValues::new();
    for (index, value) in pcrs().iter() {
        let value = if index.get() == 4 {
            value.alg().digest(b"another loader")
        } else {
            value.clone()
        };
        assert!(other.insert(index, value));
    }
    let findings = Policy::default()
        .judge(list(), 1, &Known::default(), &other)
        .unwrap();
    assert_eq!(
        findings.first[0].why,
        "not the hash of the quoted pcrs 0 to 9"
    );
    assert_eq!(
        Policy::default()
            .judge(list(), 1, &Known::default(), &pcrs())
            .unwrap()
            .unjustified,
        0
    );
}

#[test]
fn a_changed_signature_or_key_is_refused() {
    let (rsa, ec) = (entry("/mnt/signed-rsa"), entry("/mnt/signed-ec"));
    for measured in [rsa, ec] {
        let signature = measured.signature.unwrap();
        keys().verify(&measured.digest, signature).unwrap();
        for at in 0..signature.len() {
            let mut changed = signature.to_vec();
            changed[at] ^= 1;
            assert!(
                keys().verify(&measured.digest, &changed).is_err(),
                "byte {at}"
            );
        }
        assert!(
            keys()
                .verify(&measured.digest, &signature[..signature.len() - 1])
                .is_err()
        );
        assert!(
            SigningKeys::default()
                .verify(&measured.digest, signature)
                .is_err()
        );
    }
    assert!(keys().verify(&rsa.digest, ec.signature.unwrap()).is_err());
}

fn keys() -> SigningKeys {
    let mut keys = SigningKeys::default();
    keys.add(RSA).unwrap();
    keys.add(P256).unwrap();
    keys
}

fn entry(path: &str) -> crate::ima::Measured<'static> {
    list()
        .map(|entry| entry.unwrap().measured().unwrap().unwrap())
        .find(|measured| measured.path == path.as_bytes())
        .unwrap()
}
