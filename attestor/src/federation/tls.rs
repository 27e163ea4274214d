//! Who a bundle endpoint has to be (SPIFFE Federation §5.2): a SPIFFE ID that the bundle known until now vouches for, or a
//! name that a Web authority vouches for.
//!
//! The two never stand in for each other: the system's roots vouch for no SPIFFE ID, a bundle for no DNS name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use holdfast_proof::svid::{Svid, SvidError};
use holdfast_protocol::id::SpiffeId;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, OtherError,
    RootCertStore, SignatureScheme, WantsVerifier,
};

use super::document::Document;

/// TLS to an endpoint cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file with roots cannot be read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There are no roots to verify by.
    #[error("{0} has no root certificate that can be used")]
    NoRoots(String),
    /// TLS itself.
    #[error("tls could not be set up")]
    Tls(#[from] Error),
}

/// The server is not the endpoint that was named.
#[derive(Debug, thiserror::Error)]
enum NotTheEndpoint {
    #[error("the server's certificate is not an x.509-svid")]
    NotAnSvid(#[source] SvidError),
    #[error("the server is `{found}`, not `{wanted}`")]
    Name { found: SpiffeId, wanted: SpiffeId },
}

/// For `https_spiffe`: exactly this ID, by this bundle.
pub(super) fn spiffe(endpoint: &SpiffeId, known: &Document) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    let all = known.x509_authorities().iter().cloned();
    // One that the verifier cannot use vouches for nobody.
    roots.add_parsable_certificates(all.map(CertificateDer::from));
    if roots.is_empty() {
        return Err(TlsError::NoRoots("the known bundle".to_owned()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = Endpoint {
        id: endpoint.clone(),
        roots,
        provider: Arc::clone(&provider),
    };
    let builder = builder(provider)?
        // "Dangerous" for rustls because the verifier is ours: SPIFFE IDs are not what its own reads.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    Ok(finish(builder.with_no_client_auth()))
}

/// For `https_web`: the host's name, by the roots in a file, or the system's.
pub(super) fn web(ca_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            let unreadable = |source| TlsError::Unreadable {
                path: path.to_owned(),
                source,
            };
            let pem = std::fs::read(path).map_err(unreadable)?;
            roots.add_parsable_certificates(
                CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok),
            );
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
        }
    }
    if roots.is_empty() {
        let whose = ca_file.map_or("the system".to_owned(), |path| {
            format!("`{}`", path.display())
        });
        return Err(TlsError::NoRoots(whose));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = builder(provider)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(finish(config))
}

/// What both begin with.
fn builder(
    provider: Arc<CryptoProvider>,
) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, Error> {
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions)
}

fn finish(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would skip the certificate.
    config.resumption = Resumption::disabled();
    config
}

#[derive(Debug)]
struct Endpoint {
    id: SpiffeId,
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Endpoint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &self.roots,
            intermediates,
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        let refused = |error: NotTheEndpoint| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
        };
        let svid =
            Svid::parse(end_entity).map_err(|error| refused(NotTheEndpoint::NotAnSvid(error)))?;
        if svid.spiffe_id == self.id {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(refused(NotTheEndpoint::Name {
                found: svid.spiffe_id,
                wanted: self.id.clone(),
            }))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
