//! The session's way out: requests by name, secrets put in on the way. It must never show a session a secret.
