//! The one message that the launcher reads as root. The input: the number of descriptors, then the message.
#![no_main]

// The modules by themselves, because the launcher keeps them to itself.
#[rustfmt::skip]
#[path = "../../broker/launcher/src/failure.rs"]
#[allow(dead_code, reason = "the launcher uses all of it")]
mod failure;
#[rustfmt::skip]
#[path = "../../broker/launcher/src/message.rs"]
#[allow(dead_code, reason = "the launcher uses all of it")]
mod message;
#[rustfmt::skip]
#[path = "../../broker/launcher/src/place.rs"]
#[allow(dead_code, reason = "the launcher uses all of it")]
mod place;
#[rustfmt::skip]
#[path = "../../broker/launcher/src/wire.rs"]
#[allow(dead_code, reason = "the launcher uses all of it")]
mod wire;

use std::fs::File;
use std::os::fd::OwnedFd;

use failure::Refusal;
use libfuzzer_sys::fuzz_target;
use message::{MAX_STRINGS, MAX_TREES, Request};
use wire::{
    decode_answer, decode_request, encode_answer, encode_launch, encode_question,
};

fuzz_target!(|data: &[u8]| {
    let Some((count, bytes)) = data.split_first() else {
        return;
    };
    let count = usize::from(count % 144);
    match decode_request(bytes, descriptors(count)) {
        Ok(Request::Launch(launch)) => {
            assert!(launch.trees.len() <= MAX_TREES);
            assert!((1..=MAX_STRINGS).contains(&launch.arguments.len()));
            let (again, passed) = encode_launch(&launch).expect("what was read fits");
            assert_eq!(again, bytes);
            assert_eq!(passed.len(), count);
        }
        Ok(question) => {
            let (again, passed) = encode_question(&question).expect("no launch");
            assert_eq!(again, bytes);
            assert_eq!(passed.len(), count);
        }
        Err(_) => {}
    }
    if let Some(answer) = decode_answer(bytes, descriptors(count)) {
        let (again, _) = encode_answer(&answer);
        assert!(decode_answer(&again, descriptors(count)).is_some());
    }
});

fn descriptors(count: usize) -> Vec<OwnedFd> {
    let null = File::open("/dev/null").expect("a device");
    let one = || null.try_clone().expect("a descriptor").into();
    std::iter::repeat_with(one).take(count).collect()
}
