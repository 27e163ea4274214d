//! `kill -9` at random moments, while clients have records made: what was acknowledged is there afterwards.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use holdfast_hardware_tests::harness::Scratch;
use holdfast_hardware_tests::world::World;
use holdfast_protocol::management::{AuditHead, AuditRecord, Request, Response};

use super::database::peek;
use super::log::{ask, exported, exported_from, head, world};

/// What clients were told before the broker died.
#[derive(Default)]
struct Told {
    /// The chains of new node SVIDs.
    chains: Vec<String>,
    /// Failures that are on record.
    failures: usize,
    /// Records that were shown.
    shown: BTreeMap<u64, String>,
    /// Checkpoints that were made.
    heads: Vec<AuditHead>,
}

impl Told {
    fn merge(mut self, other: Self) -> Self {
        self.chains.extend(other.chains);
        self.failures += other.failures;
        self.shown.extend(other.shown);
        self.heads.extend(other.heads);
        self
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "an answer to another question is wrong, whichever it is"
    )]
    fn remember(&mut self, response: Response) {
        match response {
            Response::Attested(node) => self.chains.push(node.chain_pem),
            Response::Failed(_) => self.failures += 1,
            Response::Records(records) => self.shown.extend(
                records
                    .into_iter()
                    .map(|AuditRecord { index, json }| (index, json)),
            ),
            Response::Checkpointed(head) => self.heads.push(head),
            other => panic!("not what was asked: {other:?}"),
        }
    }
}

#[test]
fn no_acknowledged_record_is_lost_by_kill_9() {
    let long = std::env::var_os("HOLDFAST_TEST_LONG").is_some();
    let rounds = if long { 200 } else { 20 };
    let mut random = Random::seeded();
    let mut world = world("[audit]\ncounter-per-day = 288\n");
    let mut log = exported(&world.broker);
    let mut acknowledged = 0;
    for round in 0..rounds {
        // Without an attestor there is a record every few milliseconds; with one, an SVID that hangs on it.
        match round % 4 {
            1 => world.attestor.kill(),
            3 => world.attestor.resume(&world.scratch),
            _ => {}
        }
        let told = until_killed(&mut world, random.up_to(Duration::from_millis(700)));
        if round % 5 == 0 {
            // Again, before it has got over the first time.
            world.broker.begin(&world.scratch);
            std::thread::sleep(random.up_to(Duration::from_millis(80)));
            world.broker.kill();
        }
        world.broker.resume(&world.scratch);
        let known = log.len();
        log.extend(exported_from(&world.broker, known));
        told.stands_in(&log, known, &world);
        let verified = world.broker.holdfast(&["audit", "verify"]);
        assert_eq!(verified.code, 0, "round {round}: {verified:#?}");
        if round % 10 == 9 {
            let all = exported(&world.broker);
            assert_eq!(all[..log.len()], log, "round {round}: the past stays");
        }
        acknowledged += told.chains.len() + told.failures + told.heads.len();
    }
    let counted = peek(
        &world.broker,
        "SELECT counter FROM checkpoint WHERE counter IS NOT NULL ORDER BY seq",
    );
    let counted: Vec<u64> = counted.lines().map(|line| line.parse().unwrap()).collect();
    println!(
        "{rounds} kills, {acknowledged} acknowledgements, {} records, {} counted checkpoints",
        log.len(),
        counted.len()
    );
    assert!(
        counted.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{counted:?}"
    );
    assert!(counted.len() > 1, "{counted:?}");
    assert!(
        acknowledged > rounds,
        "nothing was under way: {acknowledged}"
    );

    // What the dead held in the TPM is gone with them.
    world.broker.stop();
    for handles in ["handles-transient", "handles-loaded-session"] {
        let left = world.tpm.tools().text("getcap", [handles]);
        assert_eq!(left.trim(), "", "{handles}");
    }
}

impl Told {
    /// Checks that a log, new from `known` on, has all of it.
    fn stands_in(&self, log: &[String], known: usize, world: &World) {
        for (index, json) in &self.shown {
            let index = usize::try_from(*index).unwrap();
            assert_eq!(log.get(index), Some(json));
        }
        let new = &log[known..];
        for chain in &self.chains {
            let serial = serial(&world.scratch, chain);
            assert!(
                new.iter().any(|json| json.contains(&serial)),
                "{serial} was handed out without a record"
            );
        }
        let failures = new.iter().filter(|json| json.contains("not attested: "));
        assert!(failures.count() >= self.failures, "{}", self.failures);
        let now = head(&world.broker);
        for head in &self.heads {
            assert!(head.checkpointed <= now.checkpointed, "{head:?} {now:?}");
            assert!(head.counter <= now.counter, "{head:?} {now:?}");
        }
    }
}

/// Lets clients loose on the broker and kills it after `delay`; what they were told.
fn until_killed(world: &mut World, delay: Duration) -> Told {
    let socket = world.broker.socket().to_owned();
    std::thread::scope(|clients| {
        let ask_often = |request: Request, pause| {
            let socket = &socket;
            clients.spawn(move || told(socket, &request, pause))
        };
        let clients = [
            ask_often(Request::Attest, Duration::ZERO),
            ask_often(Request::Attest, Duration::ZERO),
            ask_often(Request::AuditTail { count: 50 }, Duration::from_millis(5)),
            ask_often(Request::AuditCheckpoint, Duration::from_millis(200)),
        ];
        std::thread::sleep(delay);
        world.broker.kill();
        clients
            .into_iter()
            .map(|client| client.join().unwrap())
            .fold(Told::default(), Told::merge)
    })
}

/// Asks the same again and again until nobody answers.
fn told(socket: &Path, request: &Request, pause: Duration) -> Told {
    let mut told = Told::default();
    while let Ok(response) = ask(socket, request) {
        // A checkpoint that was not made is no record.
        let refused = matches!(response, Response::Failed(_));
        if !(refused && matches!(request, Request::AuditCheckpoint)) {
            told.remember(response);
        }
        std::thread::sleep(pause);
    }
    told
}

/// The serial number of a chain's leaf, as records have it.
fn serial(scratch: &Scratch, chain: &str) -> String {
    let chain = scratch.write("chain.pem", chain);
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-serial", "-in"])
        .arg(chain)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let serial = text.trim().strip_prefix("serial=").unwrap();
    serial.to_lowercase()
}

/// xorshift64*, so that a failure can be run again with the same delays.
struct Random(u64);

impl Random {
    fn seeded() -> Self {
        let seed = std::env::var("HOLDFAST_TEST_SEED")
            .ok()
            .map(|seed| seed.parse().unwrap())
            .unwrap_or_else(|| u64::from(std::process::id()) << 20 | 1);
        println!("HOLDFAST_TEST_SEED={seed}");
        Self(seed)
    }

    fn up_to(&mut self, longest: Duration) -> Duration {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32;
        let parts = u32::try_from(bits).unwrap();
        longest.mul_f64(f64::from(parts) / f64::from(u32::MAX))
    }
}
