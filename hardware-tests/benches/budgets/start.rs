//! What sealing adds to a program's start.

use std::process::{Command, Stdio};

use holdfast_hardware_tests::world::World;

use crate::samples::{Samples, time};
use crate::table::{Figure, Row};

const RUNS: usize = 100;

pub fn measure() -> Vec<Row> {
    let Some(world) = World::sealed() else {
        return Vec::new();
    };
    let project = world.scratch.folder("project");
    let (mut sealed, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (ran, took) = time(|| world.broker.run(&project, &["true"]));
        ran.success();
        sealed.push(took);
        let mut program = Command::new("true");
        program.current_dir(&project).stdin(Stdio::null());
        let (ran, took) = time(|| program.output().unwrap());
        assert!(ran.status.success());
        bare.push(took);
    }
    let (sealed, bare) = (Samples::new(sealed), Samples::new(bare));
    let (Figure::Time(ours), Figure::Time(theirs)) = (sealed.median(), bare.median()) else {
        return Vec::new();
    };
    let row = |name: &str, median, p99, goal| Row {
        name: name.to_owned(),
        median,
        p99,
        reference: ("bare start of true".to_owned(), bare.median()),
        goal,
    };
    vec![
        row("holdfast run -- true", sealed.median(), sealed.p99(), "-"),
        row(
            "  of it: added by sealing",
            Figure::Time(ours.saturating_sub(theirs)),
            None,
            "<= 60 ms",
        ),
    ]
}
