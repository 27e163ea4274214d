#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

use super::*;
use crate::tpm::ObjectAttributes;

const EK_RSA: &[u8] = include_bytes!("../../testdata/tpm/ek_rsa.pub.tpm2b");
const EK_ECC: &[u8] = include_bytes!("../../testdata/tpm/ek_ecc.pub.tpm2b");
const AK: &[u8] = include_bytes!("../../testdata/tpm/ak_ecc.pub.tpm2b");
const SEALED: &[u8] = include_bytes!("../../testdata/tpm/sealed.pub.tpm2b");

fn public(bytes: &[u8]) -> Public {
    Public::parse_sized(bytes).unwrap()
}

#[test]
fn kdf_a_gives_the_known_bytes() {
    // Computed with an independent implementation (Python's hmac) of Part 1 §11.4.10.2.
    let key: Vec<u8> = (0..32).collect();
    let derived = kdf::kdf_a(HashAlg::Sha256, &key, "STORAGE", b"context-u", b"v", 384);
    assert_eq!(data_encoding::HEXLOWER.encode(&derived), KDF_A);
    let derived = kdf::kdf_e(HashAlg::Sha256, &key, "IDENTITY", b"party-u", b"v", 384);
    assert_eq!(data_encoding::HEXLOWER.encode(&derived), KDF_E);
}

#[test]
fn a_challenge_has_the_documented_form() {
    let name = public(AK).name();
    let rsa = make_credential(&public(EK_RSA), &name, &[7; 32]).unwrap();
    assert_eq!(rsa.encrypted_secret.len(), 256);
    assert_eq!(rsa.credential_blob.len(), 2 + 32 + 2 + 32);
    let ecc = make_credential(&public(EK_ECC), &name, &[7; 16]).unwrap();
    assert_eq!(ecc.encrypted_secret.len(), 2 + 32 + 2 + 32);
    assert_eq!(ecc.credential_blob.len(), 2 + 32 + 2 + 16);
    // Fresh each time.
    assert_ne!(
        ecc,
        make_credential(&public(EK_ECC), &name, &[7; 16]).unwrap()
    );
}

#[test]
fn secrets_of_impossible_length_are_refused() {
    let (ek, name) = (public(EK_RSA), public(AK).name());
    for length in [0, 33] {
        let limit = 32;
        assert_eq!(
            make_credential(&ek, &name, &vec![0; length]),
            Err(CredentialError::SecretLength { length, limit })
        );
    }
}

#[test]
fn what_is_not_a_bound_storage_key_is_refused() {
    let name = public(AK).name();
    for not_ek in [AK, SEALED] {
        assert_eq!(
            make_credential(&public(not_ek), &name, &[7; 32]),
            Err(CredentialError::NotAStorageKey)
        );
    }
    // An "EK" whose private part could be duplicated to elsewhere.
    let mut parts = public(EK_ECC).parts().clone();
    let movable = parts.attributes.bits() & !ObjectAttributes::FIXED_TPM.bits();
    parts.attributes = ObjectAttributes::from_bits(movable).unwrap();
    assert_eq!(
        make_credential(&Public::from_parts(&parts).unwrap(), &name, &[7; 32]),
        Err(CredentialError::NotAStorageKey)
    );
}

#[test]
fn a_point_off_the_curve_is_refused() {
    let mut bytes = EK_ECC.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(
        make_credential(&public(&bytes), &public(AK).name(), &[7; 32]),
        Err(CredentialError::InvalidKey)
    );
}

const KDF_A: &str = "a20ac7b8f89a04abd25ac67bc71b003a4e5281c02d866487fcc57c02120ea26b722f9ca34c6b459f43fc2a9d922a0722";
const KDF_E: &str = "63ae9ba32c7d2e42fbdbbb96232724defb1a2637daad39013d1c0ce630bb3762959025d5a1a687a4c72152ec9c7c64cf";
