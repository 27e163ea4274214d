//! The mirror's cosignature: Ed25519 over a checkpoint and a time (C2SP tlog-cosignature v1, signed-note v1).
//!
//! Besides what every cosignature says, ours says that every record below the checkpoint's size is durable here. The key is
//! used for nothing else, because the signed message does not name its cosigner.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::{BASE64, HEXLOWER};
use holdfast_proof::hash::sha256;
use holdfast_proof::note::{KeyId, Origin, SignatureLine};
use holdfast_protocol::Timestamp;
use holdfast_protocol::id::TrustDomain;

use crate::certify::{CertifyError, KeyFolder, ed25519_key};

const KEY_FILE: &str = "audit-mirror.key.pem";

/// The signature type of Ed25519 cosignatures.
const ED25519_COSIGNATURE: u8 = 0x04;

/// The key that acknowledges.
#[derive(Debug)]
pub struct Cosigner {
    name: Origin,
    key: Ed25519KeyPair,
}

impl Cosigner {
    /// Opens the key in a state folder, and makes it there where it is not.
    ///
    /// # Errors
    /// [`CertifyError`] if the file cannot be used.
    pub fn open(state: &KeyFolder, trust_domain: &TrustDomain) -> Result<Self, CertifyError> {
        let path = state.join(KEY_FILE);
        let unusable = |problem| CertifyError::Unusable {
            path: path.clone(),
            problem,
        };
        let key = state.key(&path, ed25519_key)?;
        let key = Ed25519KeyPair::from_pkcs8(key.secret_pkcs8_der())
            .map_err(|_| unusable("is not an Ed25519 key"))?;
        let name = Origin::new(format!("{trust_domain}/holdfast-audit-mirror"))
            .map_err(|_| unusable("has no name"))?;
        Ok(Self { name, key })
    }

    /// The verifier key: `name+id+base64(0x04 ‖ public key)`.
    pub fn vkey(&self) -> String {
        let mut typed = vec![ED25519_COSIGNATURE];
        typed.extend_from_slice(self.key.public_key().as_ref());
        format!(
            "{}+{}+{}",
            self.name,
            HEXLOWER.encode(&self.key_id().0),
            BASE64.encode(&typed)
        )
    }

    /// The signature line over a checkpoint's text, as of a time.
    pub fn cosign(&self, text: &str, at: Timestamp) -> String {
        let seconds = at.as_secs();
        let message = format!("cosignature/v1\ntime {seconds}\n{text}");
        let mut signature = seconds.to_be_bytes().to_vec();
        signature.extend_from_slice(self.key.sign(message.as_bytes()).as_ref());
        SignatureLine {
            name: self.name.clone(),
            key_id: self.key_id(),
            signature,
        }
        .to_string()
    }

    fn key_id(&self) -> KeyId {
        let mut named = format!("{}\n", self.name).into_bytes();
        named.push(ED25519_COSIGNATURE);
        named.extend_from_slice(self.key.public_key().as_ref());
        let digest = sha256(&named);
        let [a, b, c, d, ..] = *digest.as_bytes();
        KeyId([a, b, c, d])
    }
}
