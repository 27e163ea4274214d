//! Exports, read back without any code of the log's: by ct-merkle and by the tlog-tiles specification.

use std::fs;
use std::path::Path;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use holdfast_proof::merkle::leaf_hash;
use holdfast_proof::note::SignedNote;
use holdfast_record_audit::export::{self, ExportError};
use holdfast_record_audit::store::Reader;
use sha2::{Digest as _, Sha256};

use crate::support;
use crate::support::{SoftTpm, event, open, record, second_connection};

/// The entries of all bundles, by the specification of tlog-tiles.
fn entries(folder: &Path, size: u64) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    for bundle in 0..size.div_ceil(256) {
        let width = (size - bundle * 256).min(256);
        let partial = if width == 256 {
            String::new()
        } else {
            format!(".p/{width}")
        };
        let path = folder.join(format!("tile/entries/{bundle:03}{partial}"));
        let bytes = fs::read(&path).unwrap();
        let mut rest = bytes.as_slice();
        let mut found = 0;
        while let Some((length, after)) = rest.split_first_chunk::<2>() {
            let (entry, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            entries.push(entry.to_vec());
            rest = after;
            found += 1;
        }
        assert_eq!((found, rest.len()), (width, 0), "{}", path.display());
    }
    entries
}

fn tile(folder: &Path, name: &str) -> Vec<[u8; 32]> {
    let bytes = fs::read(folder.join("tile").join(name)).unwrap();
    let (hashes, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    hashes.to_vec()
}

#[tokio::test]
async fn the_tiles_hold_the_tree_that_the_checkpoint_signs() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let out = out.path().join("export");
    let tpm = SoftTpm::new();
    let running = open(folder.path(), &tpm).await;
    assert!(matches!(
        running.log.export_tiles(&out).await,
        Err(ExportError::NoCheckpoint)
    ));
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..600 {
        let log = running.log.clone();
        callers.spawn(async move { log.record(&event(number)).await.unwrap() });
    }
    callers.join_all().await;
    let head = running.log.checkpoint_now().await.unwrap();
    record(&running.log, 3).await;
    let exported = running.log.export_tiles(&out).await.unwrap();
    assert_eq!((exported.records, exported.left_out), (600, 3));
    assert!(matches!(
        running.log.export_tiles(&out).await,
        Err(ExportError::NotEmpty(_))
    ));

    // The same root, from the exported entries alone, by other people's code.
    let entries = entries(&out, 600);
    let mut theirs = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for entry in &entries {
        theirs.push(entry.clone());
    }
    assert_eq!(theirs.root().as_bytes().as_slice(), head.root.as_bytes());
    let note = fs::read_to_string(out.join("checkpoint")).unwrap();
    let note = SignedNote::parse(&note).unwrap();
    let body = tpm.log_anchor().key.verify_checkpoint(&note).unwrap();
    assert_eq!((body.size, body.root), (600, head.root));

    // Level 0 holds the leaf hashes, level 1 the roots of its full tiles.
    let leaves = [
        tile(&out, "0/000"),
        tile(&out, "0/001"),
        tile(&out, "0/002.p/88"),
    ]
    .concat();
    let expected: Vec<_> = entries
        .iter()
        .map(|entry| *leaf_hash(entry).as_bytes())
        .collect();
    assert_eq!(leaves, expected);
    let above: Vec<[u8; 32]> = leaves[..512]
        .chunks(256)
        .map(|hashes| {
            let mut hashes = hashes.to_vec();
            while hashes.len() > 1 {
                hashes = hashes
                    .chunks(2)
                    .map(|pair| {
                        let both = [&[1], pair[0].as_slice(), pair[1].as_slice()].concat();
                        Sha256::digest(both).into()
                    })
                    .collect();
            }
            hashes[0]
        })
        .collect();
    assert_eq!(tile(&out, "1/000.p/2"), above);
    let files = walk(&out);
    assert_eq!(files, 3 + 3 + 1 + 1, "no other files");
    running.stop().await;
}

#[tokio::test]
async fn lines_are_the_exact_records() {
    let folder = tempfile::tempdir().unwrap();
    let running = open(folder.path(), &SoftTpm::new()).await;
    record(&running.log, 300).await;
    let mut reader = Reader::open(folder.path()).await.unwrap();
    let mut lines = Vec::new();
    let written = export::ocsf_lines(&mut reader, 10, 280, &mut lines)
        .await
        .unwrap();
    assert_eq!(written, 280);
    let lines = String::from_utf8(lines).unwrap();
    let records = running.log.records(10, 280).await.unwrap();
    assert!(
        lines
            .lines()
            .eq(records.iter().map(|record| record.json.as_str()))
    );
    let rest = export::ocsf_lines(&mut reader, 290, 1000, &mut Vec::new())
        .await
        .unwrap();
    assert_eq!(rest, 10);
    running.stop().await;
}

#[tokio::test]
async fn a_damaged_log_is_not_exported() {
    let (folder, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let running = open(folder.path(), &SoftTpm::new()).await;
    record(&running.log, 20).await;
    running.log.checkpoint_now().await.unwrap();
    let mut other = second_connection(folder.path()).await;
    support::sql(&mut other, "UPDATE record SET json = x'7b7d' WHERE idx = 5").await;
    assert!(matches!(
        running.log.export_tiles(out.path()).await,
        Err(ExportError::Damaged(5))
    ));
    assert!(!out.path().join("checkpoint").exists());
    let mut reader = Reader::open(folder.path()).await.unwrap();
    assert!(matches!(
        export::ocsf_lines(&mut reader, 0, 20, &mut Vec::new()).await,
        Err(ExportError::Damaged(5))
    ));
    running.stop().await;
}

fn walk(folder: &Path) -> usize {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { walk(&path) } else { 1 })
        .sum()
}
