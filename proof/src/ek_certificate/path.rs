//! The way from an EK certificate to a trusted root (RFC 5280 §6.1), depth first.
//!
//! Both its length and the number of signatures that it checks are bounded, because the host chooses the intermediates.

use holdfast_protocol::{Sha256Digest, Timestamp};

use super::{Certificate, EkCertificateError, Revocation, signature};

/// The most intermediate certificates between an EK certificate and its root.
pub const MAX_PATH: usize = 5;

/// Far more than any honest path needs, and still only milliseconds.
const MAX_SIGNATURES: usize = 64;

pub(super) struct Path {
    pub(super) root: Sha256Digest,
    pub(super) intermediates: usize,
}

pub(super) fn find(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
    revocation: &Revocation,
    now: Timestamp,
) -> Result<Path, EkCertificateError> {
    let mut search = Search {
        intermediates,
        roots,
        revocation,
        now,
        signatures_left: MAX_SIGNATURES,
        refusal: None,
    };
    search
        .from(leaf, 0)
        .ok_or_else(|| search.refusal.unwrap_or(EkCertificateError::NoPath))
}

struct Search<'a> {
    intermediates: &'a [Certificate],
    roots: &'a [Certificate],
    revocation: &'a Revocation,
    now: Timestamp,
    signatures_left: usize,
    /// Why the first issuer that was named did not do: it says more than that no path was found.
    refusal: Option<EkCertificateError>,
}

impl Search<'_> {
    /// A path from `certificate`, which has `below` intermediates under it and the leaf.
    fn from(&mut self, certificate: &Certificate, below: usize) -> Option<Path> {
        let (roots, intermediates) = (self.roots, self.intermediates);
        for root in roots {
            if self.issued_by(certificate, root, below) {
                return Some(Path {
                    root: root.fingerprint(),
                    intermediates: below,
                });
            }
        }
        if below == MAX_PATH {
            return None;
        }
        for issuer in intermediates {
            if self.issued_by(certificate, issuer, below)
                && let Some(path) = self.from(issuer, below + 1)
            {
                return Some(path);
            }
        }
        None
    }

    fn issued_by(&mut self, certificate: &Certificate, issuer: &Certificate, below: usize) -> bool {
        if !certificate.names_issuer(issuer) || self.signatures_left == 0 {
            return false;
        }
        let verdict = issuer
            .check_issuer(below)
            .and_then(|()| issuer.check_validity(self.now))
            .and_then(|()| {
                self.signatures_left -= 1;
                signature::verify(&certificate.signed, issuer)
            })
            .and_then(|()| {
                self.revocation
                    .check(certificate, issuer, self.now, &mut self.signatures_left)
            });
        match verdict {
            Ok(()) => true,
            Err(refusal) => {
                self.refusal.get_or_insert(refusal);
                false
            }
        }
    }
}
