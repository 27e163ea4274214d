//! The keys: whose signature, which attributes, which name.

use holdfast_proof::tpm::{AsymmetricScheme, HashAlg, StorageCipher};
use holdfast_protocol::evidence::Check;

use super::{refused, refused_after};
use crate::software_tpm::{AK, SIGNING, SoftwareTpm, ecc_public, node_key, sign, signing_key};

#[test]
fn attestation_keys() {
    let point = signing_key();
    let point = aws_lc_rs::signature::KeyPair::public_key(&point)
        .as_ref()
        .to_vec();
    // Without restricted, fixedTPM, fixedParent, sensitiveDataOrigin, sign; with decrypt.
    for attributes in [
        AK ^ 1 << 16,
        AK ^ 1 << 1,
        AK ^ 1 << 4,
        AK ^ 1 << 5,
        AK ^ 1 << 18,
        AK | 1 << 17,
    ] {
        let check = refused(|scene, _| {
            let scheme = AsymmetricScheme::Ecdsa(HashAlg::Sha256);
            let cipher = StorageCipher::None;
            scene.host.enrolled.ak = ecc_public(attributes, cipher, scheme, &point);
        });
        assert_eq!(check, Check::AttestationKey, "{attributes:#x}");
    }
    for scheme in [
        AsymmetricScheme::Any,
        AsymmetricScheme::Ecdsa(HashAlg::Sha1),
    ] {
        let check = refused(|scene, _| {
            scene.host.enrolled.ak = ecc_public(AK, StorageCipher::None, scheme, &point);
        });
        assert_eq!(check, Check::AttestationKey, "{scheme:?}");
    }
}

#[test]
fn signatures_are_of_the_enrolled_key() {
    // Another TPM's AK, for each of the three.
    let other = SoftwareTpm::new();
    assert_eq!(
        refused_after(|scene, evidence| evidence.quote = other.sign(&scene.parts().quote)),
        Check::Signature
    );
    assert_eq!(
        refused_after(|scene, evidence| {
            evidence.node_key_certified = other.sign(&scene.parts().node_key_certified);
        }),
        Check::Signature
    );
    assert_eq!(
        refused_after(|scene, evidence| {
            let statement = scene.parts().audit_counter_certified;
            evidence.audit_counter_certified = sign(&signing_key(), &statement);
        }),
        Check::Signature
    );
    // One structure's signature under another.
    assert_eq!(
        refused_after(|_, evidence| {
            evidence.quote.signature = evidence.node_key_certified.signature.clone();
        }),
        Check::Signature
    );
    assert_eq!(
        refused_after(|_, evidence| *evidence.quote.signature.last_mut().unwrap() ^= 1),
        Check::Signature
    );
    // One bit of what was signed.
    assert_eq!(
        refused_after(|_, evidence| *evidence.quote.attest.last_mut().unwrap() ^= 1),
        Check::Signature
    );
    // A hash that is not the key's.
    assert_eq!(
        refused_after(|_, evidence| evidence.quote.signature[3] = 0x0c),
        Check::Signature
    );
}

#[test]
fn the_signer_lives_below_the_enrolled_ek() {
    let elsewhere = SoftwareTpm::new();
    let check = refused(|scene, parts| {
        let owner = holdfast_proof::tpm::Name::owner();
        let ak = scene.tpm.ak_public.name();
        parts.quote.signer = crate::attestation_key::qualified_name(HashAlg::Sha256, &owner, &ak);
    });
    assert_eq!(check, Check::Signature);
    let check = refused(|scene, _| scene.host.enrolled.ek = elsewhere.ek_public.clone());
    assert_eq!(check, Check::Signature);
}

#[test]
fn csrs() {
    // Bound as it is, but no request, or one by another key.
    for csr in [Vec::new(), b"no request".to_vec()] {
        let check = refused(|scene, parts| {
            let (key, _) = node_key(SIGNING);
            *parts = scene.parts_for(&key, csr);
        });
        assert_eq!(check, Check::Csr);
    }
    let check = refused(|scene, parts| {
        let (key, mut csr) = node_key(SIGNING);
        *csr.last_mut().unwrap() ^= 1;
        *parts = scene.parts_for(&key, csr);
    });
    assert_eq!(check, Check::Csr);
}

#[test]
fn the_csr_is_for_the_certified_key() {
    // A key in software beside a certified one in the TPM.
    let check = refused(|scene, parts| {
        let (key, _) = node_key(SIGNING);
        let (_, csr) = node_key(SIGNING);
        *parts = scene.parts_for(&key, csr);
    });
    assert_eq!(check, Check::NodeKey);
    // The public area of the CSR's key beside the certification of another.
    let check = refused(|scene, parts| {
        let (certified, _) = node_key(SIGNING);
        let (shown, csr) = node_key(SIGNING);
        *parts = scene.parts_for(&certified, csr);
        parts.node_key = shown.as_bytes().to_vec();
    });
    assert_eq!(check, Check::NodeKey);
}

#[test]
fn the_certified_key_was_made_in_the_tpm_and_stays_there() {
    // Restricted; without fixedTPM, fixedParent, sensitiveDataOrigin, sign; with decrypt.
    for attributes in [
        SIGNING | 1 << 16,
        SIGNING ^ 1 << 1,
        SIGNING ^ 1 << 4,
        SIGNING ^ 1 << 5,
        SIGNING ^ 1 << 18,
        SIGNING | 1 << 17,
    ] {
        let check = refused(|scene, parts| {
            let (key, csr) = node_key(attributes);
            *parts = scene.parts_for(&key, csr);
        });
        assert_eq!(check, Check::NodeKey, "{attributes:#x}");
    }
}
