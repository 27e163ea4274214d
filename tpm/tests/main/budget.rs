//! The budgets of TPM commands, counted on the wire between the software stack and the TPM.

use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use holdfast_proof::credential::make_credential;
use holdfast_proof::hash::sha256;
use holdfast_tpm::{
    ApproverSlot, CounterRole, EndorsementKey, LeaseKey, LeaseTerms, Pin, Priority, RecoveryCode,
    SwtpmAddress, Tpm, TpmConfig, Transport,
};
use zeroize::Zeroizing;

use crate::swtpm::{Swtpm, pcrs};

/// The command codes that went over the wire since it was last asked.
#[derive(Clone, Default)]
struct Counter(Arc<Mutex<Vec<u32>>>);

impl Counter {
    fn within(&self, operation: &str, budget: usize) {
        let codes = std::mem::take(&mut *self.0.lock().unwrap());
        println!("{operation}: {} of {budget}: {codes:x?}", codes.len());
        assert!(codes.len() <= budget, "{operation}: {codes:x?}");
        assert!(!codes.is_empty(), "{operation} was counted");
    }
}

/// Listens beside the TPM's socket, and passes every command on.
fn listen(swtpm: &Swtpm, counter: &Counter) -> TpmConfig {
    let path = swtpm.folder().join("counted");
    symlink(swtpm.folder().join("tpm.ctrl"), swtpm.folder().join("counted.ctrl")).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    let (tpm, counter) = (swtpm.socket(), counter.clone());
    std::thread::spawn(move || {
        // One connection at a time, as the TPM takes them.
        for client in listener.incoming() {
            let (mut client, mut tpm) = (client.unwrap(), UnixStream::connect(&tpm).unwrap());
            while let Some(command) = message(&mut client) {
                let code = u32::from_be_bytes(command[6..10].try_into().unwrap());
                counter.0.lock().unwrap().push(code);
                tpm.write_all(&command).unwrap();
                client.write_all(&message(&mut tpm).unwrap()).unwrap();
            }
        }
    });
    TpmConfig {
        transport: Transport::Swtpm(SwtpmAddress::Unix(path)),
        endorsement_key: EndorsementKey::Rsa2048,
        ..swtpm.config()
    }
}

/// A command or response: its size is in bytes 2 to 5.
fn message(stream: &mut UnixStream) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 10];
    stream.read_exact(&mut bytes).ok()?;
    let size = u32::from_be_bytes(bytes[2..6].try_into().unwrap());
    bytes.resize(size.try_into().unwrap(), 0);
    stream.read_exact(&mut bytes[10..]).ok()?;
    Some(bytes)
}

#[tokio::test]
async fn every_operation_keeps_its_budget() {
    let swtpm = Swtpm::start();
    let counter = Counter::default();
    let (tpm, _owner) = Tpm::open(listen(&swtpm, &counter)).await.unwrap();

    // Enrollment, all of it: keys, counters, challenge, certified keys and counters, evidence.
    let host = tpm.clone().provision(None).await.unwrap();
    let ek = host.ek().await.unwrap();
    let ak = host.state().attestation_key.name();
    let challenge = make_credential(&ek.public, &ak, &[1; 32]).unwrap();
    host.activate_credential(challenge.credential_blob, challenge.encrypted_secret)
        .await
        .unwrap();
    let digest = sha256(b"x");
    host.certify_checkpoint_key(digest).await.unwrap();
    for role in [CounterRole::Epoch, CounterRole::Audit] {
        host.certify_counter(role, digest).await.unwrap();
    }
    // The certificate that a real TPM has and this one has not: NV_ReadPublic twice, NV_Read 3 times.
    counter.within("enroll, without reading a certificate", 40 - 5);

    let node_key = host.create_node_key().await.unwrap();
    node_key.sign(digest).await.unwrap();
    let all: Vec<u8> = (0..24).collect();
    host.evidence(&node_key, pcrs(&all), digest).await.unwrap();
    drop(node_key);
    // Waits until the key is flushed: jobs run one after the other.
    tpm.clock().await.unwrap();
    counter.within("attest and one clock", 16);

    let clock = tpm.clock().await.unwrap();
    let terms = LeaseTerms {
        deadline_ms: clock.clock_ms + 60_000,
        pcrs: pcrs(&[0, 2, 4, 7, 9, 11]),
    };
    let key = LeaseKey::new(Zeroizing::new([7; 32]));
    counter.within("a clock", 1);
    let lease = host
        .make_lease(terms, &key, Priority::Background)
        .await
        .unwrap();
    counter.within("make a lease", 7);
    host.unseal_lease(&lease, Priority::Background)
        .await
        .unwrap();
    counter.within("unseal a lease", 10);

    host.certify_counter(CounterRole::Audit, digest)
        .await
        .unwrap();
    host.increment(CounterRole::Audit).await.unwrap();
    host.sign_checkpoint(digest).await.unwrap();
    counter.within("a checkpoint with counter", 8);

    let pin = Pin::new(Zeroizing::new("0815".to_owned())).unwrap();
    let recovery = RecoveryCode::generate().unwrap();
    let slot = ApproverSlot::new(63).unwrap();
    let approver = host
        .enroll_approver(slot, pin.clone(), recovery)
        .await
        .unwrap();
    counter.within("enroll an approver", 24);
    host.approve(&approver, pin, digest).await.unwrap();
    counter.within("approve", 8);

    let state = host.state().clone();
    let host = tpm.provision(Some(state)).await.unwrap();
    host.sign_checkpoint(digest).await.unwrap();
    counter.within("provision again with the state, and a checkpoint", 3);
}
