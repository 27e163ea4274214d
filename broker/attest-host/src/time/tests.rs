#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use holdfast_protocol::clock::Floor;
use proptest::prelude::*;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::ServerName;

use super::*;
use crate::pin::{Period, Pin};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

fn date(params: &mut CertificateParams, begins: Timestamp, ends: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(begins.as_secs());
    params.not_after = epoch + Duration::from_secs(ends.as_secs());
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.subject_alt_names = vec![SanType::URI("spiffe://example.org".try_into().unwrap())];
        date(&mut params, NOW - DAY * 365, NOW + DAY * 3650);
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let issuer = Issuer::new(params, key);
        Self {
            issuer,
            certificate,
        }
    }

    fn signs(&self, name: &str, begins: Timestamp, ends: Timestamp) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        let name = format!("spiffe://example.org/{name}");
        params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
        date(&mut params, begins, ends);
        let key = KeyPair::generate().unwrap();
        params.signed_by(&key, &self.issuer).unwrap().der().clone()
    }

    fn pinned(&self, period: Period) -> PinnedAttestor {
        let pin = Pin::Authorities {
            trust_domain: None,
            certificates: vec![self.certificate.clone()],
        };
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        PinnedAttestor::new(pin, period, &provider)
    }
}

/// A machine whose clock says `system`, and which knows that it is at least an hour before [`NOW`].
fn clock(system: Timestamp) -> Clock {
    let floor = Floor::try_from(NOW - HOUR).unwrap();
    Clock::new(floor, move || reading(system))
}

fn reading(system: Timestamp) -> Reading {
    Reading {
        system,
        uptime: HOUR,
    }
}

/// What an attestor answers that shows `server` and signs a certificate at `signed`, on a machine in the seventies.
fn answer(
    known: &Authority,
    signer: &Authority,
    server: (Timestamp, Timestamp),
    signed: Timestamp,
    time: Option<Timestamp>,
) -> Result<Option<Stated>, TimeError> {
    let system = Timestamp::from_secs(77);
    let server = [known.signs("attestor", server.0, server.1)];
    let begins = signed - Duration::from_secs(60);
    let chain = [signer.signs("host/aaaaaaaaaaaaaaaaaaaaaaaaaa", begins, signed + HOUR)];
    let answer = Answer {
        time,
        svid: &Svid::parse(&chain[0]).unwrap(),
        chain: &chain,
        server: &server,
        asked: reading(system),
    };
    let clock = clock(system);
    judge(&answer, &known.pinned(Period::Since(clock.floor())), &clock)
}

const DAYLONG: (Timestamp, Timestamp) = (
    Timestamp::from_secs(1_800_000_000 - 3600),
    Timestamp::from_secs(1_800_000_000 + 82_800),
);

#[test]
fn a_time_counts_where_all_that_was_signed_agrees() {
    let authority = Authority::new();
    let stated = answer(&authority, &authority, DAYLONG, NOW, Some(NOW)).unwrap();
    assert_eq!(stated.unwrap().time, NOW);
}

#[test]
fn a_thief_of_the_attestors_own_key_states_nothing() {
    let (authority, own) = (Authority::new(), Authority::new());
    // The server's certificate is real and so is its key; what it signs is not the authority's.
    let refused = answer(&authority, &own, DAYLONG, NOW, Some(NOW));
    assert!(matches!(refused, Err(TimeError::Authority(_))));
    // An older certificate of this very host's says only that the authority was there then.
    let refused = answer(&authority, &authority, DAYLONG, NOW - HOUR / 2, Some(NOW));
    assert!(matches!(refused, Err(TimeError::Signed(_))));
    let ended = (NOW - DAY, NOW - HOUR / 2);
    let refused = answer(&authority, &authority, ended, NOW, Some(NOW));
    assert!(matches!(refused, Err(TimeError::OwnCertificate(_))));
}

#[test]
fn without_a_time_a_lost_clock_stays_lost() {
    let authority = Authority::new();
    let refused = answer(&authority, &authority, DAYLONG, NOW, None);
    assert!(matches!(refused, Err(TimeError::Unsaid)));
}

#[test]
fn a_certificate_that_ended_before_the_floor_is_refused_and_a_later_one_is_not_yet_believed() {
    let authority = Authority::new();
    let system = NOW + DAY * 3650;
    let shown = |period, ends| {
        let certificate = authority.signs("attestor", NOW - DAY, ends);
        let name = ServerName::try_from("attestor.example").unwrap();
        authority
            .pinned(period)
            .verify_server_cert(&certificate, &[], &name, &[], unix(system))
            .is_ok()
    };
    let since = Period::Since(clock(system).floor());
    assert!(shown(since, NOW + DAY));
    assert!(!shown(since, NOW - HOUR * 2));
    assert!(!shown(Period::Current, NOW + DAY));
    // Time excuses nothing else: neither another authority's nor another name.
    let other = Authority::new().signs("attestor", NOW - DAY, NOW + DAY);
    let named = authority.signs("host/x", NOW - DAY, NOW + DAY);
    let name = ServerName::try_from("attestor.example").unwrap();
    for certificate in [other, named] {
        let verified =
            authority
                .pinned(since)
                .verify_server_cert(&certificate, &[], &name, &[], unix(system));
        assert!(verified.is_err());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is stated: a time that is taken is not before the floor, within the attestor's certificate, and within
    /// what the authority signed at that time.
    #[test]
    fn no_other_time_is_taken(
        said in -200_000_i64..200_000,
        signed in -200_000_i64..200_000,
        begins in -200_000_i64..100_000,
        length in 1_u64..200_000,
    ) {
        let at = |offset: i64| {
            Timestamp::from_secs(NOW.as_secs().saturating_add_signed(offset))
        };
        let authority = Authority::new();
        let server = (at(begins), at(begins) + Duration::from_secs(length));
        let taken = answer(&authority, &authority, server, at(signed), Some(at(said)));
        if let Ok(stated) = taken {
            prop_assert_eq!(stated.map(|stated| stated.time), Some(at(said)));
            prop_assert!(at(said) >= NOW - HOUR);
            prop_assert!(server.0 <= at(said) && at(said) <= server.1);
            prop_assert!(said.abs_diff(signed) <= TOLERANCE.as_secs() + 60);
        }
    }
}
