//! Promise 2: what is kept of a credential opens before its deadline, in this boot, epoch and software state; afterwards
//! the TPM itself says no, to whoever holds the saved blob.
//!
//! No broker runs here: a thief of the file has none either. What is refused is tried twice: as the broker would unseal,
//! and by TPM2_Unseal itself, past every line of the product's, with each policy that a thief could think of.

use std::time::Duration;

use holdfast_hardware_tests::harness::Swtpm;
use holdfast_proof::tpm::HashAlg;
use holdfast_tpm::{CounterRole, LeaseKey, LeaseTerms, Priority, SealedLease, TpmError, TpmState};
use zeroize::Zeroizing;

use crate::support::{Chip, Conditions, Stolen, Straight, pcr, pcrs};

const KEY: [u8; 32] = [0x5a; 32];
const HOUR_MS: u64 = 3_600_000;
/// Long enough to make and open a lease on a loaded machine, short enough to wait for.
const SOON_MS: u64 = 4_000;

/// A lease as it lies on the disk, with the state that names the TPM's keys.
struct Saved {
    lease: String,
    state: String,
}

impl Saved {
    async fn make(tpm: &Swtpm, for_ms: u64) -> Self {
        let chip = Chip::open(tpm.ports().command(), None).await;
        let clock = chip.tpm.tpm().clock().await.unwrap();
        let terms = LeaseTerms {
            deadline_ms: clock.clock_ms + for_ms,
            pcrs: pcrs(&[0, 2, 4, 7, 9, 11]),
        };
        let key = LeaseKey::new(Zeroizing::new(KEY));
        let lease = chip.tpm.make_lease(terms, &key, Priority::Background);
        let lease = serde_json::to_string(&lease.await.unwrap()).unwrap();
        chip.nothing_is_left().await;
        let state = serde_json::to_string(&chip.close()).unwrap();
        let saved = Self { lease, state };
        // Whatever is refused below was good a moment ago.
        let chip = saved.chip(tpm).await;
        let opened = saved.unseal(&chip).await.unwrap();
        assert_eq!(*opened.as_bytes(), KEY);
        chip.close();
        // And the thief's commands are the right ones: with the whole policy satisfied they open it, and with less never.
        let (mut straight, stolen) = (Straight::open(tpm), saved.stolen());
        let policy = stolen.then.policy();
        let opened = straight.unseal_by_policy(&stolen, &policy);
        assert_eq!(opened, Ok(KEY.to_vec()));
        saved.shortcuts(&mut straight);
        for missing in 0..policy.len() {
            let rest = policy.iter().enumerate();
            let rest = rest.filter(|(at, _)| *at != missing).map(|(_, step)| step);
            let refused = straight.unseal_by_policy(&stolen, rest);
            assert_eq!(refused, Err(POLICY_FAIL), "without assertion {missing}");
        }
        saved
    }

    fn stolen(&self) -> Stolen {
        let state: TpmState = serde_json::from_str(&self.state).unwrap();
        let epoch = state.counter(CounterRole::Epoch).index;
        Stolen::read(&self.lease, epoch.handle())
    }

    /// No password opens it, and no session that asserted nothing.
    fn shortcuts(&self, straight: &mut Straight) {
        let stolen = self.stolen();
        for password in [&b""[..], &KEY] {
            let refused = straight.unseal_by_password(&stolen, password);
            assert_eq!(refused, Err(AUTH_UNAVAILABLE));
        }
        let refused = straight.unseal_by_policy(&stolen, &[]);
        assert_eq!(refused, Err(POLICY_FAIL));
    }

    async fn chip(&self, tpm: &Swtpm) -> Chip {
        let state: TpmState = serde_json::from_str(&self.state).unwrap();
        Chip::open(tpm.ports().command(), Some(state)).await
    }

    fn lease(&self) -> SealedLease {
        serde_json::from_str(&self.lease).unwrap()
    }

    async fn unseal(&self, chip: &Chip) -> Result<LeaseKey, TpmError> {
        chip.tpm
            .unseal_lease(&self.lease(), Priority::Interactive)
            .await
    }

    /// Refused by the TPM with this code, whoever asks and however; nothing of the attempts stays in it.
    async fn refused(&self, tpm: &Swtpm, chip: Chip, code: u32) {
        let error = self.unseal(&chip).await.unwrap_err();
        let found = error.response_code().expect("the TPM's own word").value();
        assert_eq!(found, code, "{found:#x}: {error}");
        let clock = chip.tpm.tpm().clock().await.unwrap();
        let epoch = chip.tpm.read_counter(CounterRole::Epoch).await.unwrap();
        chip.nothing_is_left().await;
        chip.close();

        let (mut straight, stolen) = (Straight::open(tpm), self.stolen());
        self.shortcuts(&mut straight);
        let refused = straight.unseal_by_policy(&stolen, &stolen.then.policy());
        assert_eq!(refused, Err(code));
        // All that is true now can be asserted; it is not what the lease was sealed to.
        let now = Conditions {
            deadline_ms: u64::MAX,
            counts: (clock.reset_count, clock.restart_count),
            epoch,
            pcrs: stolen.then.pcrs.clone(),
            pcr_digest: Vec::new(),
        };
        let refused = straight.unseal_by_policy(&stolen, &now.policy());
        assert_eq!(refused, Err(POLICY_FAIL));
        drop(straight);
        self.chip(tpm).await.nothing_is_left().await;
    }
}

/// TPM_RC_POLICY: a comparison with the clock, the reset counters or the epoch failed.
const POLICY: u32 = 0x126;
/// TPM_RC_VALUE for the first parameter of TPM2_PolicyPCR: the PCRs have another digest.
const PCR_VALUE: u32 = 0x1c4;
/// TPM_RC_POLICY_FAIL for the first session of TPM2_Unseal: the assertions are not those that the lease was sealed to.
const POLICY_FAIL: u32 = 0x99d;
/// TPM_RC_AUTH_UNAVAILABLE: the object has `userWithAuth` clear, so that no password is of any use.
const AUTH_UNAVAILABLE: u32 = 0x12f;

#[tokio::test]
async fn after_its_deadline_the_tpm_refuses_a_lease() {
    let tpm = Swtpm::bare();
    let saved = Saved::make(&tpm, SOON_MS).await;
    let chip = saved.chip(&tpm).await;
    while !saved
        .lease()
        .is_over(&chip.tpm.tpm().clock().await.unwrap())
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    saved.refused(&tpm, chip, POLICY).await;
}

#[tokio::test]
async fn after_a_restart_the_tpm_refuses_a_lease() {
    let mut tpm = Swtpm::bare();
    let saved = Saved::make(&tpm, HOUR_MS).await;
    tpm.restart();
    let chip = saved.chip(&tpm).await;
    saved.refused(&tpm, chip, POLICY).await;
}

#[tokio::test]
async fn after_a_suspend_the_tpm_refuses_a_lease() {
    let mut tpm = Swtpm::bare();
    let saved = Saved::make(&tpm, HOUR_MS).await;
    tpm.suspend();
    let chip = saved.chip(&tpm).await;
    saved.refused(&tpm, chip, POLICY).await;
}

#[tokio::test]
async fn after_a_pcr_extend_the_tpm_refuses_a_lease() {
    let tpm = Swtpm::bare();
    let saved = Saved::make(&tpm, HOUR_MS).await;
    let chip = saved.chip(&tpm).await;
    let measured = HashAlg::Sha256.digest(b"another kernel");
    let handle = chip.tpm.tpm();
    handle.extend_pcr(pcr(11), [measured]).await.unwrap();
    saved.refused(&tpm, chip, PCR_VALUE).await;
}

#[tokio::test]
async fn after_one_epoch_increment_the_tpm_refuses_a_lease() {
    let tpm = Swtpm::bare();
    let saved = Saved::make(&tpm, HOUR_MS).await;
    let chip = saved.chip(&tpm).await;
    let epoch = chip.tpm.increment(CounterRole::Epoch).await.unwrap();
    assert_eq!(epoch, saved.lease().epoch() + 1);
    saved.refused(&tpm, chip, POLICY).await;
}

#[tokio::test]
async fn another_tpm_opens_nothing() {
    let tpm = Swtpm::bare();
    let saved = Saved::make(&tpm, HOUR_MS).await;
    let other = Swtpm::bare();
    let chip = Chip::open(other.ports().command(), None).await;
    let error = saved.unseal(&chip).await.unwrap_err();
    // TPM_RC_INTEGRITY for the first parameter of TPM2_Load: it was wrapped by another storage root key.
    assert_eq!(error.response_code().unwrap().value(), 0x1df, "{error}");
    chip.nothing_is_left().await;
}
