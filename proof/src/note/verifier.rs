//! Who signed a note: ECDSA P-256 keys (signature type 0x02), and lines that carry evidence (type 0xff).
//!
//! A line that names our key and does not verify refuses the whole note; an evidence line proves nothing by itself.

use data_encoding::{BASE64, HEXLOWER};

use super::{CheckpointBody, KeyId, MalformedCheckpoint, Origin, SignatureLine, SignedNote};
use crate::hash::{sha256, sha256_of};
use crate::tpm::{EccCurve, EccPublicKey, HashAlg, PublicKey};

/// The signature type of ECDSA in signed notes; the key ID is that of transparency-dev/formats: SHA-256 over the key alone.
const ECDSA: u8 = 0x02;
/// The signature type for algorithms without a number; an identifier follows it in the key ID.
const UNASSIGNED: u8 = 0xff;
const EVIDENCE: &[u8] = b"holdfast-nv-certify-v1";

/// An ECDSA P-256 key that signs the checkpoints of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcdsaVerifier {
    name: Origin,
    key: EccPublicKey,
    spki: Vec<u8>,
}

/// Why a note proves nothing. Whoever presented it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteRefused {
    /// No line is by the key.
    #[error("the note is not signed by the expected key")]
    Unsigned,
    /// A line that names the key does not verify.
    #[error("the signature of the expected key does not verify")]
    Signature,
    /// Signed, but not a checkpoint.
    #[error("the signed text is not a checkpoint")]
    Checkpoint(#[source] MalformedCheckpoint),
    /// Signed, but of another log.
    #[error("the checkpoint is one of another log")]
    Origin,
}

/// The text is not a verifier key of type 0x02, or its id is not that of its key. Whoever wrote it is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the text is not a verifier key for ecdsa on p-256")]
pub struct InvalidVkey;

impl EcdsaVerifier {
    /// The verifier of `key`; `None` unless it is on P-256.
    pub fn new(name: Origin, key: &PublicKey) -> Option<Self> {
        match key {
            PublicKey::Ecc(key) if key.curve() == EccCurve::P256 => Some(Self {
                name,
                spki: PublicKey::Ecc(key.clone()).to_spki_der(),
                key: key.clone(),
            }),
            PublicKey::Ecc(_) | PublicKey::Rsa(_) => None,
        }
    }

    /// Parses a verifier key: `name+id+base64(0x02 ‖ SubjectPublicKeyInfo)`.
    pub fn from_vkey(vkey: &str) -> Result<Self, InvalidVkey> {
        Self::parse_vkey(vkey)
            .filter(|verifier| verifier.to_vkey() == vkey)
            .ok_or(InvalidVkey)
    }

    /// The verifier key, as third-party tools take it.
    pub fn to_vkey(&self) -> String {
        let mut typed = vec![ECDSA];
        typed.extend_from_slice(&self.spki);
        let id = HEXLOWER.encode(&self.key_id().0);
        format!("{}+{id}+{}", self.name, BASE64.encode(&typed))
    }

    /// The name of the key, which is the origin of its log.
    pub fn name(&self) -> &Origin {
        &self.name
    }

    /// The first four bytes of SHA-256 over the SubjectPublicKeyInfo.
    pub fn key_id(&self) -> KeyId {
        KeyId(first_four(sha256(&self.spki).as_bytes()))
    }

    /// The signature line of a signature that the key's TPM made: ECDSA-Sig-Value, DER, over SHA-256 of the note's text.
    pub fn signature_line(&self, der: Vec<u8>) -> SignatureLine {
        SignatureLine {
            name: self.name.clone(),
            key_id: self.key_id(),
            signature: der,
        }
    }

    /// Checks that the key signed the note. Lines of other keys are ignored.
    pub fn verify(&self, note: &SignedNote) -> Result<(), NoteRefused> {
        let mut verdict = Err(NoteRefused::Unsigned);
        for line in note.signatures() {
            if line.name != self.name || line.key_id != self.key_id() {
                continue;
            }
            self.key
                .verify_der(note.text().as_bytes(), HashAlg::Sha256, &line.signature)
                .map_err(|_| NoteRefused::Signature)?;
            verdict = Ok(());
        }
        verdict
    }

    /// The checkpoint in a note that the key signed, of the log that has the key's name.
    pub fn verify_checkpoint(&self, note: &SignedNote) -> Result<CheckpointBody, NoteRefused> {
        self.verify(note)?;
        let body = CheckpointBody::parse(note.text()).map_err(NoteRefused::Checkpoint)?;
        if body.origin != self.name {
            return Err(NoteRefused::Origin);
        }
        Ok(body)
    }

    fn parse_vkey(vkey: &str) -> Option<Self> {
        let (name, rest) = vkey.split_once('+')?;
        let (_id, encoded) = rest.split_once('+')?;
        let typed = BASE64.decode(encoded.as_bytes()).ok()?;
        let (ECDSA, spki) = typed.split_first().map(|(kind, rest)| (*kind, rest))? else {
            return None;
        };
        Self::new(Origin::new(name).ok()?, &PublicKey::from_spki_der(spki)?)
    }
}

/// The extra signature line that carries a checkpoint's TPM evidence. Every reader of signed notes skips it as one of an
/// unknown key; `counter` is what judges its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EvidenceLine;

impl EvidenceLine {
    /// The line of the log `name` with `evidence`, which must not be empty.
    pub fn encode(name: &Origin, evidence: Vec<u8>) -> SignatureLine {
        SignatureLine {
            name: name.clone(),
            key_id: Self::key_id(name),
            signature: evidence,
        }
    }

    /// The evidence that a note carries for the log `name`, if it carries any.
    pub fn find<'a>(name: &Origin, note: &'a SignedNote) -> Option<&'a [u8]> {
        let key_id = Self::key_id(name);
        note.signatures()
            .iter()
            .find(|line| line.name == *name && line.key_id == key_id)
            .map(|line| line.signature.as_slice())
    }

    /// The first four bytes of `SHA-256(name ‖ "\n" ‖ 0xff ‖ "holdfast-nv-certify-v1")`.
    pub fn key_id(name: &Origin) -> KeyId {
        let digest = sha256_of(&[name.as_str().as_bytes(), b"\n", &[UNASSIGNED], EVIDENCE]);
        KeyId(first_four(digest.as_bytes()))
    }
}

fn first_four(digest: &[u8; 32]) -> [u8; 4] {
    let [a, b, c, d, ..] = *digest;
    [a, b, c, d]
}
