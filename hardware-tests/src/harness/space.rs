//! What the kernel's resource manager (`/dev/tpmrm0`) would add to the commands of one client.
//!
//! Around every command it loads and then saves each context that the client has open
//! (Linux, `drivers/char/tpm/tpm2-space.c`): a transient object costs ContextLoad, ContextSave and FlushContext, a
//! session ContextLoad and ContextSave. swtpm has no such manager, so its cost would go unseen.
//!
//! This is a model. It must never send anything.

use std::collections::BTreeSet;

use super::wire::{Lifetime, Request, Response};

/// `TPM_HT_HMAC_SESSION`, `TPM_HT_POLICY_SESSION`, `TPM_HT_TRANSIENT`.
const HMAC_SESSION: u32 = 0x02;
const POLICY_SESSION: u32 = 0x03;
const TRANSIENT: u32 = 0x80;

/// What one client has open in the TPM.
#[derive(Debug, Default)]
pub(super) struct Space {
    objects: BTreeSet<u32>,
    sessions: BTreeSet<u32>,
}

impl Space {
    /// Follows one exchange; how many commands the resource manager would have added to it.
    pub(super) fn follow(&mut self, request: &Request<'_>, response: &Response<'_>) -> u64 {
        let loaded = self.objects.len() + self.sessions.len();
        if response.code == 0 {
            self.close(request);
            self.open(request, response);
        }
        let saved = 2 * self.objects.len() + self.sessions.len();
        u64::try_from(loaded + saved).unwrap_or(u64::MAX)
    }

    fn open(&mut self, request: &Request<'_>, response: &Response<'_>) {
        let makes_handle = matches!(
            request.code.name(),
            "CreatePrimary"
                | "Load"
                | "LoadExternal"
                | "CreateLoaded"
                | "ContextLoad"
                | "HashSequenceStart"
                | "HMAC_Start"
                | "StartAuthSession"
        );
        let Some(handle) = response.handle().filter(|_| makes_handle) else {
            return;
        };
        match handle >> 24 {
            TRANSIENT => self.objects.insert(handle),
            HMAC_SESSION | POLICY_SESSION => self.sessions.insert(handle),
            _neither => false,
        };
    }

    fn close(&mut self, request: &Request<'_>) {
        for authorization in &request.authorizations {
            if authorization.lifetime == Lifetime::EndsHere {
                self.sessions.remove(&authorization.session);
            }
        }
        match request.code.name() {
            "FlushContext" => {
                let mut parameters = request.parameters;
                if let Some(handle) = parameters.u32() {
                    self.objects.remove(&handle);
                    self.sessions.remove(&handle);
                }
            }
            // A saved session is no longer loaded; a saved object still is.
            "ContextSave" => {
                if let Some(handle) = request.handles.first() {
                    self.sessions.remove(handle);
                }
            }
            "SequenceComplete" => {
                if let Some(handle) = request.handles.first() {
                    self.objects.remove(handle);
                }
            }
            "EventSequenceComplete" => {
                if let Some(handle) = request.handles.get(1) {
                    self.objects.remove(handle);
                }
            }
            _keeps_all => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: u32 = 0x0200_0000;
    const OBJECT: u32 = 0x8000_0000;

    fn message(tag: u16, code: u32, words: &[u32]) -> Vec<u8> {
        let mut bytes = tag.to_be_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(code.to_be_bytes());
        words
            .iter()
            .for_each(|word| bytes.extend(word.to_be_bytes()));
        bytes
    }

    fn follow(space: &mut Space, request: &[u8], response: &[u8]) -> u64 {
        space.follow(
            &Request::parse(request).unwrap(),
            &Response::parse(response).unwrap(),
        )
    }

    #[test]
    fn object_and_session_cost_what_the_kernel_does_around_each_command() {
        let mut space = Space::default();
        let start = message(0x8001, 0x176, &[0x4000_0007, 0x4000_0007]);
        let load = message(0x8001, 0x157, &[0x8100_0001]);
        let clock = message(0x8001, 0x181, &[]);
        let done = message(0x8001, 0, &[]);
        assert_eq!(follow(&mut space, &clock, &done), 0);
        // Saved afterwards.
        assert_eq!(
            follow(&mut space, &start, &message(0x8001, 0, &[SESSION])),
            1
        );
        // The session loaded; then the object saved and flushed, the session saved.
        assert_eq!(
            follow(&mut space, &load, &message(0x8001, 0, &[OBJECT])),
            1 + 3
        );
        assert_eq!(follow(&mut space, &clock, &done), 2 + 3);
        // Both loaded, the session alone saved.
        assert_eq!(
            follow(&mut space, &message(0x8001, 0x165, &[OBJECT]), &done),
            2 + 1
        );
    }

    #[test]
    fn session_that_does_not_continue_is_gone_only_after_success() {
        let mut space = Space::default();
        follow(
            &mut space,
            &message(0x8001, 0x176, &[0, 0]),
            &message(0x8001, 0, &[SESSION]),
        );
        let mut unseal = message(0x8002, 0x15e, &[0x8100_0001, 9, SESSION]);
        unseal.extend([0, 0, 0, 0, 0]);
        let refused = message(0x8001, 0x99d, &[]);
        assert_eq!(follow(&mut space, &unseal, &refused), 1 + 1);
        assert_eq!(follow(&mut space, &unseal, &message(0x8002, 0, &[0])), 1);
        assert!(space.sessions.is_empty());
    }
}
