//! TPM2_ActivateCredential in software (TPM 2.0 Part 1 §24, annex C.6), written from the
//! specification and not from the code that it tests.

use aws_lc_rs::agreement::{ECDH_P256, UnparsedPublicKey, agree};
use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{digest, hmac};

use super::SoftwareTpm;

impl SoftwareTpm {
    /// Opens a challenge; `None` where a TPM would answer TPM_RC_INTEGRITY.
    pub(crate) fn activate_credential(&self, blob: &[u8], encrypted: &[u8]) -> Option<Vec<u8>> {
        let (x, rest) = take_sized(encrypted);
        let (y, _) = take_sized(rest);
        let point = [&[4_u8], x, y].concat();
        let own = self.ek.compute_public_key().unwrap();
        let own_x = own.as_ref()[1..33].to_vec();
        let peer = UnparsedPublicKey::new(&ECDH_P256, point);
        let seed = agree(&self.ek, peer, (), |z| {
            let parts = [&[0, 0, 0, 1], z, b"IDENTITY\0".as_slice(), x, &own_x].concat();
            Ok(digest::digest(&digest::SHA256, &parts).as_ref().to_vec())
        })
        .ok()?;

        let name = self.ak_public.name();
        let (mac, identity) = take_sized(blob);
        let mac_key = hmac_sha256(&seed, &kdf_a_input(b"INTEGRITY\0", b"", 256));
        let covered = [identity, name.as_bytes()].concat();
        if hmac_sha256(&mac_key, &covered) != mac {
            return None;
        }
        let key = hmac_sha256(&seed, &kdf_a_input(b"STORAGE\0", name.as_bytes(), 128));
        let key = UnboundCipherKey::new(&AES_128, &key[..16]).unwrap();
        let mut plain = identity.to_vec();
        DecryptingKey::cfb128(key)
            .unwrap()
            .decrypt(
                &mut plain,
                DecryptionContext::Iv128(FixedLength::from([0; 16])),
            )
            .unwrap();
        Some(take_sized(&plain).0.to_vec())
    }
}

fn take_sized(bytes: &[u8]) -> (&[u8], &[u8]) {
    let length = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    bytes[2..].split_at(length)
}

/// The one block of KDFa that is wanted: counter, label with its zero, context, bits.
fn kdf_a_input(label: &[u8], context: &[u8], bits: u32) -> Vec<u8> {
    [&[0, 0, 0, 1], label, context, &bits.to_be_bytes()].concat()
}

fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, message).as_ref().to_vec()
}
