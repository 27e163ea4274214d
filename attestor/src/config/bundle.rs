//! Where the bundle is served for other trust domains, and by which profile of SPIFFE Federation.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::value::Ttl;

/// The `[bundle-endpoint]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct BundleEndpointConfig {
    /// Where it listens; nowhere unless that is named.
    pub listen: Option<SocketAddr>,
    /// How often those who fetch are asked to.
    pub refresh_hint: Ttl,
    /// How those who fetch know that it is this trust domain's.
    pub profile: Profile,
    /// The chain that is shown by `https_web`, PEM.
    pub certificate_file: Option<PathBuf>,
    /// Its key, PEM.
    pub key_file: Option<PathBuf>,
}

/// A profile of SPIFFE Federation (§5.2), spelled as there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Profile {
    /// By the attestor's own SVID.
    #[default]
    #[serde(rename = "https_spiffe")]
    HttpsSpiffe,
    /// By a certificate that browsers trust.
    #[serde(rename = "https_web")]
    HttpsWeb,
}

/// Whose certificate is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    /// The attestor's own.
    Own,
    /// That of these files.
    Files {
        /// The chain.
        certificate: &'a PathBuf,
        /// The key.
        key: &'a PathBuf,
    },
}

impl Default for BundleEndpointConfig {
    fn default() -> Self {
        Self {
            listen: None,
            refresh_hint: Ttl::from_minutes(5),
            profile: Profile::default(),
            certificate_file: None,
            key_file: None,
        }
    }
}

impl BundleEndpointConfig {
    /// Whose certificate is shown; what is wrong where the table does not say it.
    pub(super) fn shown(&self) -> Result<Shown<'_>, &'static str> {
        match (self.profile, &self.certificate_file, &self.key_file) {
            (Profile::HttpsSpiffe, None, None) => Ok(Shown::Own),
            (Profile::HttpsWeb, Some(certificate), Some(key)) => {
                Ok(Shown::Files { certificate, key })
            }
            (Profile::HttpsSpiffe, _, _) => Err(
                "names files, which only the profile \"https_web\" shows: \"https_spiffe\" shows the attestor's own SVID",
            ),
            (Profile::HttpsWeb, _, _) => {
                Err("has the profile \"https_web\", which needs `certificate-file` and `key-file`")
            }
        }
    }
}
