//! Rows on systemd's log: each is good evidence of a host that measured [`Log::booted`] after its firmware, but for one thing.

use holdfast_protocol::evidence::Check;

use super::{Row, signed};
use crate::software_tpm::firmware::event_log as firmware_log;
use crate::software_tpm::systemd::Log;
use crate::software_tpm::{Parts, Scene};
use crate::verify_host::SystemdLogPolicy;
use crate::verify_host::tests::event_log::showing;
use crate::verify_host::tests::systemd_log::held;

const LOG: Check = Check::SystemdLog;

/// The records of the log, to be changed.
fn changed(scene: &mut Scene, parts: &mut Parts, change: impl FnOnce(&mut Vec<String>)) {
    *parts = held(scene, &Log::booted());
    let log = String::from_utf8(parts.systemd_log.clone()).unwrap();
    let mut records: Vec<String> = log.split_inclusive('\n').map(str::to_owned).collect();
    assert_eq!(records.len(), 9);
    change(&mut records);
    parts.systemd_log = records.concat().into_bytes();
}

fn record(log: Log) -> String {
    String::from_utf8(log.bytes).unwrap()
}

/// Changes text in one record.
fn spell(records: &mut [String], number: usize, from: &str, to: &str) {
    assert!(records[number].contains(from), "{}", records[number]);
    records[number] = records[number].replacen(from, to, 1);
}

pub(super) const ROWS: &[Row] = &[
    signed("systemd: the first record left out", LOG, |scene, parts| {
        changed(scene, parts, |records| _ = records.remove(0));
    }),
    signed("systemd: a record left out", LOG, |scene, parts| {
        changed(scene, parts, |records| _ = records.remove(4));
    }),
    signed(
        "systemd: the last record of a pcr left out",
        LOG,
        |scene, parts| {
            changed(scene, parts, |records| _ = records.remove(8));
        },
    ),
    signed(
        "systemd: a record more, among others",
        LOG,
        |scene, parts| {
            let phase = record(Log::new().measured(11, "phase", "factory-reset"));
            changed(scene, parts, |records| records.insert(4, phase));
        },
    ),
    signed("systemd: a record twice", LOG, |scene, parts| {
        changed(scene, parts, |records| {
            records.insert(5, records[4].clone())
        });
    }),
    signed(
        "systemd: two records of a pcr in the other order",
        LOG,
        |scene, parts| {
            changed(scene, parts, |records| records.swap(5, 6));
        },
    ),
    signed("systemd: a record of another pcr", LOG, |scene, parts| {
        changed(scene, parts, |records| {
            spell(records, 3, "\"pcr\":15", "\"pcr\":11")
        });
    }),
    signed("systemd: a record of no pcr", LOG, |scene, parts| {
        changed(scene, parts, |records| {
            spell(records, 3, "\"pcr\":15", "\"nv_index\":15")
        });
    }),
    signed("systemd: a digest changed", LOG, |scene, parts| {
        changed(scene, parts, |records| spell(records, 3, "2a2a", "2a2b"));
    }),
    signed(
        "systemd: a digest of a bank that is not quoted",
        LOG,
        |scene, parts| {
            changed(scene, parts, |records| {
                spell(records, 0, "\"sha256\"", "\"sha1\"")
            });
        },
    ),
    signed("systemd: a digest of another bank", LOG, |scene, parts| {
        changed(scene, parts, |records| {
            spell(records, 0, "\"sha256\"", "\"sha384\"")
        });
    }),
    signed("systemd: a digest twice", LOG, |scene, parts| {
        changed(scene, parts, |records| {
            spell(records, 0, "\"sha384\"", "\"sha256\"")
        });
    }),
    signed("systemd: a record with no end", LOG, |scene, parts| {
        changed(scene, parts, |records| spell(records, 0, "\n", ""));
    }),
    signed(
        "systemd: a record with no beginning",
        LOG,
        |scene, parts| {
            changed(scene, parts, |records| spell(records, 0, "\u{1e}", ""));
        },
    ),
    signed("systemd: a record that is too long", LOG, |scene, parts| {
        let long = " ".repeat(holdfast_proof::systemd_log::MAX_RECORD);
        changed(scene, parts, |records| {
            spell(records, 0, "{", &format!("{{{long}"))
        });
    }),
    signed(
        "systemd: more records than in any log",
        LOG,
        |scene, parts| {
            let more = "\u{1e}{\"digests\":[]}\n".repeat(holdfast_proof::systemd_log::MAX_RECORDS);
            changed(scene, parts, |records| records.push(more));
        },
    ),
    signed("systemd: no json", LOG, |scene, parts| {
        changed(scene, parts, |records| spell(records, 0, "{", "["));
    }),
    signed("systemd: no such pcr", LOG, |scene, parts| {
        changed(scene, parts, |records| {
            spell(records, 0, "\"pcr\":11", "\"pcr\":24")
        });
    }),
    signed("systemd: the log of another boot", LOG, |scene, parts| {
        *parts = held(scene, &Log::booted());
        let other = Log::new().measured(11, "phase", "enter-initrd").keyed(
            15,
            "volume-key",
            "cryptsetup:root:5e47a9db",
            41,
        );
        parts.systemd_log = other.bytes;
    }),
    signed(
        "systemd: the log of an earlier moment",
        LOG,
        |scene, parts| {
            changed(scene, parts, |records| records.truncate(5));
        },
    ),
    signed(
        "systemd: something measured into the firmware's",
        LOG,
        |scene, parts| {
            let seven = record(Log::new().measured(7, "phase", "ready"));
            changed(scene, parts, |records| records.push(seven));
        },
    ),
    signed("systemd: a separator twice", LOG, |scene, parts| {
        let separator = || Log::new().measured(7, "os-separator", "os-separator");
        *parts = held(scene, &separator());
        parts.systemd_log.extend(separator().bytes);
    }),
    signed(
        "systemd: a separator that was not measured",
        LOG,
        |scene, parts| {
            let separator = record(Log::new().measured(7, "os-separator", "os-separator"));
            changed(scene, parts, |records| records.insert(0, separator));
        },
    ),
    signed(
        "systemd: a separator in the place of another event",
        Check::EventLog,
        |scene, parts| {
            *parts = held(scene, &Log::new().measured(7, "phase", "something else"));
            parts.systemd_log = Log::new().measured(7, "os-separator", "os-separator").bytes;
        },
    ),
    signed(
        "systemd: what the stub measured left out of the firmware's log",
        LOG,
        |scene, parts| {
            *parts = held(scene, &Log::booted());
            let systemd_log = parts.systemd_log.clone();
            *parts = showing(scene, firmware_log());
            parts.systemd_log = systemd_log;
        },
    ),
    signed(
        "systemd: all records of a pcr left out, where they are required",
        LOG,
        |scene, parts| {
            scene.policy.systemd_log = SystemdLogPolicy::Require;
            changed(scene, parts, |records| {
                records.retain(|record| !record.contains("\"pcr\":15"))
            });
        },
    ),
    signed(
        "systemd: no log, where one is required",
        LOG,
        |scene, parts| {
            scene.policy.systemd_log = SystemdLogPolicy::Require;
            changed(scene, parts, Vec::clear);
        },
    ),
];

/// What no digest covers, and what goes nowhere that was quoted.
pub(super) const SAME: &[Row] = &[
    signed("systemd: another time", LOG, |scene, parts| {
        changed(scene, parts, |records| {
            spell(records, 2, "\"timestamp\":1", "\"timestamp\":2")
        });
    }),
    signed("systemd: another description", LOG, |scene, parts| {
        changed(scene, parts, |records| {
            spell(records, 2, "nvpcr-separator\"", "a thing\"")
        });
    }),
    signed("systemd: a field that is not known", LOG, |scene, parts| {
        changed(scene, parts, |records| {
            spell(records, 2, "{", "{\"recnum\":3,")
        });
    }),
    signed(
        "systemd: a record of a pcr that is not quoted",
        LOG,
        |scene, parts| {
            let other = record(Log::new().measured(12, "phase", "ready"));
            changed(scene, parts, |records| records.insert(2, other));
        },
    ),
    signed("systemd: a record of an nvpcr", LOG, |scene, parts| {
        let other = record(Log::new().raw("{\"nv_index\":30474755,\"digests\":[]}"));
        changed(scene, parts, |records| records.insert(2, other));
    }),
    signed(
        "systemd: records of two pcrs in the other order",
        LOG,
        |scene, parts| {
            changed(scene, parts, |records| records.swap(3, 4));
        },
    ),
    signed("systemd: a record since the quote", LOG, |scene, parts| {
        let later = record(Log::new().measured(11, "phase", "shutdown"));
        changed(scene, parts, |records| records.push(later));
    }),
];
