//! The table of tampered evidence: each row changes one thing of evidence that is good, and names the check that has to
//! refuse it.
//!
//! A row's change is either to what the TPM attests, which the AK then signs as no honest TPM would, or to what travels.
//! Event log and measurement list have tables of their own.

mod banks;
mod flipped;
mod keys;
mod pcrs;
mod shape;
mod statements;
mod systemd_log;
mod time;

use std::collections::BTreeSet;

use holdfast_protocol::evidence::{Check, Evidence};

use super::check_of;
use crate::software_tpm::{Parts, Scene};
use Tamper::{Signed, Travelling};

/// One change, and the check that refuses it.
struct Row {
    name: &'static str,
    check: Check,
    tamper: Tamper,
}

/// Where a change is made.
enum Tamper {
    /// In what is known of the host, or in what its AK signs.
    Signed(fn(&mut Scene, &mut Parts)),
    /// In what travels, after it was signed.
    Travelling(fn(&Scene, &mut Evidence)),
}

const fn signed(name: &'static str, check: Check, tamper: fn(&mut Scene, &mut Parts)) -> Row {
    let tamper = Signed(tamper);
    Row {
        name,
        check,
        tamper,
    }
}

const fn travelling(name: &'static str, check: Check, tamper: fn(&Scene, &mut Evidence)) -> Row {
    let tamper = Travelling(tamper);
    Row {
        name,
        check,
        tamper,
    }
}

/// The scene and the evidence of a row.
fn stage(tamper: &Tamper) -> (Scene, Evidence) {
    let mut scene = Scene::new();
    let mut parts = scene.parts();
    match tamper {
        Signed(tamper) => {
            tamper(&mut scene, &mut parts);
            let evidence = scene.sign(parts);
            (scene, evidence)
        }
        Travelling(tamper) => {
            let mut evidence = scene.sign(parts);
            tamper(&scene, &mut evidence);
            (scene, evidence)
        }
    }
}

#[test]
fn each_is_refused_by_the_check_that_should() {
    let tables = [
        shape::ROWS,
        keys::ROWS,
        pcrs::ROWS,
        banks::ROWS,
        systemd_log::ROWS,
        time::ROWS,
    ];
    let rows: Vec<_> = tables.into_iter().flatten().collect();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name).collect();
    assert_eq!(names.len(), rows.len(), "a row stands twice");
    assert!(rows.len() >= 60, "{} rows", rows.len());
    for row in rows {
        let (scene, evidence) = stage(&row.tamper);
        assert_eq!(check_of(&scene, &evidence), row.check, "{}", row.name);
    }
}

/// What may be written in another way without meaning something else. The host cannot gain by it: either the TPM alone
/// could write it so, or nothing is read from the difference.
#[test]
fn another_spelling_of_the_same_is_accepted() {
    for row in [keys::SAME, pcrs::SAME, banks::SAME, systemd_log::SAME]
        .into_iter()
        .flatten()
    {
        let (scene, evidence) = stage(&row.tamper);
        let (_, result) = scene.verify(&evidence);
        assert!(result.is_ok(), "{}: {result:?}", row.name);
    }
}
