//! A stolen lease: what a thief of its file can make of it who speaks to the very TPM.

use data_encoding::HEXLOWER;
use holdfast_proof::tpm::{PcrSelection, TimeField};
use serde_json::Value;

use super::{PASSWORD, Straight, handle, sized};

/// TPM_EO_EQ and TPM_EO_UNSIGNED_LT (Part 2 §6.9).
const EQ: u16 = 0x0000;
const UNSIGNED_LT: u16 = 0x0005;

/// A lease out of the file that keeps it.
pub struct Stolen {
    public: Vec<u8>,
    private: Vec<u8>,
    /// The index of the revocation epoch, as a handle.
    epoch_index: u32,
    /// What was true when it was made.
    pub then: Conditions,
}

/// The values that a policy is satisfied with.
#[derive(Clone)]
pub struct Conditions {
    pub deadline_ms: u64,
    /// `resetCount` and `restartCount`.
    pub counts: (u32, u32),
    pub epoch: u64,
    pub pcrs: PcrSelection,
    /// Empty: whatever the PCRs have now.
    pub pcr_digest: Vec<u8>,
}

/// One command of a lease's policy, and the value that it is given.
pub enum Assertion {
    Before(u64),
    SameBoot(u64),
    Epoch(u64),
    Pcrs(PcrSelection, Vec<u8>),
}

impl Stolen {
    /// Out of its JSON; `epoch_index` as a handle.
    pub fn read(lease: &str, epoch_index: u32) -> Self {
        let lease: Value = serde_json::from_str(lease).unwrap();
        let bytes = |value: &Value| HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap();
        let count = |value: &Value| u32::try_from(value.as_u64().unwrap()).unwrap();
        let then = &lease["conditions"];
        Self {
            public: bytes(&lease["blob"]["public"]),
            private: bytes(&lease["blob"]["private"]),
            epoch_index,
            then: Conditions {
                deadline_ms: then["deadline_ms"].as_u64().unwrap(),
                counts: (count(&then["reset_count"]), count(&then["restart_count"])),
                epoch: then["epoch"].as_u64().unwrap(),
                pcrs: serde_json::from_value(then["pcrs"].clone()).unwrap(),
                pcr_digest: bytes(&then["pcr_digest"]),
            },
        }
    }
}

impl Conditions {
    /// A lease's policy, command by command.
    pub fn policy(&self) -> Vec<Assertion> {
        let (reset, restart) = self.counts;
        let counts = u64::from(reset) << 32 | u64::from(restart);
        vec![
            Assertion::Before(self.deadline_ms),
            Assertion::SameBoot(counts),
            Assertion::Epoch(self.epoch),
            Assertion::Pcrs(self.pcrs.clone(), self.pcr_digest.clone()),
        ]
    }
}

impl Straight {
    /// TPM2_Unseal, authorized by a password; the response code where that is refused.
    pub fn unseal_by_password(&mut self, stolen: &Stolen, password: &[u8]) -> Result<Vec<u8>, u32> {
        let object = self.load(&stolen.private, &stolen.public);
        let result = self.unseal(object, PASSWORD, password);
        self.flush(object);
        result
    }

    /// TPM2_Unseal, authorized by a policy session that made these assertions; the first response code that refuses.
    pub fn unseal_by_policy<'a>(
        &mut self,
        stolen: &Stolen,
        policy: impl IntoIterator<Item = &'a Assertion>,
    ) -> Result<Vec<u8>, u32> {
        let object = self.load(&stolen.private, &stolen.public);
        let session = self.policy_session();
        let result = policy
            .into_iter()
            .try_for_each(|assertion| self.assert(stolen, session, assertion))
            .and_then(|()| self.unseal(object, session, b""));
        // A policy session that was used is gone unless it was to continue, as ours are.
        self.flush(session);
        self.flush(object);
        result
    }

    fn unseal(&mut self, object: u32, session: u32, password: &[u8]) -> Result<Vec<u8>, u32> {
        const UNSEAL: u32 = 0x15e;
        let answer = self.send(UNSEAL, &[object], Some((session, password)), &[])?;
        let size = usize::try_from(handle(&answer)).unwrap();
        // The parameters' size, the data's size, the data.
        Ok(answer[6..4 + size].to_vec())
    }

    fn assert(&mut self, stolen: &Stolen, session: u32, assertion: &Assertion) -> Result<(), u32> {
        const POLICY_NV: u32 = 0x149;
        const POLICY_COUNTER_TIMER: u32 = 0x16d;
        const POLICY_PCR: u32 = 0x17f;
        let answer = match assertion {
            Assertion::Before(deadline) => {
                let parameters = comparison(*deadline, TimeField::Clock.offset(), UNSIGNED_LT);
                self.send(POLICY_COUNTER_TIMER, &[session], None, &parameters)
            }
            Assertion::SameBoot(counts) => {
                let parameters = comparison(*counts, TimeField::ResetCount.offset(), EQ);
                self.send(POLICY_COUNTER_TIMER, &[session], None, &parameters)
            }
            Assertion::Epoch(epoch) => {
                let parameters = comparison(*epoch, 0, EQ);
                let handles = [stolen.epoch_index, stolen.epoch_index, session];
                self.send(POLICY_NV, &handles, Some((PASSWORD, b"")), &parameters)
            }
            Assertion::Pcrs(pcrs, digest) => {
                let parameters = [sized(digest), pcrs.encode()].concat();
                self.send(POLICY_PCR, &[session], None, &parameters)
            }
        };
        answer.map(drop)
    }
}

/// An operand, where it is compared, and how.
fn comparison(operand: u64, offset: u16, operation: u16) -> Vec<u8> {
    let mut parameters = sized(&operand.to_be_bytes());
    parameters.extend(offset.to_be_bytes());
    parameters.extend(operation.to_be_bytes());
    parameters
}
