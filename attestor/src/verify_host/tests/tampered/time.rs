//! Rows on host, nonce, connection, and on what must not go back.

use holdfast_proof::evidence::{ChannelBinding, Nonce};
use holdfast_proof::tpm::{NvAttributes, NvIndex, Safe};
use holdfast_protocol::Timestamp;
use holdfast_protocol::evidence::Check;

use super::{Row, signed, travelling};
use crate::registry::{NonceStanding, Standing};
use crate::software_tpm::{Parts, SIGNING, Scene, SoftwareTpm, node_key};

const NONCE: Check = Check::Nonce;
const BINDING: Check = Check::Binding;
const CLOCK: Check = Check::Clock;
const FIRMWARE: Check = Check::Firmware;
const COUNTER: Check = Check::AuditCounter;

pub(super) const ROWS: &[Row] = &[
    signed("host: revoked", Check::Registration, |scene, _| {
        let (at, why) = (Timestamp::from_secs(1), "lost".to_owned());
        scene.host.standing = Standing::Revoked { at, why };
    }),
    signed(
        "nonce: used, expired, or of another host",
        NONCE,
        |scene, _| {
            scene.standing = NonceStanding::Unknown;
        },
    ),
    travelling("nonce: empty", NONCE, |_, all| all.nonce.clear()),
    travelling("nonce: truncated", NONCE, |_, all| all.nonce.truncate(31)),
    travelling("nonce: a byte more", NONCE, |_, all| all.nonce.push(0)),
    travelling("nonce: one bit", BINDING, |_, all| all.nonce[0] ^= 1),
    travelling("nonce: another that is good", BINDING, |_, all| {
        all.nonce = vec![9; 32];
    }),
    signed("exporter: of another connection", BINDING, |scene, _| {
        scene.channel = ChannelBinding::new([8; 32]);
    }),
    signed(
        "everything: of an earlier attestation",
        BINDING,
        |scene, parts| {
            let (key, csr) = node_key(SIGNING);
            let (tpm, policy) = (&scene.tpm, &scene.policy);
            let stale = Nonce::new([7; 32]);
            *parts = Scene::parts_of(tpm, policy, &stale, &scene.channel, &key, csr);
            parts.nonce = scene.nonce.as_bytes().to_vec();
        },
    ),
    travelling("event log: a byte more", BINDING, |_, all| {
        all.event_log.push(0);
    }),
    travelling("event log: a byte less", BINDING, |_, all| {
        all.event_log.pop();
    }),
    travelling("event log: one bit", BINDING, |_, all| {
        all.event_log[0] ^= 1;
    }),
    travelling("event log: none", BINDING, |_, all| all.event_log.clear()),
    travelling("csr: of another key", BINDING, |_, all| {
        all.csr = node_key(SIGNING).1;
    }),
    travelling("csr: a byte behind it", BINDING, |_, all| all.csr.push(0)),
    travelling("csr: truncated", BINDING, |_, all| {
        all.csr.pop();
    }),
    travelling("csr: empty", BINDING, |_, all| all.csr.clear()),
    travelling("csr and event log exchanged", BINDING, |_, all| {
        std::mem::swap(&mut all.csr, &mut all.event_log);
    }),
    signed("clock: back within a reset", CLOCK, |scene, _| {
        scene.host.last.clock.clock_ms += 1;
    }),
    signed("resetCount: back", CLOCK, |scene, _| {
        scene.host.last.clock.reset_count += 1;
    }),
    signed(
        "resetCount: back, with the clock ahead",
        CLOCK,
        |scene, _| {
            scene.host.last.clock.reset_count += 1;
            scene.host.last.clock.clock_ms -= 1000;
        },
    ),
    signed("restartCount: back", CLOCK, |scene, _| {
        scene.host.last.clock.restart_count += 1;
    }),
    signed(
        "clock: back over a reset that the tpm calls safe",
        CLOCK,
        |scene, _| {
            scene.host.last.clock.reset_count -= 1;
            scene.host.last.clock.clock_ms += 1;
        },
    ),
    signed(
        "clock: back further than an unclean stop can put it",
        CLOCK,
        |scene, parts| {
            scene.host.last.clock.reset_count -= 1;
            scene.host.last.clock.clock_ms += (1 << 22) + 1;
            each(parts, |statement| statement.clock.safe = Safe::No);
        },
    ),
    signed(
        "clock: back and unsafe, but without a reset",
        CLOCK,
        |scene, parts| {
            scene.host.last.clock.clock_ms += 1;
            each(parts, |statement| statement.clock.safe = Safe::No);
        },
    ),
    signed(
        "firmwareVersion: refused by policy",
        FIRMWARE,
        |_, parts| {
            each(parts, |statement| statement.firmware = 0xdead);
        },
    ),
    signed("counter: behind", COUNTER, |scene, _| {
        scene.host.last.audit_counter = 6;
    }),
    signed("counter: back to nothing", COUNTER, |scene, parts| {
        scene.tpm.audit_value = 0;
        recertify(scene, parts);
    }),
    signed("counter: another index", COUNTER, |scene, parts| {
        scene.tpm.audit_counter.index = NvIndex::new(0x0180_4802).unwrap();
        recertify(scene, parts);
    }),
    signed("counter: other attributes", COUNTER, |scene, parts| {
        let old = scene.tpm.audit_counter.attributes;
        scene.tpm.audit_counter.attributes = old.with(NvAttributes::OWNER_WRITE);
        recertify(scene, parts);
    }),
    signed(
        "counter: an ordinary index with the same bytes",
        COUNTER,
        |scene, parts| {
            scene.tpm.audit_counter.attributes = NvAttributes::from_bits(0x2204_0004).unwrap();
            recertify(scene, parts);
        },
    ),
    signed("counter: of another size", COUNTER, |scene, parts| {
        scene.tpm.audit_counter.data_size = 16;
        recertify(scene, parts);
    }),
    signed(
        "counter: of another tpm, enrolled alike",
        COUNTER,
        |scene, _| {
            let mut other = SoftwareTpm::new().audit_counter;
            other.auth_policy = Some(crate::software_tpm::digest(1));
            scene.host.enrolled.audit_counter = other;
        },
    ),
    signed("counter: a name that is a handle", COUNTER, |_, parts| {
        let body = &mut parts.audit_counter_certified.body;
        let contents = body.split_off(36);
        *body = [&[0, 4, 1, 0x80, 0x48, 1][..], &contents].concat();
    }),
    signed("counter: not the whole", COUNTER, |scene, parts| {
        let name = scene.tpm.audit_counter.name().to_sized();
        parts.audit_counter_certified.body = [&name[..], &[0, 0, 0, 4, 0, 0, 0, 5]].concat();
    }),
    signed("counter: more than the whole", COUNTER, |scene, parts| {
        let name = scene.tpm.audit_counter.name().to_sized();
        let more = [0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5, 0];
        parts.audit_counter_certified.body = [&name[..], &more].concat();
    }),
    signed("counter: from another offset", COUNTER, |_, parts| {
        parts.audit_counter_certified.body[37] = 1;
    }),
    signed("counter: empty", COUNTER, |scene, parts| {
        let name = scene.tpm.audit_counter.name().to_sized();
        parts.audit_counter_certified.body = [&name[..], &[0, 0, 0, 0]].concat();
    }),
];

fn each(parts: &mut Parts, change: fn(&mut crate::software_tpm::Statement)) {
    change(&mut parts.quote);
    change(&mut parts.node_key_certified);
    change(&mut parts.audit_counter_certified);
}

/// Certifies the TPM's counter as it is now, for the same nonce and connection.
fn recertify(scene: &Scene, parts: &mut Parts) {
    let extra = parts.audit_counter_certified.extra_data.clone();
    parts.audit_counter_certified = scene.tpm.certify_counter(&extra);
}
