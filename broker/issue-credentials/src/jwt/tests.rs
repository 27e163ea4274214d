//! What a JWT-SVID is, and all that is none.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaKeyPair,
};
use serde_json::json;

use super::*;

const NOW: u64 = 1_800_000_000;

struct Keys {
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

fn keys() -> Keys {
    Keys {
        p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
        p384: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).unwrap(),
    }
}

fn ec_jwk(kid: &str, crv: &str, pair: &EcdsaKeyPair) -> Value {
    let point = &pair.public_key().as_ref()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    json!({"kty": "EC", "use": "jwt-svid", "kid": kid, "crv": crv,
        "x": BASE64URL_NOPAD.encode(x), "y": BASE64URL_NOPAD.encode(y)})
}

impl Keys {
    fn bundle(&self) -> Bundle {
        let rsa: PublicKeyComponents<Vec<u8>> = self.rsa.public_key().into();
        let rsa_jwk = |kid: &str, extra: Value| {
            let mut jwk = json!({"kty": "RSA", "use": "jwt-svid", "kid": kid,
                "n": BASE64URL_NOPAD.encode(&rsa.n), "e": BASE64URL_NOPAD.encode(&rsa.e)});
            if let Value::Object(extra) = extra {
                jwk.as_object_mut().unwrap().extend(extra);
            }
            jwk
        };
        let keys = json!({"keys": [
            ec_jwk("p256", "P-256", &self.p256),
            ec_jwk("p384", "P-384", &self.p384),
            rsa_jwk("rsa", json!({})),
            rsa_jwk("only-ps512", json!({"alg": "PS512"})),
        ]});
        Bundle::read(&[], &keys.to_string()).unwrap()
    }

    /// Signed as the header's `alg` says, by the P-256 key where it says something else.
    fn token(&self, header: &str, claims: &Value) -> String {
        let signed = format!(
            "{}.{}",
            BASE64URL_NOPAD.encode(header.as_bytes()),
            BASE64URL_NOPAD.encode(claims.to_string().as_bytes())
        );
        let rng = SystemRandom::new();
        let rsa = |scheme| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            (self
                .rsa
                .sign(scheme, &rng, signed.as_bytes(), &mut signature))
            .unwrap();
            signature
        };
        let signature = if header.contains("RS256") {
            rsa(&RSA_PKCS1_SHA256)
        } else if header.contains("PS512") {
            rsa(&RSA_PSS_SHA512)
        } else if header.contains("ES384") {
            self.p384
                .sign(&rng, signed.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec()
        } else {
            self.p256
                .sign(&rng, signed.as_bytes())
                .unwrap()
                .as_ref()
                .to_vec()
        };
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    fn judge(&self, token: &str) -> Result<Validated, JwtError> {
        let trust_domain = "example.org".parse().unwrap();
        let now = Timestamp::from_secs(NOW);
        validate(token, "us", &trust_domain, &self.bundle(), now)
    }
}

fn claims() -> Value {
    json!({"sub": "spiffe://example.org/a", "aud": ["others", "us"], "exp": NOW + 1, "iat": NOW})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

const HEADER: &str = r#"{"alg":"ES256","kid":"p256","typ":"JWT"}"#;

#[test]
fn valid_tokens_of_each_family_are_accepted_with_their_claims() {
    let keys = keys();
    for header in [
        HEADER,
        r#"{"alg":"ES256","kid":"p256"}"#,
        r#"{"alg":"ES256","kid":"p256","typ":"JOSE"}"#,
        r#"{"alg":"ES384","kid":"p384"}"#,
        r#"{"alg":"RS256","kid":"rsa"}"#,
        r#"{"alg":"PS512","kid":"rsa"}"#,
        r#"{"alg":"PS512","kid":"only-ps512"}"#,
    ] {
        let validated = keys.judge(&keys.token(header, &claims())).unwrap();
        assert_eq!(validated.spiffe_id.to_string(), "spiffe://example.org/a");
        assert_eq!(Value::Object(validated.claims), claims(), "{header}");
    }
    for good in [
        with("aud", json!("us")),
        with("exp", json!(NOW as f64 + 0.5)),
        with("nbf", json!(NOW + 60)),
        with("other", json!({"nested": [null, true, 1.5]})),
    ] {
        assert!(keys.judge(&keys.token(HEADER, &good)).is_ok(), "{good}");
    }
}

#[test]
fn headers_that_a_jwt_svid_must_not_have_are_refused() {
    let keys = keys();
    for header in [
        r#"{"alg":"none","kid":"p256"}"#,
        r#"{"alg":"HS256","kid":"p256"}"#,
        r#"{"alg":"EdDSA","kid":"p256"}"#,
        r#"{"alg":"es256","kid":"p256"}"#,
        r#"{"alg":"ES256","kid":"p256","typ":"at+jwt"}"#,
        r#"{"alg":"ES256","kid":"p256","typ":"jwt"}"#,
        r#"{"alg":"ES256","kid":"p256","jku":"https://evil"}"#,
        r#"{"alg":"ES256","kid":"p256","jwk":{}}"#,
        r#"{"alg":"ES256","kid":"p256","x5c":[]}"#,
        r#"{"alg":"ES256","kid":"p256","crit":["exp"]}"#,
        r#"{"alg":"ES256","kid":"p256","cty":"JWT"}"#,
        r#"{"alg":"ES256","kid":"p256","private":1}"#,
        r#"{"alg":"ES256","alg":"none","kid":"p256"}"#,
        r#"{"kid":"p256"}"#,
        r#"[]"#,
        "",
    ] {
        let judged = keys.judge(&keys.token(header, &claims()));
        assert_eq!(judged, Err(JwtError::Header), "{header}");
    }
    let no_kid = keys.token(r#"{"alg":"ES256"}"#, &claims());
    assert_eq!(keys.judge(&no_kid), Err(JwtError::KeyId));
}

#[test]
fn a_key_is_used_with_its_own_algorithm_only() {
    let keys = keys();
    for header in [
        r#"{"alg":"ES256","kid":"rsa"}"#,
        r#"{"alg":"ES256","kid":"p384"}"#,
        r#"{"alg":"RS256","kid":"p256"}"#,
        r#"{"alg":"ES384","kid":"p256"}"#,
        r#"{"alg":"RS256","kid":"only-ps512"}"#,
        r#"{"alg":"ES512","kid":"p256"}"#,
    ] {
        let judged = keys.judge(&keys.token(header, &claims()));
        assert_eq!(judged, Err(JwtError::Signature), "{header}");
    }
    let unknown = keys.token(r#"{"alg":"ES256","kid":"other"}"#, &claims());
    assert_eq!(keys.judge(&unknown), Err(JwtError::UnknownKey));
}

#[test]
fn claims_that_are_missing_or_malformed_are_refused() {
    let keys = keys();
    for bad in [
        without("sub"),
        without("aud"),
        without("exp"),
        with("sub", json!("spiffe://example.org")),
        with("sub", json!("https://example.org/a")),
        with("sub", json!(["spiffe://example.org/a"])),
        with("aud", json!([])),
        with("aud", json!(7)),
        with("exp", json!("2030")),
        with("exp", json!(-1)),
        with("exp", json!(1e300)),
        with("nbf", json!("soon")),
        json!([]),
    ] {
        let judged = keys.judge(&keys.token(HEADER, &bad));
        assert_eq!(judged, Err(JwtError::Claims), "{bad}");
    }
}

#[test]
fn time_audience_and_trust_domain_are_held_to() {
    let keys = keys();
    for (bad, why) in [
        (with("exp", json!(NOW)), JwtError::Expired),
        (with("exp", json!(0)), JwtError::Expired),
        (with("nbf", json!(NOW + 61)), JwtError::NotYet),
        (with("aud", json!(["others"])), JwtError::Audience),
        (with("aud", json!("US")), JwtError::Audience),
        (
            with("sub", json!("spiffe://example.com/a")),
            JwtError::TrustDomain,
        ),
    ] {
        assert_eq!(keys.judge(&keys.token(HEADER, &bad)), Err(why), "{bad}");
    }
}

#[test]
fn what_was_changed_after_signing_is_refused() {
    let keys = keys();
    let token = keys.token(HEADER, &claims());
    let parts: Vec<&str> = token.split('.').collect();
    let other = keys.token(HEADER, &with("sub", json!("spiffe://example.org/b")));
    let swapped = format!(
        "{}.{}.{}",
        parts[0],
        other.split('.').nth(1).unwrap(),
        parts[2]
    );
    assert_eq!(keys.judge(&swapped), Err(JwtError::Signature));
    for bad in [
        String::new(),
        parts[0].to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{token}.{}", parts[2]),
        format!("{token}=="),
        format!("{token}\n"),
        format!(" {token}"),
        json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string(),
    ] {
        let judged = keys.judge(&bad);
        assert_eq!(judged, Err(JwtError::Serialization), "{bad}");
    }
    // Without its signature, or with another's.
    assert_eq!(
        keys.judge(&format!("{}.{}.", parts[0], parts[1])),
        Err(JwtError::Signature)
    );
    let stranger = self::keys().token(HEADER, &claims());
    assert_eq!(keys.judge(&stranger), Err(JwtError::Signature));
    assert_eq!(
        keys.judge(&"a".repeat(MAX_TOKEN + 1)),
        Err(JwtError::TooLarge)
    );
}
