//! JOB 4: every tool call of every agent, whatever channel it comes by, is decided here.
//!
//! `normalize` turns an agent's words into a [`ToolCall`](holdfast_protocol::call::ToolCall) with typed effects, `world`
//! judges where those effects land, the policy crate says what may happen, [`state`] keeps the questions that humans are
//! asked, and [`task`] is the shell around it. It must never let a call through whose decision is not durably recorded,
//! and never open a TPM, a socket or a file of its own.
#![forbid(unsafe_code)]

pub mod card;
pub mod hook;
pub mod normalize;
pub mod shell;
pub mod state;
pub mod task;
pub mod world;
