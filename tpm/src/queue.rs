//! The order in which jobs reach the TPM: by priority, then by arrival, at most `BOUND` of them.
//!
//! Pure: no thread, no lock, no clock. It must never reorder two jobs of one priority.

use std::collections::VecDeque;

/// How urgent a TPM job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A human is waiting for the answer to an approval.
    Approval,
    /// A call or a connection is waiting.
    Interactive,
    /// Renewals and housekeeping: nobody waits.
    Background,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A bounded queue with three priorities.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    approval: VecDeque<T>,
    interactive: VecDeque<T>,
    background: VecDeque<T>,
}

impl<T> Queue<T> {
    /// The most jobs that wait. A job is at most 16 commands; on a slow chip (200 ms each) 64 waiting jobs are over three
    /// minutes, which is longer than any caller waits: more would only hide the overload.
    pub(crate) const BOUND: usize = 64;

    pub(crate) fn new() -> Self {
        Self {
            approval: VecDeque::new(),
            interactive: VecDeque::new(),
            background: VecDeque::new(),
        }
    }

    /// Adds a job behind all others of its priority.
    pub(crate) fn push(&mut self, priority: Priority, job: T) -> Result<(), Full> {
        if self.len() >= Self::BOUND {
            return Err(Full);
        }
        self.push_unbounded(priority, job);
        Ok(())
    }

    /// Adds a job even to a full queue: for giving resources back, which must not be refused because others are waiting.
    pub(crate) fn push_unbounded(&mut self, priority: Priority, job: T) {
        match priority {
            Priority::Approval => self.approval.push_back(job),
            Priority::Interactive => self.interactive.push_back(job),
            Priority::Background => self.background.push_back(job),
        }
    }

    /// Takes the oldest job of the highest priority.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.approval
            .pop_front()
            .or_else(|| self.interactive.pop_front())
            .or_else(|| self.background.pop_front())
    }

    fn len(&self) -> usize {
        self.approval.len() + self.interactive.len() + self.background.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn approvals_pass_renewals_and_equals_keep_their_order() {
        let mut queue = Queue::new();
        queue.push(Priority::Background, "renew 1").unwrap();
        queue.push(Priority::Background, "renew 2").unwrap();
        queue.push(Priority::Interactive, "handshake").unwrap();
        queue.push(Priority::Approval, "approve 1").unwrap();
        queue.push(Priority::Approval, "approve 2").unwrap();
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        assert_eq!(
            order,
            ["approve 1", "approve 2", "handshake", "renew 1", "renew 2"]
        );
    }

    #[test]
    fn a_full_queue_refuses_work_but_takes_back_resources() {
        let mut queue = Queue::new();
        for job in 0..Queue::<usize>::BOUND {
            queue.push(Priority::Background, job).unwrap();
        }
        assert_eq!(queue.push(Priority::Approval, 1000), Err(Full));
        queue.push_unbounded(Priority::Approval, 2000);
        assert_eq!(queue.pop(), Some(2000));
        queue.pop().unwrap();
        assert_eq!(queue.push(Priority::Approval, 3000), Ok(()));
    }
}
