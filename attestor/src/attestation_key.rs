//! A host's attestation key (AK): what it must be, and what it vouches for.
//!
//! Only an AK that is a child of the host's own EK counts, because only there are clock, reset
//! counters and firmware version plain (TPM 2.0 Part 1 §36). Nothing here is believed before
//! [`AttestationKey::verify`] said so.

use holdfast_proof::tpm::{
    AsymmetricScheme, Attest, HashAlg, KeyKind, MalformedStructure, Name, Public, PublicKey,
    Signature, SignatureRefused,
};
use holdfast_protocol::evidence::Signed;

/// An AK and where in its TPM it must live.
#[derive(Clone, Debug)]
pub struct AttestationKey {
    key: PublicKey,
    hash: HashAlg,
    qualified: Name,
}

/// A public area is not one of an AK. The host is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAttestationKey {
    /// Its attributes are others.
    #[error(
        "attributes {0:#010x} are not those of an attestation key: restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin, and neither decrypt nor x509sign"
    )]
    Attributes(u32),
    /// It may sign with any scheme, with SHA-1, or with one that we do not verify.
    #[error("its signing scheme is not fixed to one that we accept")]
    Scheme,
    /// Its name, or its ek's, is a SHA-1 digest: another public area could be made with the same one.
    #[error("its name or its ek's is made with sha-1")]
    Name,
}

/// A structure that the TPM should have signed, parsed but not believed.
#[derive(Clone, Debug)]
pub struct Unverified {
    /// What it says.
    pub attest: Attest,
    /// Its signature.
    pub signature: Signature,
}

impl Unverified {
    /// Parses a structure and its signature.
    ///
    /// # Errors
    /// [`MalformedStructure`] if one of them is not what it should be.
    pub fn parse(signed: &Signed) -> Result<Self, MalformedStructure> {
        Ok(Self {
            attest: Attest::parse(&signed.attest)?,
            signature: Signature::parse(&signed.signature)?,
        })
    }
}

/// A structure is not signed by the AK. The host is to blame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSigned {
    /// The signature does not verify.
    #[error("the signature is refused")]
    Signature(#[source] SignatureRefused),
    /// It is made with a hash that is not the key's.
    #[error("the signature's hash is {found:?}, the key's is {expected:?}")]
    Hash {
        /// The key's.
        expected: HashAlg,
        /// The signature's.
        found: HashAlg,
    },
    /// The key that signed is not the enrolled one below its EK.
    #[error("the signer is {found}, not the attestation key below its ek {expected}")]
    Signer {
        /// The AK's qualified name.
        expected: Name,
        /// The one in the structure.
        found: Name,
    },
}

impl AttestationKey {
    /// The AK with the public area `ak`, as a child of `ek`.
    ///
    /// # Errors
    /// [`NotAnAttestationKey`] if it has not an AK's attributes and scheme.
    pub fn new(ek: &Public, ak: &Public) -> Result<Self, NotAnAttestationKey> {
        let attributes = ak.attributes();
        if !attributes.is_attestation_key() {
            return Err(NotAnAttestationKey::Attributes(attributes.bits()));
        }
        if ek.name_alg() == HashAlg::Sha1 || ak.name_alg() == HashAlg::Sha1 {
            return Err(NotAnAttestationKey::Name);
        }
        let hash = match ak.kind() {
            KeyKind::Ecc {
                scheme: AsymmetricScheme::Ecdsa(hash),
                ..
            }
            | KeyKind::Rsa {
                scheme: AsymmetricScheme::RsaSsa(hash) | AsymmetricScheme::RsaPss(hash),
                ..
            } if *hash != HashAlg::Sha1 => *hash,
            KeyKind::Ecc { .. } | KeyKind::Rsa { .. } | KeyKind::KeyedHash { .. } => {
                return Err(NotAnAttestationKey::Scheme);
            }
        };
        let key = ak.key().ok_or(NotAnAttestationKey::Scheme)?;
        let parent = qualified_name(ek.name_alg(), &Name::endorsement(), &ek.name());
        Ok(Self {
            key,
            hash,
            qualified: qualified_name(ak.name_alg(), &parent, &ak.name()),
        })
    }

    /// Whether this key signed a structure, in its place below the EK.
    ///
    /// # Errors
    /// [`NotSigned`] if not.
    pub fn verify(&self, unverified: &Unverified) -> Result<(), NotSigned> {
        let Unverified { attest, signature } = unverified;
        let found = signature_hash(signature);
        if found != self.hash {
            return Err(NotSigned::Hash {
                expected: self.hash,
                found,
            });
        }
        self.key
            .verify(attest.as_bytes(), signature)
            .map_err(NotSigned::Signature)?;
        if *attest.qualified_signer() != self.qualified {
            return Err(NotSigned::Signer {
                expected: self.qualified.clone(),
                found: attest.qualified_signer().clone(),
            });
        }
        Ok(())
    }

    /// The hash of its signing scheme, which a quote's PCR digest is made with too.
    pub fn hash(&self) -> HashAlg {
        self.hash
    }
}

/// The name of an object together with those of its ancestors (Part 1 §16).
pub(crate) fn qualified_name(name_alg: HashAlg, parent: &Name, name: &Name) -> Name {
    Name::of_public(name_alg, &[parent.as_bytes(), name.as_bytes()].concat())
}

fn signature_hash(signature: &Signature) -> HashAlg {
    match signature {
        Signature::Ecdsa(signature) => signature.hash(),
        Signature::Rsa(signature) => signature.hash(),
    }
}
