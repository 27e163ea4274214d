//! The key derivations of a TPM: KDFa (Part 1 §11.4.10.2, SP 800-108 counter mode) and KDFe (§11.4.10.3, SP 800-56A).
//!
//! Only lengths in whole bytes are derived, which is all that Holdfast needs.

use aws_lc_rs::{digest, hmac};
use zeroize::Zeroizing;

use super::Secret;
use crate::tpm::HashAlg;

/// KDFa with HMAC over `hash`; `bits` is a multiple of 8.
pub(super) fn kdf_a(
    hash: HashAlg,
    key: &[u8],
    label: &str,
    context_u: &[u8],
    context_v: &[u8],
    bits: u32,
) -> Secret {
    expand(bits, |counter| {
        hmac(
            hash,
            key,
            &[
                counter,
                label.as_bytes(),
                &[0],
                context_u,
                context_v,
                &bits.to_be_bytes(),
            ],
        )
    })
}

/// KDFe with `hash` over the x coordinate `z` of a shared point; `bits` is a multiple of 8.
pub(super) fn kdf_e(
    hash: HashAlg,
    z: &[u8],
    label: &str,
    party_u: &[u8],
    party_v: &[u8],
    bits: u32,
) -> Secret {
    expand(bits, |counter| {
        let mut context = digest::Context::new(hash.implementation());
        for part in [counter, z, label.as_bytes(), &[0], party_u, party_v] {
            context.update(part);
        }
        Zeroizing::new(context.finish().as_ref().to_vec())
    })
}

/// HMAC over the concatenation of `parts`.
pub(super) fn hmac(hash: HashAlg, key: &[u8], parts: &[&[u8]]) -> Secret {
    let algorithm = match hash {
        HashAlg::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        HashAlg::Sha256 => hmac::HMAC_SHA256,
        HashAlg::Sha384 => hmac::HMAC_SHA384,
        HashAlg::Sha512 => hmac::HMAC_SHA512,
    };
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    for part in parts {
        context.update(part);
    }
    Zeroizing::new(context.sign().as_ref().to_vec())
}

/// Blocks with a counter from 1 on, cut to `bits`.
fn expand(bits: u32, block: impl Fn(&[u8]) -> Secret) -> Secret {
    let length = (bits / 8) as usize;
    let mut output = Zeroizing::new(Vec::new());
    for counter in 1_u32.. {
        if output.len() >= length {
            break;
        }
        output.extend_from_slice(&block(&counter.to_be_bytes()));
    }
    output.truncate(length);
    output
}
