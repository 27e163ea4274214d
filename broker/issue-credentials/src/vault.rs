//! Long-lived secrets at rest, and the leases they leave it under. It must never keep an opened secret.
