//! A lease in the hands of somebody who copied it, and asks the TPM itself.

use std::fs;

use holdfast_hardware_tests::harness::eventually;
use holdfast_hardware_tests::world::World;
use holdfast_tpm::{LeaseKey, LeaseTerms, Priority, SealedLease, TpmState};
use zeroize::Zeroizing;

use super::{PATIENCE, status};
use crate::support::{Chip, pcrs};

/// A lease of this host's, made past the broker; the thief of one would have no more.
pub struct Leased {
    lease: SealedLease,
}

impl Leased {
    pub async fn make(world: &mut World) -> Self {
        world.broker.stop();
        let chip = chip(world).await;
        let clock = chip.tpm.tpm().clock().await.unwrap();
        let terms = LeaseTerms {
            deadline_ms: clock.clock_ms + 3_600_000,
            pcrs: pcrs(&[7]),
        };
        let key = LeaseKey::new(Zeroizing::new([7; 32]));
        let lease = chip.tpm.make_lease(terms, &key, Priority::Background);
        let lease = lease.await.unwrap();
        // What is refused below was good a moment ago.
        let opened = chip.tpm.unseal_lease(&lease, Priority::Background);
        opened.await.unwrap();
        chip.close();
        world.broker.resume(&world.scratch);
        eventually(PATIENCE, "the host is attested", async || {
            status(world).0 == 0
        })
        .await;
        Self { lease }
    }

    /// Straight to the TPM, with no broker that could refuse.
    pub async fn refused(self, world: &World, code: u32) {
        let chip = chip(world).await;
        let opened = chip.tpm.unseal_lease(&self.lease, Priority::Background);
        let error = opened.await.unwrap_err();
        let found = error.response_code().expect("the TPM's own word").value();
        assert_eq!(found, code, "{found:#x}: {error}");
        chip.nothing_is_left().await;
        chip.close();
    }
}

/// The broker's own TPM with its own keys, while the broker is away.
async fn chip(world: &World) -> Chip {
    let kept = fs::read(world.broker.state().join("tpm.json")).unwrap();
    let kept: TpmState = serde_json::from_slice(&kept).unwrap();
    Chip::open(world.tpm.ports().command(), Some(kept)).await
}
