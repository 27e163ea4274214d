//! Shell text of an agent, to effects. Every script gets an answer: soon, without exhausting the stack of a worker thread,
//! and the same one each time.
#![no_main]

use std::path::Path;
use std::thread;

use holdfast_authorize_calls::shell::effects;
use holdfast_authorize_calls::world::World;
use holdfast_fuzz::shell_parser_may_panic;
use libfuzzer_sys::fuzz_target;

/// What a worker thread of the broker has.
const STACK: usize = 2 << 20;

fuzz_target!(init: shell_parser_may_panic(), |script: &str| {
    let worker = || {
        let cwd = Path::new("/home/u/project");
        let world = World {
            project: cwd.to_owned(),
            home: "/home/u".into(),
            ..World::default()
        };
        let found = effects(script, cwd, &world);
        assert_eq!(found, effects(script, cwd, &world));
        for effect in &found {
            let _ = world.act(effect, cwd);
        }
    };
    thread::scope(|scope| {
        let worker = thread::Builder::new()
            .stack_size(STACK)
            .spawn_scoped(scope, worker);
        worker.expect("a thread").join().expect("an answer");
    });
});
