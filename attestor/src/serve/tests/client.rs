//! A client that does what a broker does, with a TPM in software.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_proof::evidence::{ChannelBinding, Nonce, enroll_binding};
use holdfast_protocol::id::HostId;
use holdfast_protocol::wire::attestor::attestation_client::AttestationClient;
use holdfast_protocol::wire::attestor::enrollment_client::EnrollmentClient;
use holdfast_protocol::wire::attestor::host_client::HostClient;
use holdfast_protocol::wire::attestor::mirror_client::MirrorClient;
use holdfast_protocol::wire::attestor::{
    AttestationChallenge, BeginAttestation, BeginEnrollment, Bundle, Challenge,
    Evidence as EvidenceMessage, FetchBundleRequest, FinishEnrollment,
};
use hyper_util::rt::TokioIo;
use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::io::{InspectReader, InspectWriter};
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::software_tpm::{SIGNING, Scene, SoftwareTpm, key_with_request, policy, signing_public};

/// A connection that counts its bytes, both ways, as they are on the wire.
type Counted = InspectWriter<InspectReader<TcpStream, Counting>, Counting>;
type Counting = Box<dyn FnMut(&[u8]) + Send>;

/// Where an attestor is reached, and whom its certificate is from.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) address: SocketAddr,
    pub(super) root: CertificateDer<'static>,
}

/// A client certificate with its key.
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// One connection to the attestor.
pub(super) struct Client {
    pub(super) binding: ChannelBinding,
    /// The bytes of this connection so far: TLS and all, without TCP's own.
    pub(super) on_the_wire: Arc<AtomicU64>,
    pub(super) enrollment: EnrollmentClient<Channel>,
    pub(super) attestation: AttestationClient<Channel>,
    pub(super) host: HostClient<Channel>,
    pub(super) mirror: MirrorClient<Channel>,
}

impl Identity {
    pub(super) fn new(leaf: Vec<u8>, key: &KeyPair) -> Self {
        Self {
            chain: vec![leaf.into()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }
}

impl Door {
    pub(super) async fn connect(&self, identity: Option<&Identity>) -> Client {
        self.try_connect(identity).await.unwrap()
    }

    /// Whether a connection with this certificate gets an answer. A client learns only from the first
    /// answer whether its certificate was taken.
    pub(super) async fn try_bundle(&self, identity: Option<&Identity>) -> Result<Bundle, String> {
        let mut client = self.try_connect(identity).await?;
        let answer = client.host.fetch_bundle(FetchBundleRequest {}).await;
        answer
            .map(tonic::Response::into_inner)
            .map_err(|status| status.to_string())
    }

    pub(super) async fn handshake(
        &self,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> std::io::Result<TlsStream<Counted>> {
        self.tls(None, versions, &Arc::default()).await
    }

    pub(super) async fn try_connect(&self, identity: Option<&Identity>) -> Result<Client, String> {
        let on_the_wire = Arc::default();
        let tls = self
            .tls(identity, &[&rustls::version::TLS13], &on_the_wire)
            .await
            .map_err(|error| error.to_string())?;
        let binding = tls
            .get_ref()
            .1
            .export_keying_material([0; 32], b"EXPORTER-Channel-Binding", None)
            .unwrap();
        let stream = Mutex::new(Some(TokioIo::new(tls)));
        let connector = tower::service_fn(move |_: tonic::codegen::http::Uri| {
            let stream = stream.lock().unwrap().take();
            std::future::ready(stream.ok_or_else(|| std::io::Error::other("connected before")))
        });
        let channel = Endpoint::from_static("http://attestor")
            .timeout(Duration::from_secs(20))
            .connect_with_connector(connector)
            .await
            .map_err(|error| error.to_string())?;
        Ok(Client {
            binding: ChannelBinding::new(binding),
            on_the_wire,
            enrollment: EnrollmentClient::new(channel.clone()),
            attestation: AttestationClient::new(channel.clone()),
            host: HostClient::new(channel.clone()),
            mirror: MirrorClient::new(channel),
        })
    }

    async fn tls(
        &self,
        identity: Option<&Identity>,
        versions: &[&'static rustls::SupportedProtocolVersion],
        on_the_wire: &Arc<AtomicU64>,
    ) -> std::io::Result<TlsStream<Counted>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(Identity { chain, key }) => builder
                .with_client_auth_cert(chain.clone(), key.clone_key())
                .unwrap(),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, counted(tcp, on_the_wire))
            .await
    }
}

impl Client {
    pub(super) async fn begin(
        &mut self,
        tpm: &SoftwareTpm,
        token: &str,
    ) -> Result<Challenge, Status> {
        let message = BeginEnrollment {
            ek_public: tpm.ek_public.as_bytes().to_vec(),
            ak_public: tpm.ak_public.as_bytes().to_vec(),
            token: token.to_owned(),
            host_name: "workstation".to_owned(),
            grade: "hardware".to_owned(),
            ..BeginEnrollment::default()
        };
        Ok(self.enrollment.begin(message).await?.into_inner())
    }

    /// The answer to a challenge, on this connection.
    pub(super) fn answer(
        &self,
        tpm: &SoftwareTpm,
        challenge: &Challenge,
        secret: Vec<u8>,
    ) -> FinishEnrollment {
        let extra = enroll_binding(&nonce(&challenge.nonce), &self.binding);
        let extra = extra.as_bytes();
        FinishEnrollment {
            enrollment_id: challenge.enrollment_id.clone(),
            secret,
            checkpoint_key: tpm.checkpoint_key.as_bytes().to_vec(),
            checkpoint_key_certified: Some(
                tpm.sign(&tpm.certify(&tpm.checkpoint_key, extra)).into(),
            ),
            audit_counter: tpm.audit_counter.encode(),
            audit_counter_certified: Some(tpm.sign(&tpm.certify_counter(extra)).into()),
        }
    }

    pub(super) async fn join(&mut self, tpm: &SoftwareTpm, token: &str) -> Result<HostId, Status> {
        let challenge = self.begin(tpm, token).await?;
        let secret = tpm
            .activate_credential(&challenge.credential_blob, &challenge.encrypted_secret)
            .unwrap();
        let answer = self.answer(tpm, &challenge, secret);
        let enrolled = self.enrollment.finish(answer).await?.into_inner();
        assert_eq!(enrolled.trust_domain, "example.org");
        Ok(enrolled.host_id.parse().unwrap())
    }

    pub(super) async fn challenge(&mut self, host: HostId) -> Result<AttestationChallenge, Status> {
        let message = BeginAttestation {
            host_id: host.to_string(),
        };
        Ok(self.attestation.begin(message).await?.into_inner())
    }

    /// Good evidence on this connection, and the node key that it is for.
    pub(super) async fn evidence(
        &mut self,
        tpm: &SoftwareTpm,
        host: HostId,
    ) -> Result<(KeyPair, EvidenceMessage), Status> {
        let challenge = self.challenge(host).await?;
        assert_eq!(challenge.required.len(), 1);
        assert_eq!(challenge.required[0].algorithm, 0x000b);
        assert_eq!(challenge.required[0].indices, [0, 2, 4, 7, 9, 11]);
        assert_eq!(challenge.in_active_banks, [0, 2, 4, 7, 9, 11]);
        let (key, csr) = key_with_request();
        let public = signing_public(SIGNING, rcgen::PublicKeyData::der_bytes(&key));
        let parts = Scene::parts_of(
            tpm,
            &policy(),
            &nonce(&challenge.nonce),
            &self.binding,
            &public,
            csr,
        );
        let evidence = Scene::signed_by(tpm, parts);
        let message = EvidenceMessage {
            host_id: host.to_string(),
            nonce: evidence.nonce,
            quote: Some(evidence.quote.into()),
            pcrs: evidence.pcrs.into_iter().map(Into::into).collect(),
            node_key: evidence.node_key,
            node_key_certified: Some(evidence.node_key_certified.into()),
            csr: evidence.csr,
            audit_counter_certified: Some(evidence.audit_counter_certified.into()),
            event_log: evidence.event_log,
            ima: evidence.ima.map(Into::into),
            systemd_log: evidence.systemd_log,
            banks: evidence.banks.map(Into::into),
        };
        Ok((key, message))
    }

    pub(super) async fn attest(
        &mut self,
        tpm: &SoftwareTpm,
        host: HostId,
    ) -> Result<(KeyPair, Vec<u8>), Status> {
        let (key, evidence) = self.evidence(tpm, host).await?;
        let svid = self.attestation.attest(evidence).await?.into_inner();
        assert_eq!(svid.x509_authorities.len(), 1);
        Ok((key, svid.chain[0].clone()))
    }
}

fn counted(tcp: TcpStream, bytes: &Arc<AtomicU64>) -> Counted {
    let counting = || {
        let bytes = Arc::clone(bytes);
        let count: Counting = Box::new(move |passed: &[u8]| {
            bytes.fetch_add(passed.len() as u64, Ordering::Relaxed);
        });
        count
    };
    InspectWriter::new(InspectReader::new(tcp, counting()), counting())
}

fn nonce(bytes: &[u8]) -> Nonce {
    Nonce::new(bytes.try_into().unwrap())
}
