//! A host's upload of its audit log, and the attestor's answer: protobuf bytes to our own types and back. The first byte
//! says which.
#![no_main]

use holdfast_protocol::mirror::{
    Answer, MAX_BYTES, MAX_CHECKPOINT, MAX_RECORD, MAX_RECORDS, Upload,
};
use holdfast_protocol::wire::attestor::{AuditHeld, AuditUpload};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((0, rest)) => upload(rest),
        Some((_, rest)) => answer(rest),
        None => {}
    }
});

fn upload(data: &[u8]) {
    let Ok(message) = AuditUpload::decode(data) else {
        return;
    };
    let Ok(upload) = Upload::try_from(message.clone()) else {
        return;
    };
    assert!(upload.records.len() <= MAX_RECORDS);
    assert!(
        upload
            .records
            .iter()
            .all(|record| (1..=MAX_RECORD).contains(&record.len()))
    );
    assert!(upload.records.iter().map(Vec::len).sum::<usize>() <= MAX_BYTES);
    assert!(
        upload
            .checkpoint
            .as_ref()
            .is_none_or(|note| note.len() <= MAX_CHECKPOINT)
    );
    assert_eq!(upload.end() - upload.first, upload.records.len() as u64);
    // Nothing that was sent is lost or changed on the way in.
    assert_eq!(AuditUpload::from(upload), message);
}

fn answer(data: &[u8]) {
    let Ok(message) = AuditHeld::decode(data) else {
        return;
    };
    if let Ok(answer) = Answer::try_from(message) {
        let again = Answer::try_from(AuditHeld::from(answer.clone()));
        assert_eq!(again.expect("what was sent can be read"), answer);
    }
}
