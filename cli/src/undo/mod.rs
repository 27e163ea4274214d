//! Putting a project back as it was before a session.
//!
//! What is to be done is decided first ([`state`], pure), then done ([`restore`]). It must never touch what the
//! session did not change, nor what somebody changed since.

pub mod restore;
pub mod state;
#[cfg(test)]
mod tests;
