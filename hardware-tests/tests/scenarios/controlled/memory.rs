//! Memory that a session takes is bounded, whatever this host's kernel can do for that.

use std::fs;

use holdfast_hardware_tests::world::World;

use super::nothing_left;

/// Takes a hundred MiB again and again, in a process of its own.
const TAKE: &str = "perl -e 'for (1..100) { push @x, \"a\" x ((100 << 20) + $_); select(undef, undef, undef, 0.1) }' & wait";

#[test]
fn a_session_that_takes_more_memory_than_it_may_is_ended_on_every_host() {
    let Some(mut world) = World::sealed() else {
        return;
    };
    world.declare("[limits]\nmemory-mib = 512");
    let project = world.scratch.folder("project");
    let modest = "perl -e '$x = \"a\" x (200 << 20); sleep 1'; echo done";
    let ran = world.broker.run(&project, &["sh", "-c", modest]).success();
    assert_eq!(ran, "done\n");
    let ran = world.broker.run(&project, &["sh", "-c", TAKE]);
    assert_eq!(ran.code, 137, "{ran:#?}");
    let by_controller = ran.stderr.contains("memory limit 512 MiB reached");
    let looked_at = ran
        .stderr
        .contains("it takes more memory than it may (512 MiB)");
    assert!(by_controller || looked_at, "{ran:#?}");
    let record = world.broker.holdfast(&["audit", "tail"]).success();
    assert!(record.contains("512 MiB"), "{record}");

    // Files in memory count as well where a controller counts; elsewhere each folder has a share of the host's.
    let size = "df --output=size -k /tmp /dev/shm | tail -n +2";
    let sizes = world.broker.run(&project, &["sh", "-c", size]).success();
    let total = fs::read_to_string("/proc/meminfo").unwrap();
    let total: u64 = total.split_whitespace().nth(1).unwrap().parse().unwrap();
    for size in sizes.lines() {
        // To a page.
        let size: u64 = size.trim().parse().unwrap();
        assert!(
            by_controller || size <= total / 8 + 4,
            "{size} of {total} KiB"
        );
    }
    nothing_left(&world);
}
