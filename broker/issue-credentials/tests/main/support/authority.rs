//! A software authority: it stands in for the attestor, and can be made to fail or to lie.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use data_encoding::BASE64URL_NOPAD;
use holdfast_issue_credentials::{Audiences, Authority, AuthorityError, Bundle, Bundles};
use holdfast_protocol::id::{SpiffeId, TrustDomain};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer,
    DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};
use serde_json::json;
use tokio::sync::watch;
use tonic::async_trait;
use zeroize::Zeroizing;

/// How the authority behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Honest,
    Unreachable,
    Refusing,
    /// Never answers.
    Silent,
    /// Signs another name than it was asked for.
    OtherName,
    /// Signs another key than it was asked for, and for another audience.
    OtherKey,
    /// Signs a CA certificate, and a token whose header has more than it may.
    Malformed,
}

pub struct SoftwareAuthority {
    ca: CertifiedIssuer<'static, KeyPair>,
    jwt_key: EcdsaKeyPair,
    conduct: Mutex<Conduct>,
    ttl: Mutex<Duration>,
    federated: Mutex<BTreeMap<TrustDomain, Bundle>>,
    bundle: watch::Sender<Arc<Bundles>>,
    pub x509_signed: AtomicUsize,
    pub jwt_signed: AtomicUsize,
}

impl SoftwareAuthority {
    pub fn new(trust_domain: &str) -> Arc<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let uri = format!("spiffe://{trust_domain}").try_into().unwrap();
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Arc::new(Self {
            ca,
            jwt_key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            conduct: Mutex::new(Conduct::Honest),
            ttl: Mutex::new(Duration::from_secs(3600)),
            federated: Mutex::default(),
            bundle: watch::Sender::new(Arc::new(Bundles::unknown())),
            x509_signed: AtomicUsize::new(0),
            jwt_signed: AtomicUsize::new(0),
        });
        authority.publish(&[]);
        authority
    }

    /// Publishes the bundle, with further X.509 authorities.
    pub fn publish(&self, more: &[Vec<u8>]) {
        let (x, y) = self.jwt_key.public_key().as_ref()[1..].split_at(32);
        let jwks = json!({"keys": [{
            "kty": "EC", "use": "jwt-svid", "kid": "jwt-1", "crv": "P-256",
            "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y),
        }]});
        let mut authorities = vec![self.ca.der().to_vec()];
        authorities.extend_from_slice(more);
        let bundle = Bundle::read(&authorities, &jwks.to_string()).unwrap();
        let federated = self.federated.lock().unwrap().clone();
        self.bundle
            .send_replace(Arc::new(Bundles::new(bundle, federated)));
    }

    /// Publishes what `other` does as the bundle of a trust domain that is federated with.
    pub fn federate(&self, name: &str, other: &Self) {
        let bundle = other.own_bundle();
        self.federated
            .lock()
            .unwrap()
            .insert(name.parse().unwrap(), bundle);
        self.publish(&[]);
    }

    fn own_bundle(&self) -> Bundle {
        let (x, y) = self.jwt_key.public_key().as_ref()[1..].split_at(32);
        let jwks = json!({"keys": [{
            "kty": "EC", "use": "jwt-svid", "kid": "jwt-1", "crv": "P-256",
            "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y),
        }]});
        Bundle::read(&[self.ca.der().to_vec()], &jwks.to_string()).unwrap()
    }

    pub fn forget_bundle(&self) {
        self.bundle.send_replace(Arc::new(Bundles::unknown()));
    }

    pub fn ca_der(&self) -> Vec<u8> {
        self.ca.der().to_vec()
    }

    pub fn set_conduct(&self, conduct: Conduct) {
        *self.conduct.lock().unwrap() = conduct;
    }

    pub fn set_ttl(&self, ttl: Duration) {
        *self.ttl.lock().unwrap() = ttl;
    }

    async fn conduct(&self) -> Result<Conduct, AuthorityError> {
        let conduct = *self.conduct.lock().unwrap();
        match conduct {
            Conduct::Silent => std::future::pending().await,
            Conduct::Unreachable => Err(AuthorityError::Unreachable("no route".into())),
            Conduct::Refusing => Err(AuthorityError::Refused("not below your name".to_owned())),
            Conduct::Honest | Conduct::OtherName | Conduct::OtherKey | Conduct::Malformed => {
                Ok(conduct)
            }
        }
    }

    fn ends(&self) -> SystemTime {
        SystemTime::now() + *self.ttl.lock().unwrap()
    }

    /// A JWT-SVID, or what claims to be one.
    pub fn jwt(&self, header: serde_json::Value, claims: serde_json::Value) -> String {
        let part = |json: serde_json::Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = (self.jwt_key)
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

fn unix_time(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[async_trait]
impl Authority for SoftwareAuthority {
    async fn sign_x509(&self, id: &SpiffeId, csr: &[u8]) -> Result<Vec<Vec<u8>>, AuthorityError> {
        let conduct = self.conduct().await?;
        self.x509_signed.fetch_add(1, Ordering::SeqCst);
        let request = CertificateSigningRequestParams::from_der(&csr.into()).unwrap();
        let asked = vec![SanType::URI(id.to_string().try_into().unwrap())];
        assert_eq!(request.params.subject_alt_names, asked);

        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = if conduct == Conduct::OtherName {
            format!("{id}x")
        } else {
            id.to_string()
        };
        params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
        params.is_ca = if conduct == Conduct::Malformed {
            IsCa::Ca(BasicConstraints::Unconstrained)
        } else {
            IsCa::ExplicitNoCa
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.not_before = (SystemTime::now() - Duration::from_secs(60)).into();
        params.not_after = self.ends().into();
        params.use_authority_key_identifier_extension = true;
        let certificate = if conduct == Conduct::OtherKey {
            params.signed_by(&KeyPair::generate().unwrap(), &self.ca)
        } else {
            params.signed_by(&request.public_key, &self.ca)
        };
        Ok(vec![certificate.unwrap().der().to_vec()])
    }

    async fn sign_several_x509(
        &self,
        requests: &[(SpiffeId, Vec<u8>)],
    ) -> Result<Vec<Vec<Vec<u8>>>, AuthorityError> {
        let mut chains = Vec::new();
        for (id, csr) in requests {
            chains.push(self.sign_x509(id, csr).await?);
        }
        Ok(chains)
    }

    async fn sign_jwt(
        &self,
        id: &SpiffeId,
        audiences: &Audiences,
    ) -> Result<Zeroizing<String>, AuthorityError> {
        let conduct = self.conduct().await?;
        let number = self.jwt_signed.fetch_add(1, Ordering::SeqCst);
        let mut header = json!({"alg": "ES256", "kid": "jwt-1", "typ": "JWT"});
        if conduct == Conduct::Malformed {
            header["jku"] = json!("https://elsewhere");
        }
        let name = if conduct == Conduct::OtherName {
            format!("{id}x")
        } else {
            id.to_string()
        };
        let aud = if conduct == Conduct::OtherKey {
            json!(["somebody-else"])
        } else {
            json!(audiences.as_slice())
        };
        let claims = json!({
            "sub": name, "aud": aud, "jti": number.to_string(),
            "exp": unix_time(self.ends()), "iat": unix_time(SystemTime::now()),
        });
        Ok(Zeroizing::new(self.jwt(header, claims)))
    }

    fn bundles(&self) -> watch::Receiver<Arc<Bundles>> {
        self.bundle.subscribe()
    }
}
