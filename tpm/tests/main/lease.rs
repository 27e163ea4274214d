//! Leases: each condition is seen to allow, then to refuse, by the TPM's own code.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use holdfast_tpm::{
    CounterRole, LeaseKey, LeaseTerms, Priority, Provisioned, SealedLease, Tpm, TpmConfig, TpmError,
};
use zeroize::Zeroizing;

use crate::swtpm::{Host, Swtpm, measurement, pcrs};
use crate::wire::{Passed, Wire, inject};

const KEY: [u8; 32] = [0x5a; 32];
const HOUR_MS: u64 = 3_600_000;
/// Long enough to make and open a lease on a loaded machine, short enough to wait for.
const SOON_MS: u64 = 3_000;

async fn lease(provisioned: &Provisioned, for_ms: u64) -> SealedLease {
    let clock = provisioned.tpm().clock().await.unwrap();
    let terms = LeaseTerms {
        deadline_ms: clock.clock_ms + for_ms,
        pcrs: pcrs(&[0, 2, 4, 7, 9, 11]),
    };
    provisioned
        .make_lease(
            terms,
            &LeaseKey::new(Zeroizing::new(KEY)),
            Priority::Background,
        )
        .await
        .unwrap()
}

async fn opens(provisioned: &Provisioned, lease: &SealedLease) {
    let key = provisioned
        .unseal_lease(lease, Priority::Interactive)
        .await
        .unwrap();
    assert_eq!(*key.as_bytes(), KEY);
}

/// Waits by the TPM's own clock.
async fn is_over(host: &Host, lease: &SealedLease) {
    while !lease.is_over(&host.tpm().clock().await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The TPM's response code.
async fn refused(provisioned: &Provisioned, lease: &SealedLease) -> u32 {
    let error = provisioned
        .unseal_lease(lease, Priority::Interactive)
        .await
        .unwrap_err();
    let TpmError::PolicyRefused { rc, .. } = error else {
        panic!("{error}");
    };
    rc.value()
}

#[tokio::test]
async fn a_lease_ends_at_its_deadline() {
    let host = Host::new().await;
    let lease = lease(&host.provisioned, SOON_MS).await;
    opens(&host.provisioned, &lease).await;
    is_over(&host, &lease).await;
    assert_eq!(refused(&host.provisioned, &lease).await, 0x126);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_lease_ends_with_the_boot_and_a_new_one_opens() {
    let host = Host::new().await;
    let old = lease(&host.provisioned, HOUR_MS).await;
    let stored = serde_json::to_string(&old).unwrap();
    let old: SealedLease = serde_json::from_str(&stored).unwrap();
    opens(&host.provisioned, &old).await;
    let host = host.reboot().await;
    assert_eq!(refused(&host.provisioned, &old).await, 0x126);
    let new = lease(&host.provisioned, HOUR_MS).await;
    opens(&host.provisioned, &new).await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn a_lease_ends_when_the_software_changes() {
    let host = Host::new().await;
    let lease = lease(&host.provisioned, HOUR_MS).await;
    let other = host
        .tpm()
        .extend_pcr(16.try_into().unwrap(), [measurement()]);
    other.await.unwrap();
    opens(&host.provisioned, &lease).await;
    host.tpm()
        .extend_pcr(11.try_into().unwrap(), [measurement()])
        .await
        .unwrap();
    // TPM_RC_VALUE for parameter 1 of TPM2_PolicyPCR.
    assert_eq!(refused(&host.provisioned, &lease).await, 0x1c4);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn one_increment_revokes_every_lease() {
    let host = Host::new().await;
    let first = lease(&host.provisioned, HOUR_MS).await;
    let second = lease(&host.provisioned, HOUR_MS).await;
    opens(&host.provisioned, &first).await;
    opens(&host.provisioned, &second).await;
    let epoch = host
        .provisioned
        .increment(CounterRole::Epoch)
        .await
        .unwrap();
    assert_eq!(epoch, first.epoch() + 1);
    assert_eq!(refused(&host.provisioned, &first).await, 0x126);
    assert_eq!(refused(&host.provisioned, &second).await, 0x126);
    let third = lease(&host.provisioned, HOUR_MS).await;
    opens(&host.provisioned, &third).await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn conditions_that_were_edited_do_not_open_it() {
    let host = Host::new().await;
    let lease = lease(&host.provisioned, SOON_MS).await;
    is_over(&host, &lease).await;
    assert_eq!(refused(&host.provisioned, &lease).await, 0x126);
    let mut edited = serde_json::to_value(&lease).unwrap();
    edited["conditions"]["deadline_ms"] = u64::MAX.into();
    let edited: SealedLease = serde_json::from_value(edited).unwrap();
    assert_eq!(edited.deadline_ms(), u64::MAX);
    // The comparisons hold, but their digest is not the object's policy.
    assert_eq!(refused(&host.provisioned, &edited).await, 0x99d);
    host.nothing_is_left().await;
}

/// TPM2_PCR_Extend of PCR 8, which no lease here is bound to, as another program sends it.
fn extend_pcr_8(tpm: &mut UnixStream) {
    let mut command = vec![0x80, 0x02, 0, 0, 0, 65, 0, 0, 0x01, 0x82, 0, 0, 0, 8];
    // An empty password session.
    command.extend_from_slice(&[0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0]);
    command.extend_from_slice(&[0, 0, 0, 1, 0, 0x0b]);
    command.extend_from_slice(&[0x88; 32]);
    assert_eq!(inject(tpm, &command), 0);
}

/// A host behind a wire on which somebody extends PCR 8 after each of the first `times` PolicyPCR.
async fn busy_host(times: usize) -> (Host, Wire) {
    const POLICY_PCR: u32 = 0x17f;
    let swtpm = Swtpm::start();
    let mut left = times;
    let tamper = move |passed: &mut Passed, tpm: &mut UnixStream| {
        if passed.code() == POLICY_PCR && left > 0 {
            left -= 1;
            extend_pcr_8(tpm);
        }
    };
    let wire = Wire::tamper(&swtpm, Box::new(tamper));
    let config = TpmConfig {
        transport: wire.transport(),
        ..swtpm.config()
    };
    let (tpm, owner) = Tpm::open(config).await.unwrap();
    let provisioned = tpm.provision(None).await.unwrap();
    let host = Host {
        swtpm,
        provisioned,
        owner,
    };
    (host, wire)
}

#[tokio::test]
async fn pcrs_that_change_meanwhile_do_not_cost_a_lease() {
    let (host, _wire) = busy_host(2).await;
    let lease = lease(&host.provisioned, HOUR_MS).await;
    opens(&host.provisioned, &lease).await;
    host.nothing_is_left().await;
}

#[tokio::test]
async fn pcrs_that_never_hold_still_end_the_attempts() {
    let (host, _wire) = busy_host(usize::MAX).await;
    let lease = lease(&host.provisioned, HOUR_MS).await;
    assert_eq!(refused(&host.provisioned, &lease).await, 0x128);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn nonsense_is_refused_before_it_is_sealed() {
    let host = Host::new().await;
    let key = LeaseKey::new(Zeroizing::new(KEY));
    for terms in [
        LeaseTerms {
            deadline_ms: 0,
            pcrs: pcrs(&[7]),
        },
        LeaseTerms {
            deadline_ms: u64::MAX,
            pcrs: pcrs(&[10]),
        },
    ] {
        let refused = host
            .provisioned
            .make_lease(terms, &key, Priority::Background)
            .await;
        assert!(matches!(refused, Err(TpmError::Caller(_))));
    }
    host.nothing_is_left().await;
}
