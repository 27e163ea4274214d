//! The values that a log gives, going on from those that were there before it.
//!
//! systemd holds a lock while it extends a PCR and writes the record, so that the records have one order for all PCRs. The
//! file is read after the quote: what was measured since is behind the records that count.

use super::{Measured, Record};
use crate::tpm::{Digest, PcrIndex};

/// A PCR of a bank, as the log found it and as it was quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The PCR.
    pub pcr: PcrIndex,
    /// Its value before the log.
    pub start: Digest,
    /// Its value in the quote, in the same bank.
    pub quoted: Digest,
    /// Whether the log has to give it.
    pub duty: Duty,
}

/// Whether a log has to give a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// It has to.
    Must,
    /// It need not: the value before the log is a guess.
    May,
}

/// What a log gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// How many records, from the first on, count.
    pub records: usize,
    /// The registers whose quoted value they give.
    pub given: Vec<Register>,
    /// Those whose value they do not give, and need not.
    pub missed: Vec<Register>,
}

/// No records from the first on give all of the values that they have to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPrefix {
    /// A value never comes.
    #[error("no prefix of the records gives the quoted pcr {} of {:?}", .0.pcr.get(), .0.quoted.alg())]
    Never(Box<Register>),
    /// All of them come, but not after the same record.
    #[error("the records give the quoted pcrs, but not all after the same one")]
    Apart,
}

/// Replays a log: the prefix of its records that gives all that it must, and as much of the rest as one can.
///
/// # Errors
/// [`NoPrefix`] if there is none.
pub fn replay(records: &[Record], registers: Vec<Register>) -> Result<Replayed, NoPrefix> {
    let mut running: Vec<Running> = registers.into_iter().map(Running::new).collect();
    let mut best: Option<(usize, usize)> = None;
    // After no record, after the first, and so on.
    for (count, record) in std::iter::once(None)
        .chain(records.iter().map(Some))
        .enumerate()
    {
        for register in &mut running {
            register.extend(record);
        }
        let reached = running.iter().filter(|register| register.reached()).count();
        let lacks = |register: &Running| !register.reached() && register.is_due();
        // Of those that give as much the last: what others measured meanwhile is in it.
        if !running.iter().any(lacks) && best.is_none_or(|(_, most)| most <= reached) {
            best = Some((count, reached));
        }
    }
    let Some((count, _)) = best else {
        let never = running
            .into_iter()
            .find(|register| register.is_due() && !register.ever);
        return Err(never.map_or(NoPrefix::Apart, |never| {
            NoPrefix::Never(Box::new(never.register))
        }));
    };
    let mut replayed = Replayed {
        records: count,
        ..Replayed::default()
    };
    for Running { register, .. } in running {
        let mut again = Running::new(register);
        for record in records.iter().take(count) {
            again.extend(Some(record));
        }
        let list = if again.reached() {
            &mut replayed.given
        } else {
            &mut replayed.missed
        };
        list.push(again.register);
    }
    Ok(replayed)
}

/// A register as it is replayed.
struct Running {
    register: Register,
    value: Digest,
    ever: bool,
}

impl Running {
    fn new(register: Register) -> Self {
        let value = register.start.clone();
        let ever = value == register.quoted;
        Self {
            register,
            value,
            ever,
        }
    }

    fn extend(&mut self, record: Option<&Record>) {
        let Some(record) = record else { return };
        if record.measured != Measured::Pcr(self.register.pcr) {
            return;
        }
        if let Some(digest) = record.digest(self.value.alg()) {
            self.value = self.value.extended_by(digest);
            self.ever |= self.reached();
        }
    }

    fn reached(&self) -> bool {
        self.value == self.register.quoted
    }

    fn is_due(&self) -> bool {
        self.register.duty == Duty::Must
    }
}
