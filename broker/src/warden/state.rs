//! What is to be done to this host's sessions and secrets when it may act no more, or again: pure.
//!
//! Orders of the attestor and the end of a certificate differ in what follows: after an order leases die in the TPM and the
//! human lets each session go on; a certificate that comes late gives back what was frozen for the want of it. It must
//! never let go on what an order has stopped.

use std::collections::BTreeSet;

use holdfast_attest_host::Hold;
use holdfast_protocol::audit::HeldBecause;
use holdfast_protocol::id::SessionId;

/// How far the host is stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Level {
    /// It has not acted since the broker started: there is nothing to stop.
    #[default]
    Idle,
    /// It may act.
    Free,
    /// It has no certificate.
    Bare,
    /// Its attestor stopped it.
    Stopped,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// No secret and no identity is given out, and what is held of them goes.
    Withhold,
    /// The vaults' opened keys go too.
    ForgetKeys,
    /// Every session stands still.
    Freeze,
    /// It is recorded why; the acts above wait for no record.
    RecordHeld(HeldBecause, String),
    /// The leases that the TPM would still open die in it.
    EndEpoch,
    /// It is recorded that the host may act.
    RecordFreed,
    /// Identities and secrets are given out again.
    GiveLeave,
    /// These sessions go on.
    Thaw(BTreeSet<SessionId>),
}

/// Where the host stands, and what was frozen with it.
#[derive(Clone, Debug, Default)]
pub struct Warden {
    level: Level,
    because: Option<HeldBecause>,
    frozen: BTreeSet<SessionId>,
}

impl Warden {
    /// What follows from the host's standing as it is now.
    pub fn on_hold(&mut self, hold: Option<&Hold>) -> Vec<Act> {
        let Some(hold) = hold else {
            return self.freed();
        };
        let (level, because) = match hold {
            Hold::Banned { .. } => (Level::Stopped, HeldBecause::Banned),
            Hold::Revoked { .. } => (Level::Stopped, HeldBecause::Revoked),
            Hold::GraceOver { .. } => (Level::Bare, HeldBecause::GraceOver),
            Hold::NotAttested => (Level::Bare, HeldBecause::NotAttested),
            // A ban that was lifted holds until the host has attested.
            Hold::Unbanned => return vec![],
        };
        let told = Act::RecordHeld(because, hold.to_string());
        match (self.level, level) {
            (Level::Idle, Level::Bare | Level::Idle | Level::Free) => vec![],
            (Level::Idle | Level::Free | Level::Bare, Level::Stopped) => {
                self.level = level;
                self.because = Some(because);
                // The human lets each of them go on, now that somebody has stopped them.
                self.frozen.clear();
                vec![
                    Act::Withhold,
                    Act::ForgetKeys,
                    Act::Freeze,
                    told,
                    Act::EndEpoch,
                ]
            }
            (Level::Free, Level::Bare) => {
                self.level = level;
                self.because = Some(because);
                vec![Act::Withhold, Act::Freeze, told]
            }
            (Level::Stopped, Level::Stopped) if self.because != Some(because) => {
                self.because = Some(because);
                vec![told]
            }
            // What was stopped stays so until the host has attested.
            (Level::Stopped | Level::Bare | Level::Free, _) => vec![],
        }
    }

    /// A session was frozen because the host may do nothing.
    pub fn on_frozen(&mut self, session: SessionId) {
        if self.level == Level::Bare {
            self.frozen.insert(session);
        }
    }

    fn freed(&mut self) -> Vec<Act> {
        let frozen = std::mem::take(&mut self.frozen);
        self.because = None;
        match std::mem::replace(&mut self.level, Level::Free) {
            Level::Free => vec![],
            Level::Idle => vec![Act::GiveLeave],
            Level::Bare => vec![Act::RecordFreed, Act::GiveLeave, Act::Thaw(frozen)],
            Level::Stopped => vec![Act::RecordFreed, Act::GiveLeave],
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_protocol::Timestamp;

    use super::*;

    fn session(number: u8) -> SessionId {
        SessionId::from_random([number; 16])
    }

    fn banned() -> Hold {
        Hold::Banned {
            why: "lost".to_owned(),
        }
    }

    fn revoked() -> Hold {
        Hold::Revoked { why: String::new() }
    }

    fn over() -> Hold {
        Hold::GraceOver {
            ended: Timestamp::from_secs(1),
        }
    }

    fn free() -> Warden {
        let mut warden = Warden::default();
        assert_eq!(warden.on_hold(Some(&Hold::NotAttested)), []);
        assert_eq!(warden.on_hold(None), [Act::GiveLeave]);
        warden
    }

    #[test]
    fn an_order_refuses_first_freezes_next_and_then_kills_leases() {
        for (hold, because) in [
            (banned(), HeldBecause::Banned),
            (revoked(), HeldBecause::Revoked),
        ] {
            let mut warden = free();
            let told = Act::RecordHeld(because, hold.to_string());
            let acts = warden.on_hold(Some(&hold));
            assert_eq!(
                acts,
                [
                    Act::Withhold,
                    Act::ForgetKeys,
                    Act::Freeze,
                    told,
                    Act::EndEpoch
                ]
            );
            assert_eq!(warden.on_hold(Some(&hold)), []);
        }
    }

    #[test]
    fn after_a_ban_no_session_goes_on_by_itself() {
        let mut warden = free();
        warden.on_hold(Some(&banned()));
        warden.on_frozen(session(1));
        assert_eq!(warden.on_hold(Some(&Hold::Unbanned)), []);
        assert_eq!(warden.on_hold(None), [Act::RecordFreed, Act::GiveLeave]);
    }

    #[test]
    fn after_the_grace_what_was_frozen_for_it_goes_on() {
        let mut warden = free();
        let told = Act::RecordHeld(HeldBecause::GraceOver, over().to_string());
        assert_eq!(
            warden.on_hold(Some(&over())),
            [Act::Withhold, Act::Freeze, told]
        );
        warden.on_frozen(session(1));
        let thawed = Act::Thaw(BTreeSet::from([session(1)]));
        assert_eq!(
            warden.on_hold(None),
            [Act::RecordFreed, Act::GiveLeave, thawed]
        );
    }

    #[test]
    fn an_order_after_the_grace_outweighs_it() {
        let mut warden = free();
        warden.on_hold(Some(&over()));
        warden.on_frozen(session(1));
        assert!(warden.on_hold(Some(&revoked())).contains(&Act::EndEpoch));
        assert_eq!(warden.on_hold(Some(&over())), []);
        assert_eq!(warden.on_hold(None), [Act::RecordFreed, Act::GiveLeave]);
    }
}
