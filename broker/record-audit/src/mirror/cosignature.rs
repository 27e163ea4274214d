//! The attestor's acknowledgement, verified: Ed25519 over a checkpoint and a time (C2SP tlog-cosignature v1, signed-note v1).
//!
//! It shares no code with the attestor's side, so that a mistake in one does not hide in the other.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use holdfast_proof::hash::sha256;
use holdfast_proof::note::{MalformedNote, SignedNote};

/// The signature type of Ed25519 cosignatures.
const TYPE: u8 = 0x04;

/// The key that the attestor cosigns with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosigner {
    vkey: String,
    key_id: [u8; 4],
    key: [u8; 32],
}

/// An acknowledgement proves nothing. The attestor, or whoever answers in its place, is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCosigned {
    /// The key is not a verifier key of type 0x04.
    #[error("the attestor's key is not one for ed25519 cosignatures")]
    Key,
    /// The attestor cosigned with another key before.
    #[error("the attestor cosigns with another key than before")]
    OtherKey,
    /// Note and line do not make a signed note.
    #[error("the cosignature is malformed")]
    Malformed(#[source] MalformedNote),
    /// The line is not by the key.
    #[error("the cosignature is not by the attestor's key")]
    OtherSigner,
    /// The signature does not verify.
    #[error("the cosignature does not verify")]
    Signature,
}

impl Cosigner {
    /// Parses a verifier key: `name+id+base64(0x04 ‖ public key)`.
    ///
    /// # Errors
    /// [`NotCosigned::Key`] if it is another's, or its id is not that of its key.
    pub fn from_vkey(vkey: &str) -> Result<Self, NotCosigned> {
        Self::parse(vkey).ok_or(NotCosigned::Key)
    }

    /// The verifier key.
    pub fn vkey(&self) -> &str {
        &self.vkey
    }

    /// The note with the cosignature in it, if `line` is one over the note's text; the time is the cosigner's word.
    ///
    /// # Errors
    /// [`NotCosigned`] if it is not.
    pub fn acknowledge(&self, note: &str, line: &str) -> Result<SignedNote, NotCosigned> {
        let cosigned =
            SignedNote::parse(&format!("{note}{line}\n")).map_err(NotCosigned::Malformed)?;
        let name = self.vkey.split('+').next().unwrap_or_default();
        let last = cosigned
            .signatures()
            .last()
            .filter(|last| last.name.as_str() == name && last.key_id.0 == self.key_id)
            .ok_or(NotCosigned::OtherSigner)?;
        let (time, signature) = last
            .signature
            .split_first_chunk()
            .ok_or(NotCosigned::Signature)?;
        let message = format!(
            "cosignature/v1\ntime {}\n{}",
            u64::from_be_bytes(*time),
            cosigned.text()
        );
        UnparsedPublicKey::new(&ED25519, &self.key)
            .verify(message.as_bytes(), signature)
            .map_err(|_| NotCosigned::Signature)?;
        Ok(cosigned)
    }

    fn parse(vkey: &str) -> Option<Self> {
        let (name, rest) = vkey.split_once('+')?;
        let (id, encoded) = rest.split_once('+')?;
        let typed = BASE64.decode(encoded.as_bytes()).ok()?;
        let (TYPE, key) = typed.split_first().map(|(kind, key)| (*kind, key))? else {
            return None;
        };
        let key = key.try_into().ok()?;
        let named = [name.as_bytes(), b"\n", &typed].concat();
        let [a, b, c, d, ..] = *sha256(&named).as_bytes();
        let key_id = [a, b, c, d];
        (HEXLOWER.encode(&key_id) == id).then(|| Self {
            vkey: vkey.to_owned(),
            key_id,
            key,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};

    use super::*;

    // The example of C2SP tlog-cosignature; its witness's key is not in the text, only the key's id.
    const NOTE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n\
        \u{2014} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n";
    const TEXT: &str =
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    struct Mirror(Ed25519KeyPair);

    impl Mirror {
        fn id(&self) -> [u8; 4] {
            let typed = [&[TYPE], self.0.public_key().as_ref()].concat();
            let digest = sha256(&[b"mirror.example\n".as_slice(), &typed].concat());
            digest.as_bytes()[..4].try_into().unwrap()
        }

        fn vkey(&self) -> String {
            let typed = [&[TYPE], self.0.public_key().as_ref()].concat();
            let id = HEXLOWER.encode(&self.id());
            format!("mirror.example+{id}+{}", BASE64.encode(&typed))
        }

        fn line(&self, text: &str) -> String {
            let message = format!("cosignature/v1\ntime 1679315147\n{text}");
            let bytes = [
                self.id().as_slice(),
                &1_679_315_147_u64.to_be_bytes(),
                self.0.sign(message.as_bytes()).as_ref(),
            ]
            .concat();
            format!("\u{2014} mirror.example {}", BASE64.encode(&bytes))
        }
    }

    #[test]
    fn only_the_key_itself_acknowledges_and_only_this_text() {
        let (mirror, other) = (
            Mirror(Ed25519KeyPair::generate().unwrap()),
            Mirror(Ed25519KeyPair::generate().unwrap()),
        );
        let cosigner = Cosigner::from_vkey(&mirror.vkey()).unwrap();
        let note = cosigner.acknowledge(NOTE, &mirror.line(TEXT)).unwrap();
        assert_eq!((note.signatures().len(), note.text()), (2, TEXT));
        assert_eq!(
            cosigner.acknowledge(NOTE, &other.line(TEXT)),
            Err(NotCosigned::OtherSigner)
        );
        let smaller = TEXT.replace("20852163", "20852162");
        assert_eq!(
            cosigner.acknowledge(NOTE, &mirror.line(&smaller)),
            Err(NotCosigned::Signature)
        );
        assert!(matches!(
            cosigner.acknowledge(NOTE, "not a line"),
            Err(NotCosigned::Malformed(_))
        ));
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let vkey = Mirror(Ed25519KeyPair::generate().unwrap()).vkey();
        assert!(Cosigner::from_vkey(&vkey).is_ok());
        assert!(Cosigner::from_vkey(&vkey.replacen("mirror", "other", 1)).is_err());
        // A plain Ed25519 key of notes, type 0x01.
        let plain = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
        assert_eq!(Cosigner::from_vkey(plain), Err(NotCosigned::Key));
    }
}
