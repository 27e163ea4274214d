//! Rows on keys: the AK, the node key, and the request that is for it.

use aws_lc_rs::signature::KeyPair as _;
use holdfast_proof::tpm::{
    AsymmetricScheme, EccCurve, EccPublicKey, HashAlg, KdfScheme, KeyKind, ObjectAttributes,
    Public, PublicParts, RsaPublicKey, StorageCipher,
};
use holdfast_protocol::evidence::Check;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};

use super::{Row, signed, travelling};
use crate::software_tpm::{
    AK, Parts, SIGNING, Scene, SoftwareTpm, ecc_public, node_key, sign, signing_key,
};

const AK_CHECK: Check = Check::AttestationKey;
const SIGNATURE: Check = Check::Signature;
const NODE_KEY: Check = Check::NodeKey;
const CSR: Check = Check::Csr;

const SIGN: u32 = 1 << 18;
const DECRYPT: u32 = 1 << 17;
const RESTRICTED: u32 = 1 << 16;
const X509_SIGN: u32 = 1 << 19;
const DATA_ORIGIN: u32 = 1 << 5;
const FIXED_PARENT: u32 = 1 << 4;
const FIXED_TPM: u32 = 1 << 1;

pub(super) const ROWS: &[Row] = &[
    signed("ak: not restricted", AK_CHECK, |scene, _| {
        ak(scene, AK ^ RESTRICTED)
    }),
    signed("ak: not fixedTPM", AK_CHECK, |scene, _| {
        ak(scene, AK ^ FIXED_TPM)
    }),
    signed("ak: not fixedParent", AK_CHECK, |scene, _| {
        ak(scene, AK ^ FIXED_PARENT)
    }),
    signed("ak: not sensitiveDataOrigin", AK_CHECK, |scene, _| {
        ak(scene, AK ^ DATA_ORIGIN)
    }),
    signed("ak: not sign", AK_CHECK, |scene, _| ak(scene, AK ^ SIGN)),
    signed("ak: decrypt", AK_CHECK, |scene, _| ak(scene, AK | DECRYPT)),
    signed("ak: x509sign", AK_CHECK, |scene, _| {
        ak(scene, AK | X509_SIGN)
    }),
    signed("ak: any scheme", AK_CHECK, |scene, _| {
        scheme(scene, AsymmetricScheme::Any)
    }),
    signed("ak: sha-1", AK_CHECK, |scene, _| {
        scheme(scene, AsymmetricScheme::Ecdsa(HashAlg::Sha1));
    }),
    signed("ak: named with sha-1", AK_CHECK, |scene, _| {
        let parts = parts_of(&scene.tpm.ak_public, HashAlg::Sha1);
        scene.host.enrolled.ak = Public::from_parts(&parts).unwrap();
    }),
    signed("ak: another that is good", SIGNATURE, |scene, _| {
        scene.host.enrolled.ak = SoftwareTpm::new().ak_public;
    }),
    signed("ak: below another ek", SIGNATURE, |scene, _| {
        scene.host.enrolled.ek = SoftwareTpm::new().ek_public;
    }),
    travelling(
        "signature: of a key in software",
        SIGNATURE,
        |scene, all| {
            all.quote = sign(&signing_key(), &scene.parts().quote);
        },
    ),
    signed("node key: restricted", NODE_KEY, |scene, parts| {
        certify(scene, parts, SIGNING | RESTRICTED);
    }),
    signed("node key: not fixedTPM", NODE_KEY, |scene, parts| {
        certify(scene, parts, SIGNING ^ FIXED_TPM);
    }),
    signed("node key: not fixedParent", NODE_KEY, |scene, parts| {
        certify(scene, parts, SIGNING ^ FIXED_PARENT);
    }),
    signed(
        "node key: not sensitiveDataOrigin",
        NODE_KEY,
        |scene, parts| {
            certify(scene, parts, SIGNING ^ DATA_ORIGIN);
        },
    ),
    signed("node key: not sign", NODE_KEY, |scene, parts| {
        certify(scene, parts, SIGNING ^ SIGN);
    }),
    signed("node key: decrypt", NODE_KEY, |scene, parts| {
        certify(scene, parts, SIGNING | DECRYPT);
    }),
    signed("node key: x509sign", NODE_KEY, |scene, parts| {
        certify(scene, parts, SIGNING | X509_SIGN);
    }),
    signed("node key: on p-384", NODE_KEY, |scene, parts| {
        let key = EccPublicKey::new(EccCurve::P384, &[1; 48], &[2; 48]).unwrap();
        let (storage, kdf) = (StorageCipher::None, KdfScheme::None);
        let scheme = AsymmetricScheme::Ecdsa(HashAlg::Sha256);
        certify_kind(
            scene,
            parts,
            KeyKind::Ecc {
                storage,
                scheme,
                kdf,
                key,
            },
        );
    }),
    signed("node key: rsa", NODE_KEY, |scene, parts| {
        let key = RsaPublicKey::new(&[0xff; 256], 65_537).unwrap();
        let storage = StorageCipher::None;
        let scheme = AsymmetricScheme::RsaSsa(HashAlg::Sha256);
        certify_kind(
            scene,
            parts,
            KeyKind::Rsa {
                storage,
                scheme,
                key,
            },
        );
    }),
    signed("node key: named with sha-1", NODE_KEY, |scene, parts| {
        let (key, csr) = node_key(SIGNING);
        let key = Public::from_parts(&parts_of(&key, HashAlg::Sha1)).unwrap();
        *parts = scene.parts_for(&key, csr);
    }),
    signed(
        "node key: in software, beside a certified one",
        NODE_KEY,
        |scene, parts| {
            *parts = scene.parts_for(&node_key(SIGNING).0, node_key(SIGNING).1);
        },
    ),
    signed(
        "node key: the name of another is certified",
        NODE_KEY,
        |scene, parts| {
            let (shown, csr) = node_key(SIGNING);
            *parts = scene.parts_for(&node_key(SIGNING).0, csr);
            parts.node_key = shown.as_bytes().to_vec();
        },
    ),
    travelling("node key: of another attestation", NODE_KEY, |_, all| {
        all.node_key = node_key(SIGNING).0.as_bytes().to_vec();
    }),
    travelling("node key: one bit of its point", NODE_KEY, |_, all| {
        *all.node_key.last_mut().unwrap() ^= 1;
    }),
    travelling("node key: an attribute less", NODE_KEY, |_, all| {
        all.node_key[6] ^= 4;
    }),
    signed("node key: the ak itself", NODE_KEY, |scene, parts| {
        let ak = scene.tpm.ak_public.clone();
        *parts = scene.parts_for(&ak, node_key(SIGNING).1);
    }),
    signed(
        "node key: its qualified name is certified",
        NODE_KEY,
        |_, parts| {
            let body = &mut parts.node_key_certified.body;
            let qualified = body.split_off(36);
            *body = [qualified.clone(), qualified].concat();
        },
    ),
    signed("csr: bound, empty", CSR, |scene, parts| {
        request(scene, parts, |_| Vec::new())
    }),
    signed("csr: bound, no request", CSR, |scene, parts| {
        request(scene, parts, |_| b"no request".to_vec());
    }),
    signed("csr: bound, a byte behind it", CSR, |scene, parts| {
        request(scene, parts, |csr| [csr, vec![0]].concat());
    }),
    signed("csr: bound, truncated", CSR, |scene, parts| {
        request(scene, parts, |csr| csr[..csr.len() - 1].to_vec());
    }),
    signed("csr: bound, oversized", CSR, |scene, parts| {
        request(scene, parts, |csr| [csr, vec![0; 64 * 1024]].concat());
    }),
    signed("csr: bound, signed by nobody", CSR, |scene, parts| {
        request(scene, parts, |mut csr| {
            *csr.last_mut().unwrap() ^= 1;
            csr
        });
    }),
    signed("csr: bound, on p-384", CSR, |scene, parts| {
        request(scene, parts, |_| {
            let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
            let csr = CertificateParams::default().serialize_request(&key);
            csr.unwrap().der().to_vec()
        });
    }),
];

pub(super) const SAME: &[Row] = &[
    // ECDSA has two signatures of every message; no signature is an identity here.
    travelling("signature: with the other s", SIGNATURE, |_, all| {
        let other = negated(&all.quote.signature[40..72]);
        all.quote.signature[40..72].copy_from_slice(&other);
    }),
    travelling("signature: r with a zero in front", SIGNATURE, |_, all| {
        all.quote.signature.insert(6, 0);
        all.quote.signature[5] = 33;
    }),
    // The name is what proves the key; its ancestors are the TPM's to say, and fixedParent holds it there.
    signed("node key: below another parent", NODE_KEY, |_, parts| {
        *parts.node_key_certified.body.last_mut().unwrap() ^= 1;
    }),
];

/// Enrolls a fresh key with these attributes as the AK.
fn ak(scene: &mut Scene, attributes: u32) {
    enroll(scene, attributes, AsymmetricScheme::Ecdsa(HashAlg::Sha256));
}

fn scheme(scene: &mut Scene, scheme: AsymmetricScheme) {
    enroll(scene, AK, scheme);
}

fn enroll(scene: &mut Scene, attributes: u32, scheme: AsymmetricScheme) {
    let key = signing_key();
    let point = key.public_key().as_ref();
    scene.host.enrolled.ak = ecc_public(attributes, StorageCipher::None, scheme, point);
}

/// Evidence for a node key with these attributes.
fn certify(scene: &Scene, parts: &mut Parts, attributes: u32) {
    let (key, csr) = node_key(attributes);
    *parts = scene.parts_for(&key, csr);
}

/// Evidence for a node key of this kind; the request is for another, as none of its own can be.
fn certify_kind(scene: &Scene, parts: &mut Parts, kind: KeyKind) {
    let key = Public::from_parts(&PublicParts {
        name_alg: HashAlg::Sha256,
        attributes: ObjectAttributes::from_bits(SIGNING).unwrap(),
        auth_policy: None,
        kind,
    });
    *parts = scene.parts_for(&key.unwrap(), node_key(SIGNING).1);
}

fn parts_of(key: &Public, name_alg: HashAlg) -> PublicParts {
    PublicParts {
        name_alg,
        ..key.parts().clone()
    }
}

/// Evidence for a request that was changed before it was bound.
fn request(scene: &Scene, parts: &mut Parts, change: fn(Vec<u8>) -> Vec<u8>) {
    let (key, csr) = node_key(SIGNING);
    *parts = scene.parts_for(&key, change(csr));
}

/// The order of P-256 minus `s` (SEC 2 §2.4.2).
fn negated(s: &[u8]) -> Vec<u8> {
    let order = data_encoding::HEXLOWER
        .decode(b"ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551")
        .unwrap();
    let mut borrow = false;
    let mut difference: Vec<u8> = order
        .iter()
        .zip(s)
        .rev()
        .map(|(n, s)| {
            let (byte, first) = n.overflowing_sub(*s);
            let (byte, second) = byte.overflowing_sub(u8::from(borrow));
            borrow = first || second;
            byte
        })
        .collect();
    difference.reverse();
    difference
}
