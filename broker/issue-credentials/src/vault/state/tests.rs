//! What opens a vault, and what an edit of its file does to it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use holdfast_protocol::vault::{AnthropicCredential, MAX_VALUE};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::file::MAX_FILE;
use super::*;

const HUMAN: HumanUid = HumanUid(1000);
const ADDED: Timestamp = Timestamp::from_secs(1_790_000_000);

fn name(text: &str) -> SecretName {
    text.parse().unwrap()
}

fn git(remote: &str) -> SecretUse {
    SecretUse::Git {
        remote: remote.parse().unwrap(),
        username: "x-access-token".parse().unwrap(),
    }
}

fn share(byte: u8) -> Share {
    Share::read(&secret(&BASE64.encode(&[byte; 32]))).unwrap()
}

fn secret(text: &str) -> Secret {
    Secret::new(Zeroizing::new(text.to_owned()))
}

fn key(share: Option<&Share>, human: HumanUid) -> VaultKey {
    let root = Key::new(Zeroizing::new([3; 32]));
    VaultKey::derive(&root, share, human).unwrap()
}

fn empty(key: &VaultKey) -> Vault {
    let root = SealedRoot::new(b"sealed".to_vec()).unwrap();
    Vault::new(HUMAN, Sharing::Keyring, root, key, [0; NONCE]).unwrap()
}

fn one(key: &VaultKey) -> Vault {
    let entry = (name("forge"), git("https://git.example/org"));
    empty(key)
        .with(key, entry, ADDED, "s3cret", [1; NONCE])
        .unwrap()
}

type Edit = fn(&mut Value);

/// The vault after its file was edited.
fn edited(vault: &Vault, edit: impl FnOnce(&mut Value)) -> Result<Vault, FileError> {
    let mut file = serde_json::from_slice(&vault.write().unwrap()).unwrap();
    edit(&mut file);
    Vault::read(&serde_json::to_vec(&file).unwrap(), HUMAN)
}

#[test]
fn a_secret_comes_out_as_it_went_in() {
    let key = key(Some(&share(1)), HUMAN);
    let vault = Vault::read(&one(&key).write().unwrap(), HUMAN).unwrap();
    assert_eq!(vault, one(&key));
    assert!(vault.fits(&key));
    let purpose = git("https://git.example/org");
    assert_eq!(vault.purpose(&name("forge")).unwrap(), &purpose);
    let opened = vault.open(&key, &name("forge"), &purpose).unwrap();
    assert_eq!(*opened, "s3cret");
    let bytes = vault.write().unwrap();
    assert!(!String::from_utf8(bytes).unwrap().contains("s3cret"));
}

#[test]
fn the_key_needs_every_part() {
    let right = key(Some(&share(1)), HUMAN);
    let vault = one(&right);
    let other_root = Key::new(Zeroizing::new([4; 32]));
    let wrong = [
        key(Some(&share(2)), HUMAN),
        key(None, HUMAN),
        key(Some(&share(1)), HumanUid(1001)),
        VaultKey::derive(&other_root, Some(&share(1)), HUMAN).unwrap(),
    ];
    for wrong in wrong {
        assert!(!vault.fits(&wrong));
        let opened = vault.open(&wrong, &name("forge"), &git("https://git.example/org"));
        assert!(matches!(opened, Err(StateError::Damaged(_))));
    }
    assert!(vault.fits(&key(Some(&share(1)), HUMAN)));
}

#[test]
fn an_edited_entry_does_not_open() {
    let key = key(None, HUMAN);
    let vault = one(&key);
    let edits: [(&str, Edit); 4] = [
        ("forge", |file| {
            file["secrets"][0]["use"]["remote"] = json!("https://evil.example/org");
        }),
        ("forge", |file| {
            file["secrets"][0]["use"]["username"] = json!("eve")
        }),
        ("other", |file| file["secrets"][0]["name"] = json!("other")),
        ("forge", |file| file["secrets"][0]["added"] = json!(1)),
    ];
    for (called, edit) in edits {
        let vault = edited(&vault, edit).unwrap();
        let called = name(called);
        let purpose = vault.purpose(&called).unwrap().clone();
        let opened = vault.open(&key, &called, &purpose);
        assert!(matches!(opened, Err(StateError::Damaged(of)) if of == called));
    }
    // Another's box under this name, though the key is the same.
    let entry = (name("second"), git("https://git.example/org"));
    let two = vault.with(&key, entry, ADDED, "other", [2; NONCE]).unwrap();
    let swapped = edited(&two, |file| {
        let first = file["secrets"][0]["sealed"].take();
        file["secrets"][0]["sealed"] = file["secrets"][1]["sealed"].take();
        file["secrets"][1]["sealed"] = first;
    });
    let opened = swapped
        .unwrap()
        .open(&key, &name("forge"), &git("https://git.example/org"));
    assert!(matches!(opened, Err(StateError::Damaged(_))));
}

#[test]
fn a_keyring_vault_cannot_be_declared_headless() {
    let key = key(None, HUMAN);
    let vault = edited(&one(&key), |file| file["sharing"] = json!("headless")).unwrap();
    assert!(!vault.fits(&key));
}

#[test]
fn a_secret_does_not_open_for_another_use_than_it_went_in_with() {
    let key = key(None, HUMAN);
    let anthropic = SecretUse::Anthropic {
        base: "https://git.example/org".parse().unwrap(),
        credential: AnthropicCredential::ApiKey,
    };
    for purpose in [git("https://git.example"), anthropic] {
        let opened = one(&key).open(&key, &name("forge"), &purpose);
        assert!(matches!(opened, Err(StateError::Damaged(_))));
    }
}

#[test]
fn a_file_that_is_not_a_vault_is_refused() {
    let vault = one(&key(None, HUMAN));
    let refusals: [Edit; 8] = [
        |file| file["version"] = json!(2),
        |file| file["more"] = json!(1),
        |file| file["secrets"][0]["more"] = json!(1),
        |file| file["secrets"][0]["name"] = json!("../x"),
        |file| file["secrets"][0]["use"]["remote"] = json!("file:///etc/passwd"),
        |file| file["secrets"][0]["sealed"] = json!("AAAA"),
        |file| file["check"] = json!(BASE64.encode(&vec![0; 28 + MAX_VALUE + 1])),
        |file| {
            let twice = file["secrets"][0].clone();
            file["secrets"].as_array_mut().unwrap().push(twice);
        },
    ];
    for refusal in refusals {
        assert!(matches!(edited(&vault, refusal), Err(FileError::Form(_))));
    }
    let other = edited(&vault, |file| file["human"] = json!(0));
    assert!(matches!(other, Err(FileError::Other(HumanUid(0)))));
    let large = vec![b' '; MAX_FILE + 1];
    assert!(matches!(
        Vault::read(&large, HUMAN),
        Err(FileError::TooLarge)
    ));
    assert!(matches!(Vault::read(b"", HUMAN), Err(FileError::Form(_))));
}

#[test]
fn a_vault_takes_so_many_and_no_more() {
    let key = key(None, HUMAN);
    let mut vault = empty(&key);
    for number in 0..MAX_SECRETS {
        let entry = (name(&format!("s{number}")), git("https://git.example"));
        vault = vault.with(&key, entry, ADDED, "v", [9; NONCE]).unwrap();
    }
    let entry = (name("one-more"), git("https://git.example"));
    let refused = vault.with(&key, entry, ADDED, "v", [9; NONCE]);
    assert!(matches!(refused, Err(StateError::Full)));
    let entry = (name("s0"), git("https://git.example"));
    let replaced = vault.with(&key, entry, ADDED, "v", [9; NONCE]).unwrap();
    assert_eq!(
        Vault::read(&replaced.write().unwrap(), HUMAN).unwrap(),
        replaced
    );
}

#[test]
fn a_share_is_32_bytes() {
    for bad in ["", "AAAA", &BASE64.encode(&[0; 33]), "not base64"] {
        assert!(Share::read(&secret(bad)).is_err(), "{bad}");
    }
}

proptest! {
    /// Whatever one byte of a box becomes, the secret does not come out changed.
    #[test]
    fn a_flipped_bit_is_seen(at in 0_usize..34, bit in 0_u8..8) {
        let key = key(None, HUMAN);
        let vault = edited(&one(&key), |file| {
            let sealed = &mut file["secrets"][0]["sealed"];
            let mut bytes = BASE64.decode(sealed.as_str().unwrap().as_bytes()).unwrap();
            bytes[at] ^= 1 << bit;
            *sealed = json!(BASE64.encode(&bytes));
        });
        let opened = vault.unwrap().open(&key, &name("forge"), &git("https://git.example/org"));
        prop_assert!(matches!(opened, Err(StateError::Damaged(_))));
    }

    #[test]
    fn hostile_files_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Vault::read(&bytes, HUMAN).is_err());
    }
}
