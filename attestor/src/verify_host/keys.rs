//! The keys of evidence: the AK that signed it, the node key that it is for.
//!
//! A key must never be believed by what the host says of it, only by its public area as the TPM
//! named it.

use holdfast_proof::tpm::{Certified, EccCurve, HashAlg, Public, PublicKey};
use holdfast_protocol::evidence::Check;
use holdfast_protocol::words::with_causes;

use super::structure::Parsed;
use super::{Appraiser, Refusal};
use crate::attestation_key::AttestationKey;
use crate::csr::Csr;
use crate::registry::Host;

/// The enrolled AK, judged again: what enrollment accepts may have become stricter since.
pub(super) fn attestation_key(
    appraiser: &mut Appraiser,
    host: &Host,
) -> Result<AttestationKey, Refusal> {
    match AttestationKey::new(&host.enrolled.ek, &host.enrolled.ak) {
        Ok(ak) => {
            appraiser.passed(
                Check::AttestationKey,
                format!("the enrolled key {}", host.enrolled.ak.name()),
            );
            Ok(ak)
        }
        Err(error) => Err(appraiser.refused(Check::AttestationKey, error)),
    }
}

/// Each of the structures is signed by the AK, in its place below the EK.
pub(super) fn signatures(
    appraiser: &mut Appraiser,
    ak: &AttestationKey,
    parsed: &Parsed,
) -> Result<(), Refusal> {
    for (name, unverified) in parsed.signed() {
        if let Err(error) = ak.verify(unverified) {
            return Err(appraiser.refused(
                Check::Signature,
                format!("the {name}: {}", with_causes(&error)),
            ));
        }
    }
    appraiser.passed(
        Check::Signature,
        "every structure is signed by the enrolled key below its ek",
    );
    Ok(())
}

/// The CSR is well formed and signed by its own key.
pub(super) fn csr(appraiser: &mut Appraiser, bytes: &[u8]) -> Result<Csr, Refusal> {
    match Csr::parse(bytes) {
        Ok(csr) => {
            appraiser.passed(Check::Csr, "well formed and signed by its own key");
            Ok(csr)
        }
        Err(error) => Err(appraiser.refused(Check::Csr, with_causes(&error))),
    }
}

/// The certified key is the CSR's, was made in this TPM, and stays there.
pub(super) fn node_key(
    appraiser: &mut Appraiser,
    node_key: &Public,
    certified: &Certified,
    csr: &Csr,
) -> Result<(), Refusal> {
    let name = node_key.name();
    if certified.name != name {
        return Err(appraiser.refused(
            Check::NodeKey,
            format!("certified is {}, shown is {name}", certified.name),
        ));
    }
    if node_key.name_alg() == HashAlg::Sha1 {
        // The certification covers the name alone, and two public areas can be made to share one.
        return Err(appraiser.refused(Check::NodeKey, "its name is made with sha-1"));
    }
    let attributes = node_key.attributes();
    if !attributes.is_bound_signing_key() {
        return Err(appraiser.refused(
            Check::NodeKey,
            format!(
                "attributes {:#010x} are not those of a node key: sign, fixedTPM, fixedParent, \
                 sensitiveDataOrigin, and neither restricted nor decrypt",
                attributes.bits()
            ),
        ));
    }
    let p256 = matches!(node_key.key(), Some(PublicKey::Ecc(key)) if key.curve() == EccCurve::P256);
    if !p256 {
        return Err(appraiser.refused(Check::NodeKey, "the certified key is not on p-256"));
    }
    if node_key.key() != Some(csr.key()) {
        return Err(appraiser.refused(Check::NodeKey, "the csr is for another key"));
    }
    appraiser.passed(
        Check::NodeKey,
        format!("{name}, made in this TPM, is the csr's key"),
    );
    Ok(())
}
