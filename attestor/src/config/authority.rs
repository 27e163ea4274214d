//! Who signs the authorities that sign SVIDs: they themselves, or an upstream authority in files.

use std::path::PathBuf;

use serde::Deserialize;

use crate::certify::UpstreamFiles;

/// The `[authority]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct AuthorityConfig {
    /// The upstream's chain, PEM: first the certificate whose key signs.
    pub upstream_certificate: Option<PathBuf>,
    /// That key, PKCS#8 PEM.
    pub upstream_key: Option<PathBuf>,
    /// The upstream's roots, PEM.
    pub upstream_bundle: Option<PathBuf>,
}

impl AuthorityConfig {
    /// The upstream, where there is one; what is wrong where the table says only a part of it.
    pub(super) fn upstream(&self) -> Result<Option<UpstreamFiles>, &'static str> {
        match (
            &self.upstream_certificate,
            &self.upstream_key,
            &self.upstream_bundle,
        ) {
            (None, None, None) => Ok(None),
            (Some(certificate), Some(key), Some(bundle)) => Ok(Some(UpstreamFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                bundle: bundle.clone(),
            })),
            (_, _, _) => Err(
                "names a part of an upstream authority, which takes `upstream-certificate`, `upstream-key` and `upstream-bundle`",
            ),
        }
    }
}
