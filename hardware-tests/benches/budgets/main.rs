//! The budgets of the design, measured on the real programs: one table, each figure beside a reference of the same run.
//!
//! `cargo bench -p holdfast-hardware-tests --bench budgets -- [NAME …]`. Nothing is asserted, but that what is measured
//! happened. What has to be measured inside a session is: this program runs itself there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a benchmark, run by people"
)]

mod bare;
mod hook;
mod identities;
mod memory;
mod samples;
mod sessions;
mod start;
mod table;
mod verification;

use table::Row;

/// A group of figures, and how it is measured; it says so itself where it cannot be.
type Group = (&'static str, fn() -> Vec<Row>);

const GROUPS: [Group; 6] = [
    ("hook", hook::measure),
    ("identities", identities::measure),
    ("verification", verification::measure),
    ("start", start::measure),
    ("sessions", sessions::measure),
    ("memory", memory::measure),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["inside", "hook"] => hook::inside(),
        ["inside", "identities"] => identities::inside(),
        ["inside", "bare", socket] => bare::serve(socket.as_ref()),
        names => all(names),
    }
}

fn all(names: &[&str]) {
    // Cargo adds its own.
    let names: Vec<_> = names.iter().filter(|name| **name != "--bench").collect();
    for name in &names {
        let known = GROUPS.iter().any(|(group, _)| group == *name);
        assert!(
            known,
            "{name} is none of {:?}",
            GROUPS.map(|(name, _)| name)
        );
    }
    let mut rows = Vec::new();
    for (name, measure) in GROUPS {
        if names.is_empty() || names.contains(&&name) {
            eprintln!("measuring: {name}");
            rows.extend(measure());
        }
    }
    table::print(&rows);
}

/// This program, to be run inside a session.
fn own_program() -> String {
    std::env::current_exe().unwrap().display().to_string()
}

/// On one thread: client and server are to be seen apart.
fn block_on<F: Future>(work: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(work)
}
