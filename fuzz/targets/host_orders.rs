//! What an attestor tells a host that listens, what that host asks it with, and the bundles that it gets: protobuf bytes to
//! our own types and back.
//! The first byte says which.
#![no_main]

use holdfast_protocol::bundles::{Bundles, MAX_BUNDLE, MAX_FEDERATED};
use holdfast_protocol::orders::{HostStanding, Instance, MAX_WHY, Orders};
use holdfast_protocol::wire::attestor::{Bundle, HostOrders, WatchRequest};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        Some((0, rest)) => orders(rest),
        Some((2, rest)) => bundles(rest),
        Some((_, rest)) => request(rest),
        None => {}
    }
});

fn orders(data: &[u8]) {
    let Ok(message) = HostOrders::decode(data) else {
        return;
    };
    let Ok(orders) = Orders::try_from(message) else {
        return;
    };
    assert!(!orders.next_within.is_zero());
    if let HostStanding::Banned { why } | HostStanding::Revoked { why } = &orders.standing {
        assert!(why.len() <= MAX_WHY);
    }
    let again = Orders::try_from(HostOrders::from(orders.clone()));
    assert_eq!(again.expect("what was sent can be read"), orders);
}

fn request(data: &[u8]) {
    let Ok(message) = WatchRequest::decode(data) else {
        return;
    };
    if let Ok(instance) = Instance::try_from(message.clone()) {
        assert_eq!(WatchRequest::from(instance), message);
    }
}

fn bundles(data: &[u8]) {
    let Ok(message) = Bundle::decode(data) else {
        return;
    };
    let Ok(bundles) = Bundles::try_from(message) else {
        return;
    };
    assert!(bundles.federated.len() <= MAX_FEDERATED && bundles.own.jwks.len() <= MAX_BUNDLE);
    let again = Bundles::try_from(Bundle::from(bundles.clone()));
    assert_eq!(again.expect("what was sent can be read"), bundles);
}
