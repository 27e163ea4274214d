//! What follows from the facts of a rollout: whether it goes on, waits, stops, and who may take the update.
//!
//! The canaries' hold is proven, not waited for: a canary counts once it was verified on the update after it had run it for
//! as long as the hold. One that has gone silent therefore never counts, however long its SVID lives.

use holdfast_protocol::Timestamp;

use super::{Counted, Leave, Member, Part, Presence, Refused, Rollout, Showing, Shown, Stage};

/// Where a host stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The rollout does not mind it any more.
    Gone,
    /// It may not take the update.
    Held,
    /// It may take the update, and has not.
    Offered,
    /// It may, but was silent already when it was its turn.
    Absent,
    /// It runs the update.
    Runs(Shown),
    /// It might take or ran the update, and its evidence was refused.
    Refused,
    /// It might take or ran the update, and nothing is heard of it any more.
    Silent,
}

impl Condition {
    /// Whether that is what a bad update looks like.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Refused | Self::Silent)
    }
}

/// How far a rollout is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Too few canaries have shown the update.
    Canary,
    /// Enough have, and have to run it for longer.
    Waiting {
        /// From when on a canary's next attestation may end that.
        until: Timestamp,
    },
    /// All hosts may take it.
    General,
    /// It was stopped by failures.
    Braked,
    /// All hosts have it.
    Done,
    /// An operator ended it.
    Cancelled,
}

impl Phase {
    /// As a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Waiting { .. } => "waiting",
            Self::General => "general",
            Self::Braked => "braked",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Whether a host that has not shown the update may.
pub fn leave(stage: Stage, part: Part) -> Leave {
    match (stage, part) {
        (Stage::Canary, Part::Canary) | (Stage::General { .. }, _) => Leave::Given,
        (Stage::Canary, Part::General) => Leave::NotYet,
        (Stage::Braked { .. } | Stage::Done { .. } | Stage::Cancelled { .. }, _) => Leave::Braked,
    }
}

impl Stage {
    /// Whether nothing changes any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done { .. } | Self::Cancelled { .. })
    }

    /// Since when all hosts may take the update, or might until the brake.
    pub fn general_since(self) -> Option<Timestamp> {
        match self {
            Self::General { since } => Some(since),
            Self::Braked { general, .. } => general,
            Self::Canary | Self::Done { .. } | Self::Cancelled { .. } => None,
        }
    }
}

impl Member {
    /// It was verified, and its SVID ends `heard_until`, margin included.
    pub fn verified(&mut self, showing: Showing, heard_until: Timestamp, now: Timestamp) {
        let unbroken = self.refused.is_none() && now < self.heard_until;
        self.heard_until = self.heard_until.max(heard_until);
        match showing {
            Showing::Other => {
                // It runs something else, by an operator's leave. That mends its silence, and no refusal.
                self.shown = None;
                if self.refused.is_none() {
                    self.counted = Counted::Yes;
                }
            }
            Showing::Kept | Showing::Taken => {
                let since = self.shown.filter(|_| unbroken);
                let since = since.map_or(now, |shown| shown.since);
                self.shown = Some(Shown { since, last: now });
                self.refused = None;
                self.counted = Counted::Yes;
            }
        }
    }

    /// Its own evidence was refused.
    pub fn refused(&mut self, why: &str, now: Timestamp) {
        self.refused.get_or_insert_with(|| Refused {
            at: now,
            why: why.to_owned(),
        });
    }
}

impl Rollout {
    /// Since when a part may take the update, or might until the brake.
    pub fn given_since(&self, part: Part) -> Option<Timestamp> {
        match part {
            Part::Canary if !self.stage.is_over() => Some(self.started_at),
            Part::Canary => None,
            Part::General => self.stage.general_since(),
        }
    }

    /// Where one of its hosts stands.
    pub fn condition(&self, member: &Member, now: Timestamp) -> Condition {
        if member.presence == Presence::Gone {
            return Condition::Gone;
        }
        // A host of the group that has shown it already (an operator let it) is minded from then on.
        let given = self.given_since(member.part);
        let shown = member.shown.map(|shown| shown.since);
        let Some(since) = given.or(shown) else {
            return Condition::Held;
        };
        if member.refused.is_some() {
            return Condition::Refused;
        }
        let silent = now >= member.heard_until;
        match member.shown {
            Some(_) if silent => Condition::Silent,
            Some(shown) => Condition::Runs(shown),
            None if silent && member.heard_until > since => Condition::Silent,
            None if silent => Condition::Absent,
            None if leave(self.stage, member.part) != Leave::Given => Condition::Held,
            None => Condition::Offered,
        }
    }

    /// How many failures of a part count.
    pub fn failures(&self, part: Part, now: Timestamp) -> usize {
        self.failed(now)
            .filter(|member| member.part == part)
            .count()
    }

    /// Whose failures count.
    pub fn failed(&self, now: Timestamp) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| {
            member.counted == Counted::Yes && self.condition(member, now).is_failure()
        })
    }

    /// How many canaries have to run the update: no more than there are left that might.
    pub fn needed(&self, now: Timestamp) -> usize {
        let canaries = self.canaries().filter(|member| {
            let condition = self.condition(member, now);
            let pardoned = condition.is_failure() && member.counted == Counted::Pardoned;
            condition != Condition::Gone && !pardoned
        });
        let needed = usize::try_from(self.rules.needed.get()).unwrap_or(usize::MAX);
        // Without any canary nothing proves the update.
        needed.min(canaries.count()).max(1)
    }

    /// When the canaries that are sound will have run it for long enough, or have; the soonest first.
    fn holds(&self, now: Timestamp) -> Vec<(Timestamp, Shown)> {
        let sound = self
            .canaries()
            .filter_map(|member| match self.condition(member, now) {
                Condition::Runs(shown) => Some((shown.since + self.rules.hold, shown)),
                Condition::Gone
                | Condition::Held
                | Condition::Offered
                | Condition::Absent
                | Condition::Refused
                | Condition::Silent => None,
            });
        let mut holds: Vec<_> = sound.collect();
        holds.sort_by_key(|(until, _)| *until);
        holds
    }

    /// How many canaries were verified after they had run it for long enough.
    pub fn held(&self, now: Timestamp) -> usize {
        let holds = self.holds(now).into_iter();
        holds.filter(|(until, shown)| shown.last >= *until).count()
    }

    fn canaries(&self) -> impl Iterator<Item = &Member> {
        let members = self.members.iter();
        members.filter(|member| member.part == Part::Canary)
    }

    /// Whether the failures that count are as many as stop it.
    fn is_to_brake(&self, now: Timestamp) -> bool {
        let reached = |part, limit: std::num::NonZeroU32| {
            u32::try_from(self.failures(part, now)).unwrap_or(u32::MAX) >= limit.get()
        };
        reached(Part::Canary, self.rules.canary_limit)
            || reached(Part::General, self.rules.general_limit)
    }

    /// Where the facts lead from where it is.
    pub fn settled(&self, now: Timestamp) -> Stage {
        match self.stage {
            Stage::Canary | Stage::General { .. } if self.is_to_brake(now) => Stage::Braked {
                at: now,
                general: self.stage.general_since(),
            },
            Stage::Canary if self.held(now) >= self.needed(now) => Stage::General { since: now },
            Stage::General { .. } if self.is_everywhere(now) => Stage::Done { at: now },
            Stage::Canary
            | Stage::General { .. }
            | Stage::Braked { .. }
            | Stage::Done { .. }
            | Stage::Cancelled { .. } => self.stage,
        }
    }

    fn is_everywhere(&self, now: Timestamp) -> bool {
        self.members.iter().all(|member| {
            matches!(
                self.condition(member, now),
                Condition::Gone | Condition::Runs(_)
            )
        })
    }

    /// An operator lets a braked rollout go on, and knows of the failures that there are; whether it was braked.
    pub fn resume(&mut self, now: Timestamp) -> bool {
        let Stage::Braked { general, .. } = self.stage else {
            return false;
        };
        let known: Vec<_> = self.failed(now).map(|member| member.host).collect();
        let members = self.members.iter_mut();
        for member in members.filter(|member| known.contains(&member.host)) {
            member.counted = Counted::Pardoned;
        }
        self.stage = general.map_or(Stage::Canary, |since| Stage::General { since });
        true
    }

    /// How far it is, for people.
    pub fn phase(&self, now: Timestamp) -> Phase {
        match self.stage {
            Stage::Canary => {
                let holds = self.holds(now);
                let last = holds.get(self.needed(now).saturating_sub(1));
                last.map_or(Phase::Canary, |(until, _)| Phase::Waiting { until: *until })
            }
            Stage::General { .. } => Phase::General,
            Stage::Braked { .. } => Phase::Braked,
            Stage::Done { .. } => Phase::Done,
            Stage::Cancelled { .. } => Phase::Cancelled,
        }
    }
}
