//! A host's log, honest and otherwise, before a real store.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use holdfast_proof::counter::CounterEvidence;
use holdfast_proof::hash::sha256;
use holdfast_proof::merkle::leaf_hash;
use holdfast_proof::note::SignedNote;
use holdfast_proof::note::{CheckpointBody, EvidenceLine};
use holdfast_protocol::mirror::{Answer, Held, Upload};

use super::*;
use crate::certify::KeyFolder;
use crate::registry::Host;
use crate::software_tpm::{SoftwareTpm, enrolled};
use crate::store::sql::SqlStore;
use crate::store::{Enrolling, MirrorStore, Store, StoreError};
use crate::test_engines::{Engine, promises};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);
const LIMITS: Limits = Limits {
    bytes_per_log: 1 << 20,
};

promises!(
    records_are_held_once_whatever_is_sent_twice_or_not_at_all,
    a_checkpoint_that_fits_is_cosigned_and_again_the_same,
    another_history_is_a_fork_and_stays_one,
    counter_values_follow_one_upon_the_other,
    what_does_not_verify_is_refused_and_leaves_no_trace,
    a_log_has_its_limit_and_nothing_is_deleted_for_it,
    two_uploads_from_one_reading_cannot_both_be_kept,
);

struct Fixture {
    store: SqlStore,
    cosigner: Cosigner,
    tpm: SoftwareTpm,
    host: Host,
    folder: tempfile::TempDir,
}

impl Fixture {
    async fn new(engine: Engine<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqlStore::open(&engine.home(folder.path()).await)
            .await
            .unwrap();
        let cosigner = Cosigner::open(
            &KeyFolder::plain(folder.path()),
            &"example.org".parse().unwrap(),
        )
        .unwrap();
        let (tpm, host) = joined(&store, 1).await;
        Self {
            store,
            cosigner,
            tpm,
            host,
            folder,
        }
    }

    fn keys(&self) -> LogKeys {
        LogKeys::of(&self.host.enrolled).unwrap()
    }

    async fn send(&self, first: u64, records: &[String], checkpoint: Option<String>) -> Answer {
        let upload = Upload {
            origin: self.keys().origin.to_string(),
            first,
            records: records
                .iter()
                .map(|text| text.clone().into_bytes())
                .collect(),
            checkpoint,
        };
        self.take(upload, LIMITS).await.unwrap()
    }

    async fn take(&self, upload: Upload, limits: Limits) -> Result<Answer, StoreError> {
        let taken = take(&self.store, &self.cosigner, limits, &self.host, upload, NOW);
        Ok(taken.await?.answer)
    }

    /// A checkpoint over `records`, counted at `value` if it is.
    fn checkpoint(&self, records: &[String], value: Option<u64>) -> String {
        let mut tree = Frontier::empty();
        for record in records {
            tree.append(leaf_hash(record.as_bytes()));
        }
        let keys = self.keys();
        let text = CheckpointBody {
            origin: keys.origin.clone(),
            size: tree.size(),
            root: tree.root(),
        }
        .encode();
        let line = keys
            .verifier()
            .unwrap()
            .signature_line(self.tpm.sign_checkpoint(&text));
        let mut note = SignedNote::new(text.clone(), vec![line]).unwrap();
        if let Some(value) = value {
            let name = self.tpm.audit_counter.name();
            let body = sha256(text.as_bytes());
            let signed = self
                .tpm
                .sign(&self.tpm.certify_nv(&name, value, body.as_bytes()));
            let evidence = CounterEvidence::new(&signed.attest, &signed.signature).unwrap();
            note = note
                .with_signature(EvidenceLine::encode(&keys.origin, evidence.encode()))
                .unwrap();
        }
        note.to_string()
    }

    async fn log(&self) -> MirroredLog {
        let logs = self.store.mirrored_logs().await.unwrap();
        logs.into_iter()
            .find(|log| log.host == self.host.id)
            .unwrap()
    }

    async fn findings(&self) -> Vec<String> {
        let log = self.log().await;
        let verified = verify(&self.store, &self.cosigner, &log).await.unwrap();
        verified.findings
    }
}

async fn joined(store: &SqlStore, id: u8) -> (SoftwareTpm, Host) {
    let tpm = SoftwareTpm::new();
    let id = HostId::from_random([id; 16]);
    let enrolling = store.enroll(&enrolled(&tpm, NOW), id, None, NOW).await;
    assert_eq!(enrolling.unwrap(), Enrolling::New(id));
    let host = store.host(id).await.unwrap().unwrap();
    (tpm, host)
}

fn records(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{{\"n\":{n}}}")).collect()
}

fn held(answer: Answer) -> Held {
    match answer {
        Answer::Held(held) => held,
        Answer::Refused { refusal, detail } => panic!("{refusal}: {detail}"),
    }
}

fn size(answer: Answer) -> u64 {
    held(answer).size
}

fn refusal(answer: Answer) -> Refusal {
    match answer {
        Answer::Refused { refusal, .. } => refusal,
        Answer::Held(held) => panic!("{held:?}"),
    }
}

async fn records_are_held_once_whatever_is_sent_twice_or_not_at_all(engine: Engine<'_>) {
    let fixture = Fixture::new(engine).await;
    let all = records(40);
    assert_eq!(size(fixture.send(0, &all[..10], None).await), 10);
    assert_eq!(size(fixture.send(0, &all[..10], None).await), 10, "doubled");
    assert_eq!(size(fixture.send(20, &all[20..], None).await), 10, "a gap");
    assert_eq!(
        size(fixture.send(5, &all[5..20], None).await),
        20,
        "overlap"
    );
    assert_eq!(size(fixture.send(3, &all[3..7], None).await), 20, "within");
    assert_eq!(size(fixture.send(20, &[], None).await), 20, "nothing");
    assert_eq!(size(fixture.send(20, &all[20..], None).await), 40);
    let log = fixture.log().await;
    let kept = fixture
        .store
        .mirrored_records(log.id, 0, 100)
        .await
        .unwrap();
    let expected: Vec<_> = all.iter().map(|text| text.as_bytes().to_vec()).collect();
    assert_eq!(kept, expected);
    let some = fixture.store.mirrored_records(log.id, 7, 9).await.unwrap();
    assert_eq!(some, expected[7..16]);
    assert_eq!(fixture.findings().await, [""; 0]);
}

async fn a_checkpoint_that_fits_is_cosigned_and_again_the_same(engine: Engine<'_>) {
    let fixture = Fixture::new(engine).await;
    let all = records(30);
    let first = fixture.checkpoint(&all[..10], Some(4));
    let answer = held(fixture.send(0, &all[..10], Some(first.clone())).await);
    let cosigned = answer.cosigned.unwrap();
    assert_eq!(cosigned.cosigner, fixture.cosigner.vkey());
    SignedNote::parse(&format!("{first}{}\n", cosigned.line)).unwrap();
    // The answer was lost, and more came meanwhile.
    fixture.send(10, &all[10..25], None).await;
    let again = held(fixture.send(25, &[], Some(first)).await);
    assert_eq!(again.cosigned.unwrap(), cosigned);
    // Over records that came before it, and in the middle of those that come with it.
    let second = fixture.checkpoint(&all[..20], Some(5));
    assert!(
        held(fixture.send(25, &[], Some(second)).await)
            .cosigned
            .is_some()
    );
    let third = fixture.checkpoint(&all[..27], None);
    let answer = held(fixture.send(25, &all[25..], Some(third)).await);
    assert!(answer.cosigned.is_some());
    assert_eq!(answer.size, 30);
    // Over records that are not here yet.
    let more = records(35);
    let fourth = fixture.checkpoint(&more, None);
    assert_eq!(
        held(fixture.send(30, &more[30..32], Some(fourth)).await).cosigned,
        None
    );
    let log = fixture.log().await;
    assert_eq!(
        (log.tree.size(), log.cosigned, log.last_value),
        (32, 27, Some(5))
    );
    assert_eq!(fixture.findings().await, [""; 0]);
}

async fn another_history_is_a_fork_and_stays_one(engine: Engine<'_>) {
    let all = records(20);
    let mut other = all.clone();
    other[7] = "{\"n\":\"other\"}".to_owned();

    let roots = Fixture::new(engine).await;
    roots.send(0, &all, None).await;
    let forged = roots.checkpoint(&other, None);
    let answer = roots.send(20, &[], Some(forged.clone())).await;
    assert_eq!(refusal(answer), Refusal::ForkRoot);
    let fork = roots.log().await.fork.unwrap();
    assert_eq!(
        fork.evidence,
        forged.into_bytes(),
        "signed by the host's TPM"
    );
    let honest = roots.checkpoint(&all, None);
    assert_eq!(
        refusal(roots.send(20, &[], Some(honest)).await),
        Refusal::Forked
    );
    assert!(roots.findings().await[0].contains("fork-root"));

    let bytes = Fixture::new(engine).await;
    bytes.send(0, &all, None).await;
    assert_eq!(
        refusal(bytes.send(5, &other[5..], None).await),
        Refusal::ForkRecord
    );
    let fork = bytes.log().await.fork.unwrap();
    assert_eq!(fork.evidence, other[7].as_bytes());
    assert!(
        fork.detail.starts_with("record 7 came again"),
        "{}",
        fork.detail
    );

    // An older log that was put back goes on differently from there.
    let older = Fixture::new(engine).await;
    let newest = older.checkpoint(&all, None);
    older.send(0, &all, Some(newest)).await;
    let stale = older.checkpoint(&all[..7], None);
    assert_eq!(
        refusal(older.send(7, &[], Some(stale)).await),
        Refusal::Stale
    );
    assert_eq!(
        refusal(older.send(7, &other[7..], None).await),
        Refusal::ForkRecord
    );
}

async fn counter_values_follow_one_upon_the_other(engine: Engine<'_>) {
    let all = records(9);
    // Enrolled at 5, so the first evidence is for 5 at the latest.
    let late = Fixture::new(engine).await;
    let skipped = late.checkpoint(&all, Some(6));
    assert_eq!(
        refusal(late.send(0, &all, Some(skipped)).await),
        Refusal::ForkCounter
    );

    for (value, taken) in [(4, false), (5, false), (6, true), (7, false)] {
        let fixture = Fixture::new(engine).await;
        let first = fixture.checkpoint(&all[..3], Some(5));
        held(fixture.send(0, &all[..3], Some(first)).await);
        let next = fixture.checkpoint(&all[..6], Some(value));
        let answer = fixture.send(3, &all[3..6], Some(next)).await;
        if taken {
            assert!(held(answer).cosigned.is_some());
        } else {
            assert_eq!(refusal(answer), Refusal::ForkCounter, "{value}");
            assert_eq!(fixture.log().await.tree.size(), 3, "nothing of it is kept");
        }
    }
}

async fn what_does_not_verify_is_refused_and_leaves_no_trace(engine: Engine<'_>) {
    let fixture = Fixture::new(engine).await;
    let (stranger_tpm, stranger) = joined(&fixture.store, 2).await;
    let stranger = Fixture {
        tpm: stranger_tpm,
        host: stranger,
        store: fixture.store.clone(),
        cosigner: Cosigner::open(
            &KeyFolder::plain(fixture.folder.path()),
            &"example.org".parse().unwrap(),
        )
        .unwrap(),
        folder: tempfile::tempdir().unwrap(),
    };
    let all = records(3);
    let note = fixture.checkpoint(&all, Some(5));
    let text = SignedNote::parse(&note).unwrap().text().to_owned();
    let by_another = SignedNote::new(
        text.clone(),
        vec![
            fixture
                .keys()
                .verifier()
                .unwrap()
                .signature_line(stranger.tpm.sign_checkpoint(&text)),
        ],
    )
    .unwrap();
    let uncounted = fixture.checkpoint(&all, None);
    let evidence = |bytes: Vec<u8>| {
        SignedNote::parse(&uncounted)
            .unwrap()
            .with_signature(EvidenceLine::encode(&fixture.keys().origin, bytes))
            .unwrap()
            .to_string()
    };
    let of_another = stranger.tpm.sign(&stranger.tpm.certify_nv(
        &fixture.tpm.audit_counter.name(),
        5,
        sha256(text.as_bytes()).as_bytes(),
    ));
    let of_another = CounterEvidence::new(&of_another.attest, &of_another.signature).unwrap();
    let cases = [
        ("no note".to_owned(), Refusal::Checkpoint),
        (by_another.to_string(), Refusal::Checkpoint),
        (evidence(vec![1, 2, 3]), Refusal::Evidence),
        (evidence(of_another.encode()), Refusal::Evidence),
    ];
    for (note, expected) in cases {
        let answer = fixture.send(0, &all, Some(note)).await;
        assert_eq!(refusal(answer), expected);
        assert_eq!(fixture.log().await.tree.size(), 0);
    }
    // Another host, in this one's name.
    let upload = Upload {
        origin: fixture.keys().origin.to_string(),
        first: 0,
        records: vec![b"{}".to_vec()],
        checkpoint: Some(note),
    };
    let answer = stranger.take(upload, LIMITS).await.unwrap();
    assert_eq!(refusal(answer), Refusal::Origin);
    assert_eq!(fixture.log().await.tree.size(), 0);
    assert_eq!(fixture.log().await.fork, None);
}

async fn a_log_has_its_limit_and_nothing_is_deleted_for_it(engine: Engine<'_>) {
    let fixture = Fixture::new(engine).await;
    let all = records(10);
    let upload = |first: usize, last: usize| Upload {
        origin: fixture.keys().origin.to_string(),
        first: first as u64,
        records: all[first..last]
            .iter()
            .map(|text| text.clone().into_bytes())
            .collect(),
        checkpoint: None,
    };
    let limits = Limits {
        bytes_per_log: 5 * 7,
    };
    assert_eq!(size(fixture.take(upload(0, 5), limits).await.unwrap()), 5);
    let answer = fixture.take(upload(5, 6), limits).await.unwrap();
    assert_eq!(refusal(answer), Refusal::Full);
    assert_eq!(size(fixture.take(upload(0, 5), limits).await.unwrap()), 5);
    assert_eq!(size(fixture.take(upload(5, 6), LIMITS).await.unwrap()), 6);
}

async fn two_uploads_from_one_reading_cannot_both_be_kept(engine: Engine<'_>) {
    let fixture = Fixture::new(engine).await;
    fixture.send(0, &records(1), None).await;
    let log = fixture.log().await;
    let mut tree = log.tree.clone();
    tree.append(leaf_hash(b"x"));
    let growth = Growth {
        first: 1,
        records: vec![b"x".to_vec()],
        tree,
    };
    let store = &fixture.store;
    store
        .keep_mirrored(&log, Some(&growth), None, NOW)
        .await
        .unwrap();
    let second = store.keep_mirrored(&log, Some(&growth), None, NOW).await;
    assert!(matches!(second, Err(StoreError::Conflict)));
    assert_eq!(fixture.findings().await, [""; 0]);
}

#[tokio::test]
async fn what_was_changed_in_the_store_is_found() {
    let edits = [
        (
            "UPDATE mirrored_bundle SET entries = x'00077b226d223a307d00077b226e223a317d00077b226e223a327d' \
             WHERE first = 0",
            "are not those that were cosigned",
        ),
        (
            "UPDATE mirrored_log SET size = 7, peaks = zeroblob(96)",
            "the stored tree is not that of the records",
        ),
        (
            "DELETE FROM mirrored_bundle WHERE first > 0",
            "some were lost here",
        ),
        (
            "UPDATE mirrored_checkpoint SET at = at + 1000",
            "is not by this attestor's key",
        ),
        (
            "UPDATE mirrored_checkpoint SET counter = NULL WHERE counter = 5",
            "says another thing than what is stored beside it",
        ),
        (
            "DELETE FROM mirrored_checkpoint WHERE counter = 5",
            "the counter's evidence",
        ),
    ];
    for (edit, found) in edits {
        let fixture = Fixture::new(Engine::Sqlite).await;
        let all = records(9);
        for (end, value) in [(3, 4), (6, 5), (9, 6)] {
            let note = fixture.checkpoint(&all[..end], Some(value));
            held(
                fixture
                    .send(end as u64 - 3, &all[end - 3..end], Some(note))
                    .await,
            );
        }
        assert_eq!(fixture.findings().await, [""; 0]);
        let file = fixture.folder.path().join("registry.sqlite");
        let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", file.display()))
            .await
            .unwrap();
        sqlx::query(edit).execute(&pool).await.unwrap();
        pool.close().await;
        let findings = fixture.findings().await;
        assert!(
            findings.iter().any(|finding| finding.contains(found)),
            "{edit}: {findings:?}"
        );
    }
}

#[test]
fn the_specified_cosignature_has_its_specified_shape() {
    let folder = tempfile::tempdir().unwrap();
    let cosigner = Cosigner::open(
        &KeyFolder::plain(folder.path()),
        &"example.org".parse().unwrap(),
    )
    .unwrap();
    let text = "log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
    let line = cosigner.cosign(text, NOW);
    let prefix = "\u{2014} example.org/holdfast-audit-mirror ";
    let bytes = data_encoding::BASE64
        .decode(line.strip_prefix(prefix).unwrap().as_bytes())
        .unwrap();
    assert_eq!(bytes.len(), 4 + 8 + 64);
    assert_eq!(bytes[4..12], NOW.as_secs().to_be_bytes());
    let vkey = cosigner.vkey();
    let key = data_encoding::BASE64
        .decode(
            // The key's own letters can be plus signs.
            vkey.splitn(3, '+').last().unwrap().as_bytes(),
        )
        .unwrap();
    assert_eq!((key.len(), key[0]), (33, 4));
    let message = format!("cosignature/v1\ntime 1800000000\n{text}");
    aws_lc_rs::signature::UnparsedPublicKey::new(&aws_lc_rs::signature::ED25519, &key[1..])
        .verify(message.as_bytes(), &bytes[12..])
        .unwrap();
    // The same key after a restart.
    let again = Cosigner::open(
        &KeyFolder::plain(folder.path()),
        &"example.org".parse().unwrap(),
    )
    .unwrap();
    assert_eq!((again.vkey(), again.cosign(text, NOW)), (vkey, line));
}
