//! Certificate signing requests (PKCS#10, RFC 2986): only the key counts.
//!
//! A request proves that its sender holds the key; what names or extensions it asks for is never
//! read, because the attestor alone says who a key belongs to.

use der::{Decode, Reader, SliceReader};
use holdfast_proof::tpm::{EccCurve, EccPublicKey, HashAlg, PublicKey};
use x509_cert::request::CertReq;
use x509_cert::spki::ObjectIdentifier;

const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");

/// A request whose signature verified under its own key, which is on P-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csr {
    key: EccPublicKey,
}

/// A request is not one that we sign. Whoever sent it is to blame.
#[derive(Debug, thiserror::Error)]
pub enum CsrError {
    /// It is not a PKCS#10 request.
    #[error("not a pkcs#10 request")]
    Malformed(#[source] der::Error),
    /// Its key is not one that we certify.
    #[error("the request's key is not a p-256 key")]
    Key,
    /// Its signature scheme is not one that we accept.
    #[error("the request is signed with {0}, not with ecdsa-with-sha256")]
    Algorithm(ObjectIdentifier),
    /// It is not signed by its key.
    #[error("the request is not signed by its own key")]
    Signature,
}

impl Csr {
    /// Parses a request in DER and verifies that it is signed by its own key.
    ///
    /// # Errors
    /// [`CsrError`] if it is not, or not with ECDSA on P-256.
    pub fn parse(bytes: &[u8]) -> Result<Self, CsrError> {
        let request = CertReq::from_der(bytes).map_err(CsrError::Malformed)?;
        let algorithm = request.algorithm.oid;
        if algorithm != ECDSA_WITH_SHA256 || request.algorithm.parameters.is_some() {
            return Err(CsrError::Algorithm(algorithm));
        }
        let spki = der::Encode::to_der(&request.info.public_key).map_err(CsrError::Malformed)?;
        let key = match PublicKey::from_spki_der(&spki) {
            Some(PublicKey::Ecc(key)) if key.curve() == EccCurve::P256 => key,
            Some(PublicKey::Ecc(_) | PublicKey::Rsa(_)) | None => return Err(CsrError::Key),
        };
        let signature = request.signature.as_bytes().ok_or(CsrError::Signature)?;
        let signed = signed_part(bytes).map_err(CsrError::Malformed)?;
        key.verify_der(signed, HashAlg::Sha256, signature)
            .map_err(|_| CsrError::Signature)?;
        Ok(Self { key })
    }

    /// The key.
    pub fn key(&self) -> PublicKey {
        PublicKey::Ecc(self.key.clone())
    }

    /// The key's SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), DER.
    pub fn spki_der(&self) -> Vec<u8> {
        self.key().to_spki_der()
    }
}

/// The bytes that the signature covers, as they came: encoding them anew could change them.
fn signed_part(request: &[u8]) -> der::Result<&[u8]> {
    let mut reader = SliceReader::new(request)?;
    reader.sequence(|reader| {
        let info = reader.tlv_bytes()?;
        let rest = reader.remaining_len();
        reader.drain(rest)?;
        Ok::<_, der::Error>(info)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
    use proptest::prelude::*;
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData,
    };

    use super::*;

    fn request(key: &KeyPair) -> Vec<u8> {
        CertificateParams::new(["admin.example".to_owned()])
            .unwrap()
            .serialize_request(key)
            .unwrap()
            .der()
            .to_vec()
    }

    #[test]
    fn gives_the_key_of_a_request() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let csr = Csr::parse(&request(&key)).unwrap();
        assert_eq!(csr.spki_der(), key.subject_public_key_info());
    }

    #[test]
    fn refuses_other_keys_trailing_bytes_and_foreign_signatures() {
        let other_curve = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        assert!(matches!(
            Csr::parse(&request(&other_curve)),
            Err(CsrError::Algorithm(_))
        ));

        let mut longer = request(&KeyPair::generate().unwrap());
        longer.push(0);
        assert!(matches!(Csr::parse(&longer), Err(CsrError::Malformed(_))));

        // The name is covered by the signature.
        let mut renamed = request(&KeyPair::generate().unwrap());
        let at = renamed
            .windows(5)
            .position(|window| window == b"admin")
            .unwrap();
        renamed[at] ^= 1;
        assert!(matches!(Csr::parse(&renamed), Err(CsrError::Signature)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_or_a_request(bytes: Vec<u8>, at: prop::sample::Index, flip in 1_u8..) {
            prop_assert!(Csr::parse(&bytes).is_err());
            let mut request = request(&KeyPair::generate().unwrap());
            let at = at.index(request.len());
            request[at] ^= flip;
            prop_assert!(Csr::parse(&request).is_err());
        }
    }
}
