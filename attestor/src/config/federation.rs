//! The trust domains that one federates with, and where each one's bundle comes from.

use std::path::PathBuf;

use holdfast_protocol::id::{SpiffeId, TrustDomain};
use serde::Deserialize;

use super::bundle::Profile;
use crate::federation::{BundleUrl, Source};

/// A table `[federation."TRUST-DOMAIN"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct FederationConfig {
    /// The endpoint; without one the bundle is the operator's file.
    pub url: Option<BundleUrl>,
    /// How the endpoint is verified.
    pub profile: Option<Profile>,
    /// Whose SVID it shows, by `https_spiffe`.
    pub endpoint_spiffe_id: Option<SpiffeId>,
    /// The operator's file, or what vouches for the endpoint at first.
    pub bundle_file: Option<PathBuf>,
    /// The roots that vouch for it, by `https_web`.
    pub ca_file: Option<PathBuf>,
}

impl FederationConfig {
    /// Where the bundle comes from; what is wrong where the table does not say it.
    pub(super) fn source(&self, name: &TrustDomain) -> Result<Source, &'static str> {
        let Self {
            url,
            profile,
            endpoint_spiffe_id,
            bundle_file,
            ca_file,
        } = self;
        match (url, profile, endpoint_spiffe_id, bundle_file, ca_file) {
            (None, None, None, Some(file), None) => Ok(Source::File(file.clone())),
            (None, _, _, _, _) => Err(
                "has a table without `url`, which is a bundle by hand: it takes `bundle-file` and nothing else",
            ),
            (Some(url), Some(Profile::HttpsSpiffe), Some(id), Some(file), None) => {
                if id.trust_domain() != name {
                    return Err(
                        "has an `endpoint-spiffe-id` outside that trust domain, whose bundle could not vouch for it",
                    );
                }
                Ok(Source::Spiffe {
                    url: url.clone(),
                    endpoint: id.clone(),
                    initial: file.clone(),
                })
            }
            (Some(_), Some(Profile::HttpsSpiffe), _, _, _) => Err(
                "has the profile \"https_spiffe\", which takes `endpoint-spiffe-id` and `bundle-file`, and no `ca-file`",
            ),
            (Some(url), Some(Profile::HttpsWeb), None, None, ca_file) => Ok(Source::Web {
                url: url.clone(),
                ca_file: ca_file.clone(),
            }),
            (Some(_), Some(Profile::HttpsWeb), _, _, _) => {
                Err("has the profile \"https_web\", which takes a `ca-file` at most beside `url`")
            }
            (Some(_), None, _, _, _) => {
                Err("has a `url` without a `profile`: \"https_spiffe\" or \"https_web\"")
            }
        }
    }
}
