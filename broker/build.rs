//! Tells the broker when it was built: the earliest that it can be. `SOURCE_DATE_EPOCH` says it for reproducible builds.

use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let declared = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|seconds| seconds.parse().ok());
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let built: u64 = declared.unwrap_or(now);
    println!("cargo::rustc-env=HOLDFAST_BUILT={built}");
}
