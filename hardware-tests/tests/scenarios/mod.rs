//! The promises, each shown on real parts. A scenario is named for the promise that it shows.

mod asked;
mod at_rest;
mod attestation_refused;
mod attested;
mod chips;
mod cost;
mod ek_trust;
mod federated;
mod federation;
mod leases;
mod main_job;
mod managed;
mod measured;
mod mirrored;
mod receipts;
mod recorded;
mod recovered;
mod reference;
mod revoked;
mod rotated;
mod sealed;
mod upstream;
mod vaulted;
mod window;
