//! A TPM in software for the log's tests: genuine attestation structures, signed by real keys, and a counter that survives
//! the process if it is given a file.
//!
//! It stands for the hardware only: everything above it is what runs in the broker.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, each of which uses a part of this"
)]

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest::{Digest, SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair,
};
use holdfast_proof::counter::{CounterAnchor, CounterEvidence};
use holdfast_proof::note::{EcdsaVerifier, Origin};
use holdfast_proof::tpm::{
    AsymmetricScheme, Buffer, EccCurve, EccPublicKey, EcdsaSignature, HashAlg, KdfScheme, KeyKind,
    NvAttributes, NvIndex, NvIndexType, NvPublic, ObjectAttributes, Public, PublicKey, PublicParts,
    Signature, StorageCipher, Writer,
};
use holdfast_protocol::audit::{AuditEvent, What};
use holdfast_protocol::clock::{Clock, Floor, Reading};
use holdfast_protocol::{Sha256Digest, Timestamp};
use holdfast_record_audit::{
    Answer, AuditConfig, AuditLog, AuditTask, CheckpointCounter, CheckpointSigner, Counting,
    DuePolicy, LogAnchor, Opened, TpmFailed,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The counter's value when the log begins: what swtpm gave to a first index was not 0 either.
pub const FIRST: u64 = 7;

pub struct SoftTpm {
    key: EcdsaKeyPair,
    ak: EcdsaKeyPair,
    state: Mutex<State>,
    file: Option<PathBuf>,
}

struct State {
    counter: u64,
    clock: u64,
    /// The commands still to be failed.
    faults: Vec<Fault>,
}

/// A command that fails, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Sign,
    Certify,
    Value,
    /// Fails, and has done nothing.
    IncrementUndone,
    /// Fails, and has incremented all the same.
    IncrementDone,
}

impl SoftTpm {
    /// A TPM that ends with the test.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(),
            ak: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
            state: Mutex::new(State {
                counter: FIRST,
                clock: 0,
                faults: Vec::new(),
            }),
            file: None,
        })
    }

    /// A TPM whose keys and counter are in `folder`, as those of hardware outlive a process.
    pub fn kept_in(folder: &Path) -> Arc<Self> {
        fs::create_dir_all(folder).unwrap();
        let file = folder.join("counter");
        let counter = fs::read_to_string(&file).map_or(FIRST, |text| text.parse().unwrap());
        Arc::new(Self {
            key: kept_key(&folder.join("key"), &ECDSA_P256_SHA256_ASN1_SIGNING),
            ak: kept_key(&folder.join("ak"), &ECDSA_P256_SHA256_FIXED_SIGNING),
            state: Mutex::new(State {
                counter,
                clock: counter * 1000,
                faults: Vec::new(),
            }),
            file: Some(file),
        })
    }

    /// Fails these commands, each once.
    pub fn fail(&self, faults: &[Fault]) {
        self.state.lock().unwrap().faults.extend(faults);
    }

    pub fn counter(&self) -> u64 {
        self.state.lock().unwrap().counter
    }

    /// What root can do: count on behind the log's back.
    pub fn burn(&self) {
        self.state.lock().unwrap().counter += 1;
    }

    pub fn anchor(&self) -> CounterAnchor {
        CounterAnchor::new(origin(), &self.ak_public(), &nv_public(), FIRST).unwrap()
    }

    pub fn log_anchor(&self) -> LogAnchor {
        LogAnchor {
            key: EcdsaVerifier::new(origin(), &self.public_key()).unwrap(),
            counter: Some(self.anchor()),
        }
    }

    fn ak_public(&self) -> Public {
        Public::from_parts(&PublicParts {
            name_alg: HashAlg::Sha256,
            attributes: ObjectAttributes::FIXED_TPM
                .with(ObjectAttributes::FIXED_PARENT)
                .with(ObjectAttributes::SENSITIVE_DATA_ORIGIN)
                .with(ObjectAttributes::USER_WITH_AUTH)
                .with(ObjectAttributes::RESTRICTED)
                .with(ObjectAttributes::SIGN),
            auth_policy: None,
            kind: KeyKind::Ecc {
                storage: StorageCipher::None,
                scheme: AsymmetricScheme::Ecdsa(HashAlg::Sha256),
                kdf: KdfScheme::None,
                key: point(&self.ak),
            },
        })
        .unwrap()
    }

    /// TPM2_NV_Certify, as TCG Part 2 §10.12 and Part 3 §31.16 have it.
    fn nv_certify(&self, body: Sha256Digest, state: &mut State) -> CounterEvidence {
        state.clock += 1;
        let contents: Buffer<8> = Buffer::new(&state.counter.to_be_bytes()).unwrap();
        let extra: Buffer<32> = Buffer::new(body.as_bytes()).unwrap();
        let attest = Writer::new()
            .u32(0xff54_4347)
            .u16(0x8014)
            .bytes(&self.ak_public().name().to_sized())
            .sized(&extra)
            .u64(state.clock)
            .u32(1)
            .u32(0)
            .u8(1)
            .u64(0x2020_0312)
            .bytes(&nv_public().name().to_sized())
            .u16(0)
            .sized(&contents)
            .finish();
        let signature = self.ak.sign(&SystemRandom::new(), &attest).unwrap();
        let (r, s) = signature.as_ref().split_at(32);
        let signature = Signature::Ecdsa(EcdsaSignature::new(HashAlg::Sha256, r, s).unwrap());
        CounterEvidence::new(&attest, &signature.encode()).unwrap()
    }
}

impl State {
    fn fails(&mut self, fault: Fault) -> bool {
        let at = self.faults.iter().position(|planned| *planned == fault);
        at.map(|at| self.faults.remove(at)).is_some()
    }
}

impl CheckpointSigner for SoftTpm {
    fn public_key(&self) -> PublicKey {
        PublicKey::Ecc(point(&self.key))
    }

    fn sign(&self, digest: Sha256Digest) -> Answer<'_, Vec<u8>> {
        Box::pin(async move {
            if self.state.lock().unwrap().fails(Fault::Sign) {
                return Err(failed());
            }
            let digest = Digest::import_less_safe(digest.as_bytes(), &SHA256).unwrap();
            Ok(self.key.sign_digest(&digest).unwrap().as_ref().to_vec())
        })
    }
}

impl CheckpointCounter for SoftTpm {
    fn value(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            if state.fails(Fault::Value) {
                return Err(failed());
            }
            Ok(state.counter)
        })
    }

    fn certify(&self, body: Sha256Digest) -> Answer<'_, CounterEvidence> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            if state.fails(Fault::Certify) {
                return Err(failed());
            }
            Ok(self.nv_certify(body, &mut state))
        })
    }

    fn increment(&self) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            if state.fails(Fault::IncrementUndone) {
                return Err(failed());
            }
            state.counter += 1;
            if let Some(file) = &self.file {
                replace(file, state.counter.to_string().as_bytes());
            }
            if state.fails(Fault::IncrementDone) {
                return Err(failed());
            }
            Ok(state.counter)
        })
    }
}

/// A log that runs.
pub struct Running {
    pub log: AuditLog,
    stop: CancellationToken,
    tasks: JoinSet<Result<(), holdfast_record_audit::AuditError>>,
}

impl Running {
    pub fn start(log: AuditLog, task: AuditTask) -> Self {
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(task.run(stop.clone()));
        Self { log, stop, tasks }
    }

    /// Stops in order.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap().unwrap();
    }

    /// Ends as a crash does: nothing is closed or finished.
    pub async fn crash(mut self) {
        self.tasks.shutdown().await;
    }

    /// Waits until the task gives up.
    pub async fn failure(&mut self) -> holdfast_record_audit::AuditError {
        self.tasks.join_next().await.unwrap().unwrap().unwrap_err()
    }
}

pub async fn open(folder: &Path, tpm: &Arc<SoftTpm>) -> Running {
    open_with(folder, tpm, DuePolicy::default()).await
}

pub async fn open_with(folder: &Path, tpm: &Arc<SoftTpm>, due: DuePolicy) -> Running {
    let Opened { log, task, .. } = try_open(folder, tpm, due).await.unwrap();
    Running::start(log, task)
}

pub async fn try_open(
    folder: &Path,
    tpm: &Arc<SoftTpm>,
    due: DuePolicy,
) -> Result<Opened, holdfast_record_audit::AuditError> {
    AuditLog::open(config(folder, tpm, due), Arc::<SoftTpm>::clone(tpm)).await
}

pub fn config(folder: &Path, tpm: &Arc<SoftTpm>, due: DuePolicy) -> AuditConfig {
    AuditConfig {
        folder: folder.to_owned(),
        origin: origin(),
        due,
        counting: Counting::By {
            counter: Arc::<SoftTpm>::clone(tpm),
            anchor: tpm.anchor(),
        },
        clock: clock(),
    }
}

/// The system's own.
pub fn clock() -> Clock {
    Clock::new(Floor::proven(Timestamp::from_millis(0)), || Reading {
        system: Timestamp::from_millis(0) + UNIX_EPOCH.elapsed().unwrap(),
        uptime: Duration::ZERO,
    })
}

pub fn origin() -> Origin {
    Origin::new("example.org/audit/test-host").unwrap()
}

/// An event that can be told from the others.
pub fn event(number: u64) -> AuditEvent {
    AuditEvent {
        uid: Uuid::from_u128(u128::from(number)),
        at: Timestamp::from_secs(1_790_000_000 + number),
        what: What::HostNotAttested {
            why: format!("reason {number}"),
        },
    }
}

/// Records `count` events, one after the other.
pub async fn record(log: &AuditLog, count: u64) {
    for number in 0..count {
        log.record(&event(number)).await.unwrap();
    }
}

/// The database of the log in `folder`, for a second connection.
pub fn database(folder: &Path) -> PathBuf {
    folder.join("audit.db")
}

fn nv_public() -> NvPublic {
    NvPublic {
        index: NvIndex::new(0x0180_0020).unwrap(),
        name_alg: HashAlg::Sha256,
        attributes: NvAttributes::of(NvIndexType::Counter)
            .with(NvAttributes::AUTH_READ)
            .with(NvAttributes::AUTH_WRITE)
            .with(NvAttributes::NO_DA)
            .with(NvAttributes::WRITTEN),
        auth_policy: None,
        data_size: 8,
    }
}

fn point(pair: &EcdsaKeyPair) -> EccPublicKey {
    EccPublicKey::from_sec1(EccCurve::P256, pair.public_key().as_ref()).unwrap()
}

fn kept_key(path: &Path, algorithm: &'static EcdsaSigningAlgorithm) -> EcdsaKeyPair {
    if !path.exists() {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        replace(path, pair.to_pkcs8v1().unwrap().as_ref());
    }
    EcdsaKeyPair::from_pkcs8(algorithm, &fs::read(path).unwrap()).unwrap()
}

/// Replaces a file so that a kill leaves the old or the new one.
fn replace(path: &Path, bytes: &[u8]) {
    let new = path.with_extension("new");
    let mut file = File::create(&new).unwrap();
    file.write_all(bytes).unwrap();
    file.sync_all().unwrap();
    fs::rename(&new, path).unwrap();
}

fn failed() -> TpmFailed {
    TpmFailed("TPM_RC_RETRY".into())
}

/// What someone with the database file and without the broker has.
pub async fn second_connection(folder: &Path) -> sqlx::SqliteConnection {
    use sqlx::Connection as _;
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database(folder));
    sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap()
}

pub async fn sql(connection: &mut sqlx::SqliteConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(connection).await.unwrap();
}
