//! Keys lie encrypted as OpenSSL understands it, and what does not open them is told apart.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use holdfast_protocol::Timestamp;
use holdfast_protocol::id::TrustDomain;

use super::*;
use crate::certify::{Authority, Haste, KeyFolder};
use crate::mirror_audit::Cosigner;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const PASSPHRASE: &str = "correct horse battery staple";
const KEYS: [&str; 3] = ["audit-mirror.key.pem", "ca.key.pem", "jwt.key.pem"];

fn trust_domain() -> TrustDomain {
    "example.org".parse().unwrap()
}

fn encrypted(path: &Path, passphrase: &str) -> KeyFolder {
    let passphrase = Passphrase::new(passphrase.as_bytes()).unwrap();
    KeyFolder::new(path, AtRest::Encrypted(passphrase))
}

fn open(folder: &KeyFolder) -> Result<(Authority, Cosigner), CertifyError> {
    let authority = Authority::open(folder, &trust_domain(), NOW)?;
    Ok((authority, Cosigner::open(folder, &trust_domain())?))
}

fn text(folder: &tempfile::TempDir, name: &str) -> String {
    std::fs::read_to_string(folder.path().join(name)).unwrap()
}

/// What OpenSSL makes of a key, as a plain PKCS#8 key in PEM.
fn openssl(arguments: &[&str]) -> Option<String> {
    let output = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then_some(text)
}

#[test]
fn openssl_opens_what_we_encrypt_and_we_what_it_encrypts() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, cosigner) = open(&encrypted(folder.path(), PASSPHRASE)).unwrap();
    let (jwks, vkey) = (authority.jwks(), cosigner.vkey());
    // OpenSSL 3.0 knows no PKCS#8 of Ed25519 with its public half, encrypted or not; ours has it to show a changed byte.
    for name in ["ca.key.pem", "jwt.key.pem"] {
        let path = folder.path().join(name);
        let mode = path.metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name}");
        let path = path.to_str().unwrap();
        let open = |passphrase: &str| {
            let pass = format!("pass:{passphrase}");
            openssl(&["pkcs8", "-in", path, "-passin", &pass])
        };
        assert!(open("another passphrase").is_none(), "{name}");
        let plain = open(PASSPHRASE).unwrap();
        assert!(plain.contains("BEGIN PRIVATE KEY"), "{name}");

        // And back, by OpenSSL's own hand.
        let plain_path = folder.path().join("plain.pem");
        std::fs::write(&plain_path, plain).unwrap();
        let plain_path = plain_path.to_str().unwrap();
        let pass = format!("pass:{PASSPHRASE}");
        let by_openssl = openssl(&[
            "pkcs8",
            "-topk8",
            "-in",
            plain_path,
            "-passout",
            &pass,
            "-v2",
            "aes-256-cbc",
            "-v2prf",
            "hmacWithSHA256",
            "-iter",
            "600000",
        ]);
        std::fs::write(path, by_openssl.unwrap()).unwrap();
        std::fs::remove_file(plain_path).unwrap();
    }
    let (authority, cosigner) = open(&encrypted(folder.path(), PASSPHRASE)).unwrap();
    assert_eq!((authority.jwks(), cosigner.vkey()), (jwks, vkey));
}

#[test]
fn plain_keys_are_read_and_encrypted_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let (before, cosigner) = open(&KeyFolder::plain(folder.path())).unwrap();
    for name in KEYS {
        assert!(text(&folder, name).contains("BEGIN PRIVATE KEY"), "{name}");
    }
    // A crash while a key was made left its draft.
    let draft = folder.path().join("ca.key.0123456789abcdef.draft");
    std::fs::copy(folder.path().join("ca.key.pem"), &draft).unwrap();
    let sealed = encrypted(folder.path(), PASSPHRASE);
    open(&sealed).unwrap();
    let paths: Vec<PathBuf> = KEYS.map(|name| folder.path().join(name)).into();
    assert_eq!(sealed.encrypt().unwrap(), paths);
    assert!(sealed.encrypt().unwrap().is_empty());
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains("BEGIN PRIVATE KEY"));
    }
    assert!(!draft.exists());
    let (after, again) = open(&sealed).unwrap();
    assert_eq!(after.fingerprint(), before.fingerprint());
    assert_eq!(after.jwks(), before.jwks());
    assert_eq!(again.vkey(), cosigner.vkey());

    // The next generation is never plain.
    after.rotate(|all| all.prepare(NOW).map(drop), NOW).unwrap();
    for name in ["ca.2.key.pem", "jwt.2.key.pem"] {
        assert!(is_encrypted(&text(&folder, name)), "{name}");
    }
    let activate = |all: &mut crate::certify::Generations| {
        all.activate(NOW, std::time::Duration::ZERO, Haste::Now)
            .map(drop)
    };
    after.rotate(activate, NOW).unwrap();
    open(&sealed).unwrap();
}

#[test]
fn what_does_not_open_a_key_is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let sealed = encrypted(folder.path(), PASSPHRASE);
    open(&sealed).unwrap();
    let none = open(&KeyFolder::plain(folder.path())).unwrap_err();
    assert!(matches!(none, CertifyError::Encrypted { .. }), "{none}");
    let wrong = open(&encrypted(folder.path(), "another passphrase")).unwrap_err();
    assert!(
        matches!(wrong, CertifyError::WrongPassphrase { .. }),
        "{wrong}"
    );

    let path = folder.path().join("ca.key.pem");
    let whole = std::fs::read_to_string(&path).unwrap();
    let damaged = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Authority::open(&sealed, &trust_domain(), NOW).unwrap_err()
    };
    let cut = damaged(whole.split_at(whole.len() / 2).0);
    assert!(matches!(cut, CertifyError::Unusable { .. }), "{cut}");
    // A cheap derivation is not accepted, nor one that takes a day.
    for iterations in [2048, 100_000_000] {
        let (label, der) = pem::decode_vec(whole.as_bytes()).unwrap();
        let mut info = EncryptedPrivateKeyInfo::from_der(&der).unwrap();
        if let pkcs5::EncryptionScheme::Pbes2(parameters) = &mut info.algorithm
            && let Kdf::Pbkdf2(kdf) = &mut parameters.kdf
        {
            kdf.iteration_count = iterations;
        }
        let der = info.to_der().unwrap();
        let other = damaged(&pem::encode_string(label, LineEnding::LF, &der).unwrap());
        assert!(matches!(other, CertifyError::Unusable { .. }), "{other}");
    }
}

/// PBES2 has no authentication, so the key inside has to show it: by its public half. One derivation serves all tries.
#[test]
fn a_changed_byte_is_refused() {
    for make in [key::generate, key::ed25519_key] {
        let plain = make().unwrap();
        let key = Zeroizing::new(key::pkcs8(Path::new("k"), &plain).unwrap());
        let passphrase = Passphrase::new(PASSPHRASE.as_bytes()).unwrap();
        let sealed = encrypt(&passphrase, key.secret_pkcs8_der()).unwrap();
        let (_, der) = pem::decode_vec(sealed.as_bytes()).unwrap();
        let info = EncryptedPrivateKeyInfo::from_der(&der).unwrap();
        let (salt, iterations, iv) = ours(&info.algorithm).unwrap();
        let derived = || passphrase.derive(salt.as_bytes(), iterations).unwrap();
        let derived = PaddedBlockDecryptingKey::cbc_pkcs7(derived()).unwrap();
        let accepted = |iv: [u8; BLOCK], data: &[u8]| {
            let mut data = data.to_vec();
            let context = DecryptionContext::Iv128(FixedLength::from(iv));
            let Ok(plain) = derived.decrypt(&mut data, context) else {
                return None;
            };
            let ec = &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            let opens = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(ec, plain).is_ok()
                || aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(plain).is_ok();
            opens.then(|| plain.to_vec())
        };
        let data = info.data.as_bytes();
        assert_eq!(accepted(iv, data).unwrap(), key.secret_pkcs8_der());
        for at in 0..data.len() {
            for bit in 0..8 {
                let mut changed = data.to_vec();
                changed[at] ^= 1 << bit;
                assert!(accepted(iv, &changed).is_none(), "byte {at}, bit {bit}");
            }
        }
        for at in 0..BLOCK {
            let mut changed = iv;
            changed[at] ^= 1;
            // It bears upon the first block alone: algorithm and version, and nothing of the key.
            let other = accepted(changed, data);
            let halves = |key: &[u8]| key[BLOCK..].to_vec();
            let same = other.is_none_or(|other| halves(&other) == halves(key.secret_pkcs8_der()));
            assert!(same, "iv byte {at}");
        }
    }
}

#[test]
fn a_passphrase_has_a_length_and_no_newline() {
    let fifteen = b"123456789012345";
    assert_eq!(Passphrase::new(fifteen).unwrap_err(), InvalidPassphrase);
    assert!(Passphrase::new(b"123456789012345\n").is_err());
    assert!(Passphrase::new(&[b'x'; 1025]).is_err());
    let with = Passphrase::new(b"1234567890123456\r\n").unwrap();
    assert_eq!(*with.0, b"1234567890123456");
    assert_eq!(format!("{with:?}"), "Passphrase(..)");
}
