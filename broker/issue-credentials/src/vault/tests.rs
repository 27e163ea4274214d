//! Vaults as their callers meet them, over a TPM that counts what it is asked and refuses when it is told to.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::time::Duration;

use data_encoding::BASE64;
use holdfast_protocol::Timestamp;
use holdfast_protocol::clock::{Floor, Reading};
use holdfast_protocol::record::{NotRecorded, Recording};
use holdfast_protocol::vault::MAX_VALUE;

use super::lease::state::OPEN_FOR;
use super::*;

const HUMAN: HumanUid = HumanUid(1000);

/// What a TPM does to keys, without hiding them: what is refused here is refused there for a reason.
#[derive(Default)]
struct Chip {
    mood: Mutex<Mood>,
    asked: Mutex<Vec<&'static str>>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Mood {
    #[default]
    Willing,
    /// Restarted: leases that were made before are over.
    Restarted,
    Another,
    Broken,
}

impl Chip {
    fn set(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    async fn note(&self, what: &'static str) -> Result<Mood, SealError> {
        self.asked.lock().unwrap().push(what);
        // A TPM takes its time, in which others come and ask.
        tokio::task::yield_now().await;
        match *self.mood.lock().unwrap() {
            Mood::Broken => Err(SealError::Failed("the bus is stuck".into())),
            mood @ (Mood::Willing | Mood::Restarted | Mood::Another) => Ok(mood),
        }
    }
}

fn unmade(bytes: &[u8]) -> Key {
    Key::new(Zeroizing::new(bytes.try_into().unwrap()))
}

#[async_trait]
impl Sealer for Chip {
    async fn seal_root(&self, root: &Key) -> Result<(SealedRoot, Secret), SealError> {
        self.note("seal root").await?;
        Ok((
            SealedRoot::new(root.as_bytes().to_vec()).unwrap(),
            secret("CODE"),
        ))
    }

    async fn open_root(&self, sealed: &SealedRoot) -> Result<Key, SealError> {
        if self.note("open root").await? == Mood::Another {
            return Err(SealError::Refused("not mine".into()));
        }
        Ok(unmade(sealed.as_bytes()))
    }

    async fn approve(&self, sealed: &SealedRoot, code: &Secret) -> Result<SealedRoot, SealError> {
        self.note("approve").await?;
        if *code.expose() != "CODE" {
            return Err(SealError::WrongCode);
        }
        // It is this chip's again.
        self.set(Mood::Willing);
        Ok(sealed.clone())
    }

    async fn make_lease(
        &self,
        key: &Key,
        _: Duration,
        _: Urgency,
    ) -> Result<SealedLease, SealError> {
        self.note("make lease").await?;
        // A lease of the new boot.
        self.set(Mood::Willing);
        Ok(SealedLease(key.as_bytes().to_vec()))
    }

    async fn open_lease(&self, lease: &SealedLease, _: Urgency) -> Result<Key, SealError> {
        match self.note("open lease").await? {
            Mood::Restarted => Err(SealError::Refused("another boot".into())),
            Mood::Willing | Mood::Another | Mood::Broken => Ok(unmade(&lease.0)),
        }
    }
}

/// A disk that can be full.
#[derive(Default)]
struct Disk {
    files: Mutex<BTreeMap<u32, Vec<u8>>>,
    full: Mutex<bool>,
}

impl Keep for Disk {
    fn load(&self, human: HumanUid) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.files.lock().unwrap().get(&human.0).cloned())
    }

    fn replace(&self, human: HumanUid, bytes: &[u8]) -> std::io::Result<()> {
        if *self.full.lock().unwrap() {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.files.lock().unwrap().insert(human.0, bytes.to_vec());
        Ok(())
    }
}

/// A log that can break.
#[derive(Default)]
struct Log {
    records: Mutex<Vec<What>>,
    broken: Mutex<bool>,
}

impl Record for Log {
    fn record(&self, what: What) -> Recording<'_> {
        Box::pin(async move {
            if *self.broken.lock().unwrap() {
                return Err(NotRecorded("full".to_owned()));
            }
            self.records.lock().unwrap().push(what);
            Ok(())
        })
    }
}

#[derive(Default)]
struct Ground {
    chip: Arc<Chip>,
    disk: Arc<Disk>,
    log: Arc<Log>,
}

/// The system's own.
fn clock() -> Clock {
    Clock::new(Floor::proven(Timestamp::from_millis(0)), || Reading {
        system: Timestamp::from_millis(0) + std::time::UNIX_EPOCH.elapsed().unwrap(),
        uptime: Duration::ZERO,
    })
}

impl Ground {
    /// The broker starts (again).
    fn vaults(&self) -> Vaults {
        let (disk, chip, log) = (self.disk.clone(), self.chip.clone(), self.log.clone());
        Vaults::new(disk, chip, log, clock())
    }

    /// With a headless vault that keeps `forge`.
    async fn kept(&self) -> Vaults {
        let vaults = self.vaults();
        vaults.make(HUMAN, NewVault::Headless).await.unwrap();
        put(&vaults, "forge", "s3cret").await.unwrap();
        vaults
    }
}

async fn put(vaults: &Vaults, name: &str, value: &str) -> Result<(), VaultError> {
    let name = name.parse().unwrap();
    vaults
        .keep(HUMAN, name, purpose("org"), &secret(value))
        .await
}

fn purpose(path: &str) -> SecretUse {
    SecretUse::Git {
        remote: format!("https://git.example/{path}").parse().unwrap(),
        username: "x".parse().unwrap(),
    }
}

fn secret(text: &str) -> Secret {
    Secret::new(Zeroizing::new(text.to_owned()))
}

fn share(byte: u8) -> Secret {
    secret(&BASE64.encode(&[byte; 32]))
}

fn session(number: u8) -> SessionId {
    SessionId::from_random([number; 16])
}

fn forge() -> SecretName {
    "forge".parse().unwrap()
}

async fn reveal(vaults: &Vaults) -> Result<String, NotRevealed> {
    let revealed = vaults.reveal(session(1), &forge()).await;
    revealed.map(|value| value.to_string())
}

async fn grant(vaults: &Vaults) -> Result<Vec<Granted>, VaultError> {
    vaults.grant(session(1), HUMAN, &[forge()]).await
}

/// A minute passes for the lease's key.
fn a_minute_passes(vaults: &Vaults) {
    let lessor = &vaults.0.lessor;
    lessor.with(|leases, now| leases.key(now + OPEN_FOR));
}

#[tokio::test]
async fn a_session_has_the_use_of_a_secret_and_the_hot_path_asks_no_tpm() {
    let ground = Ground::default();
    let vaults = ground.kept().await;
    ground.chip.asked();
    let granted = grant(&vaults).await.unwrap();
    assert_eq!(ground.chip.asked(), ["make lease"]);
    assert_eq!(granted[0].purpose, purpose("org"));
    assert!(!granted[0].placeholder.as_str().contains("s3cret"));
    for _ in 0..100 {
        assert_eq!(reveal(&vaults).await.unwrap(), "s3cret");
    }
    assert!(ground.chip.asked().is_empty());
    a_minute_passes(&vaults);
    assert_eq!(reveal(&vaults).await.unwrap(), "s3cret");
    assert_eq!(ground.chip.asked(), ["open lease"]);
    let other = vaults.reveal(session(2), &forge()).await;
    assert!(matches!(other, Err(NotRevealed::NotGranted(_))));
    vaults.end(session(1));
    assert!(matches!(
        reveal(&vaults).await,
        Err(NotRevealed::NotGranted(_))
    ));
}

#[tokio::test]
async fn many_at_once_ask_the_tpm_once() {
    let ground = Ground::default();
    let vaults = ground.kept().await;
    grant(&vaults).await.unwrap();
    a_minute_passes(&vaults);
    ground.chip.asked();
    let all = (0..50).map(|_| reveal(&vaults));
    for revealed in futures::future::join_all(all).await {
        assert_eq!(revealed.unwrap(), "s3cret");
    }
    assert_eq!(ground.chip.asked(), ["open lease"]);
}

#[tokio::test]
async fn a_lease_that_the_tpm_refuses_is_made_again_from_the_vault() {
    let ground = Ground::default();
    let vaults = ground.kept().await;
    grant(&vaults).await.unwrap();
    a_minute_passes(&vaults);
    ground.chip.asked();
    ground.chip.set(Mood::Restarted);
    assert_eq!(reveal(&vaults).await.unwrap(), "s3cret");
    assert_eq!(ground.chip.asked(), ["open lease", "make lease"]);
    a_minute_passes(&vaults);
    ground.chip.set(Mood::Broken);
    assert!(matches!(
        reveal(&vaults).await,
        Err(NotRevealed::Over { .. })
    ));
    ground.chip.set(Mood::Willing);
    assert_eq!(reveal(&vaults).await.unwrap(), "s3cret");
}

#[tokio::test]
async fn what_sessions_hold_goes_under_the_next_lease_before_it_is_wanted() {
    let ground = Ground::default();
    let vaults = ground.kept().await;
    grant(&vaults).await.unwrap();
    let lessor = &vaults.0.lessor;
    let (key, lease) = (unmade(&[5; 32]), SealedLease(vec![5; 32]));
    lessor.with(|leases, now| leases.install(key, lease, now));
    vaults.supply_all().await;
    assert!(lessor.with(|leases, _| leases.unsupplied()).is_empty());
    ground.chip.asked();
    assert_eq!(reveal(&vaults).await.unwrap(), "s3cret");
    assert!(ground.chip.asked().is_empty());
}

#[tokio::test]
async fn a_headless_vault_opens_by_itself_and_a_keyring_one_by_its_share_alone() {
    let ground = Ground::default();
    ground.kept().await;
    let vaults = ground.vaults();
    let open = VaultState::Open {
        sharing: Sharing::Headless,
    };
    assert_eq!(vaults.listing(HUMAN).state, open);
    grant(&vaults).await.unwrap();
    assert_eq!(reveal(&vaults).await.unwrap(), "s3cret");
    assert!(matches!(
        vaults.open(HUMAN, &share(1)).await,
        Err(VaultError::Shareless)
    ));

    let ground = Ground::default();
    let how = NewVault::Keyring { share: share(1) };
    let vaults = ground.vaults();
    vaults.make(HUMAN, how).await.unwrap();
    put(&vaults, "forge", "s3cret").await.unwrap();
    let vaults = ground.vaults();
    assert_eq!(vaults.listing(HUMAN).state, VaultState::Locked);
    assert!(matches!(grant(&vaults).await, Err(VaultError::Locked)));
    let wrong = vaults.open(HUMAN, &share(2)).await;
    assert!(matches!(wrong, Err(VaultError::WrongShare)));
    assert!(matches!(grant(&vaults).await, Err(VaultError::Locked)));
    vaults.open(HUMAN, &share(1)).await.unwrap();
    grant(&vaults).await.unwrap();
    assert_eq!(reveal(&vaults).await.unwrap(), "s3cret");
    // A wrong share later closes nothing.
    assert!(vaults.open(HUMAN, &share(2)).await.is_err());
    put(&vaults, "other", "x").await.unwrap();
}

#[tokio::test]
async fn another_tpm_opens_nothing() {
    let ground = Ground::default();
    ground.kept().await;
    let vaults = ground.vaults();
    ground.chip.set(Mood::Another);
    let refused = grant(&vaults).await;
    assert!(matches!(
        refused,
        Err(VaultError::Tpm(SealError::Refused(_)))
    ));
}

#[tokio::test]
async fn what_is_replaced_or_removed_reaches_the_sessions() {
    let ground = Ground::default();
    let vaults = ground.kept().await;
    grant(&vaults).await.unwrap();
    put(&vaults, "forge", "newer").await.unwrap();
    assert_eq!(reveal(&vaults).await.unwrap(), "newer");
    vaults
        .keep(HUMAN, forge(), purpose("elsewhere"), &secret("third"))
        .await
        .unwrap();
    assert!(matches!(
        reveal(&vaults).await,
        Err(NotRevealed::NotGranted(_))
    ));
    grant(&vaults).await.unwrap();
    assert_eq!(reveal(&vaults).await.unwrap(), "third");
    vaults.remove(HUMAN, &forge()).await.unwrap();
    assert!(matches!(
        reveal(&vaults).await,
        Err(NotRevealed::NotGranted(_))
    ));
    assert!(vaults.listing(HUMAN).secrets.is_empty());
    let again = vaults.remove(HUMAN, &forge()).await;
    assert!(matches!(
        again,
        Err(VaultError::State(StateError::NoSecret(_)))
    ));
}

#[tokio::test]
async fn every_act_is_on_record_first() {
    let ground = Ground::default();
    let vaults = ground.kept().await;
    grant(&vaults).await.unwrap();
    vaults.remove(HUMAN, &forge()).await.unwrap();
    let records = ground.log.records.lock().unwrap().clone();
    assert!(matches!(
        records[..],
        [
            What::VaultMade { .. },
            What::SecretKept { .. },
            What::SecretLeased { .. },
            What::SecretRemoved { .. }
        ]
    ));
    assert!(!format!("{records:?}").contains("s3cret"));

    put(&vaults, "forge", "s3cret").await.unwrap();
    let before = ground.disk.files.lock().unwrap().clone();
    *ground.log.broken.lock().unwrap() = true;
    assert!(matches!(
        grant(&vaults).await,
        Err(VaultError::NotRecorded(_))
    ));
    assert!(matches!(
        reveal(&vaults).await,
        Err(NotRevealed::NotGranted(_))
    ));
    assert!(put(&vaults, "other", "x").await.is_err());
    assert!(vaults.remove(HUMAN, &forge()).await.is_err());
    let other = HumanUid(1001);
    assert!(vaults.make(other, NewVault::Headless).await.is_err());
    assert_eq!(*ground.disk.files.lock().unwrap(), before);
    // A vault that is opened is opened on record too.
    assert!(matches!(
        grant(&ground.vaults()).await,
        Err(VaultError::NotRecorded(_))
    ));
}

#[tokio::test]
async fn a_full_disk_changes_nothing() {
    let ground = Ground::default();
    let vaults = ground.kept().await;
    *ground.disk.full.lock().unwrap() = true;
    assert!(matches!(
        put(&vaults, "other", "x").await,
        Err(VaultError::Io(_))
    ));
    assert!(matches!(
        put(&vaults, "forge", "x").await,
        Err(VaultError::Io(_))
    ));
    assert_eq!(vaults.listing(HUMAN).secrets.len(), 1);
    grant(&vaults).await.unwrap();
    assert_eq!(reveal(&vaults).await.unwrap(), "s3cret");
}

#[tokio::test]
async fn a_file_that_is_no_vault_is_neither_used_nor_replaced() {
    let ground = Ground::default();
    let files = &ground.disk.files;
    files.lock().unwrap().insert(HUMAN.0, b"{}".to_vec());
    let vaults = ground.vaults();
    assert_eq!(vaults.listing(HUMAN).state, VaultState::Locked);
    assert!(matches!(
        vaults.try_listing(HUMAN),
        Err(VaultError::File(_))
    ));
    let made = vaults.make(HUMAN, NewVault::Headless).await;
    assert!(matches!(made, Err(VaultError::File(_))));
    assert_eq!(files.lock().unwrap()[&HUMAN.0], b"{}");
}

#[tokio::test]
async fn what_cannot_be_a_secret_or_a_vault_is_refused() {
    let ground = Ground::default();
    let vaults = ground.vaults();
    assert!(matches!(
        put(&vaults, "x", "y").await,
        Err(VaultError::NoVault)
    ));
    assert_eq!(vaults.listing(HUMAN).state, VaultState::None);
    vaults.make(HUMAN, NewVault::Headless).await.unwrap();
    let again = vaults.make(HUMAN, NewVault::Headless).await;
    assert!(matches!(again, Err(VaultError::Exists)));
    for bad in ["", "a\nb", "a\0", &"x".repeat(MAX_VALUE + 1)] {
        assert!(matches!(
            put(&vaults, "x", bad).await,
            Err(VaultError::Value)
        ));
    }
    put(&vaults, "x", &"x".repeat(MAX_VALUE)).await.unwrap();
    let unknown = grant(&vaults).await;
    assert!(matches!(
        unknown,
        Err(VaultError::State(StateError::NoSecret(_)))
    ));
    // A megabyte of secrets does not fit, and is told before it is on record.
    let full = loop {
        let count = vaults.listing(HUMAN).secrets.len();
        let value = "x".repeat(MAX_VALUE);
        if let Err(error) = put(&vaults, &format!("x{count}"), &value).await {
            break error;
        }
    };
    assert!(matches!(full, VaultError::File(FileError::TooLarge)));
    let kept = vaults.listing(HUMAN).secrets.len();
    assert_eq!(ground.log.records.lock().unwrap().len(), 1 + kept);
    assert_eq!(ground.vaults().listing(HUMAN).secrets.len(), kept);
}

#[tokio::test]
async fn at_the_end_nothing_is_held() {
    let ground = Ground::default();
    let vaults = ground.kept().await;
    grant(&vaults).await.unwrap();
    let stop = CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    running.spawn({
        let (vaults, stop) = (vaults.clone(), stop.clone());
        async move { vaults.run(stop).await }
    });
    assert_eq!(reveal(&vaults).await.unwrap(), "s3cret");
    stop.cancel();
    running.join_next().await.unwrap().unwrap();
    assert!(matches!(
        reveal(&vaults).await,
        Err(NotRevealed::NotGranted(_))
    ));
    assert!(vaults.humans().is_empty());
}
