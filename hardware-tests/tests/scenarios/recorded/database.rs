//! The log's database in the hands of somebody with root and time: the system's own `sqlite3` and `cp`.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use holdfast_hardware_tests::world::{Broker, World};
use holdfast_proof::merkle::{Frontier, leaf_hash};

/// The folder of the log.
pub fn folder(broker: &Broker) -> PathBuf {
    broker.state().join("audit")
}

/// Runs statements on the log's database; what they print.
pub fn sqlite(broker: &Broker, statements: &str) -> String {
    run(Command::new("sqlite3")
        .arg("-bail")
        .arg(folder(broker).join("audit.db"))
        .arg(statements))
}

/// As [`sqlite`], without writing: for a log that is in use.
pub fn peek(broker: &Broker, query: &str) -> String {
    run(Command::new("sqlite3")
        .args(["-bail", "-readonly"])
        .arg(folder(broker).join("audit.db"))
        .arg(query))
}

/// The SQL that shortens the tree to the first `size` records, as it was when they were all.
pub fn rewound(broker: &Broker, size: u64) -> String {
    let leaves = sqlite(
        broker,
        &format!("SELECT hex(json) FROM record WHERE idx < {size} ORDER BY idx"),
    );
    let mut tree = Frontier::empty();
    for json in leaves.lines() {
        let json = data_encoding::HEXUPPER.decode(json.as_bytes()).unwrap();
        tree.append(leaf_hash(&json));
    }
    assert_eq!(tree.size(), size);
    set_tree(&tree)
}

/// The SQL that changes a record, its hash and the tree so that they agree with each other again.
pub fn forged(broker: &Broker, index: u64, from: &str, to: &str) -> String {
    let rows = sqlite(broker, "SELECT idx, hex(json) FROM record ORDER BY idx");
    let mut tree = Frontier::empty();
    let mut statements = String::new();
    for row in rows.lines() {
        let (at, json) = row.split_once('|').unwrap();
        let mut json = data_encoding::HEXUPPER.decode(json.as_bytes()).unwrap();
        if at == index.to_string() {
            let text = String::from_utf8(json).unwrap();
            assert!(text.contains(from), "{text}");
            json = text.replacen(from, to, 1).into_bytes();
            writeln!(
                statements,
                "UPDATE record SET json = x'{}', leaf = x'{}' WHERE idx = {index};",
                data_encoding::HEXUPPER.encode(&json),
                data_encoding::HEXUPPER.encode(leaf_hash(&json).as_bytes()),
            )
            .unwrap();
        }
        tree.append(leaf_hash(&json));
    }
    assert!(!statements.is_empty(), "there is no record {index}");
    statements + &set_tree(&tree)
}

fn set_tree(tree: &Frontier) -> String {
    let peaks: String = tree
        .peaks()
        .iter()
        .map(|peak| data_encoding::HEXUPPER.encode(peak.as_bytes()))
        .collect();
    format!("UPDATE log SET size = {}, peaks = x'{peaks}';", tree.size())
}

/// A copy of the log's folder as it is now.
pub struct Copy(PathBuf);

impl Copy {
    pub fn of(world: &World, name: &str) -> Self {
        let copy = world.scratch.join(name);
        copy_folder(&folder(&world.broker), &copy);
        Self(copy)
    }

    pub fn put_back(&self, broker: &Broker) {
        let folder = folder(broker);
        std::fs::remove_dir_all(&folder).unwrap();
        copy_folder(&self.0, &folder);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
