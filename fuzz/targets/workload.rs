//! What names a service that was not launched: a container engine's answer, a cgroup's path, a selector.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use holdfast_launch_agents::workload::{Named, Selector, engine, named};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let id = "0f".repeat(32);
    if let Ok(container) = engine::read(data, &id) {
        assert!(container.labels.len() + container.environment.len() <= data.len());
    }
    if let Some(Named::Unit { cgroup, .. } | Named::Container { cgroup, .. }) =
        named(Path::new(OsStr::from_bytes(data)))
    {
        assert!(cgroup.is_absolute());
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(selector) = text.parse::<Selector>()
    {
        assert_eq!(selector.to_string(), text);
    }
});
