//! What the approval window, the tray and `holdfast-approve` have in common: they ask the broker
//! what waits for this human, show it, and carry the answer back.
//!
//! Nothing here decides or proves: a click is no proof of a human, and the broker judges every
//! answer. This library must never name Tauri, so that the terminal program links none of it.
#![forbid(unsafe_code)]

pub mod client;
pub mod environment;
pub mod state;
pub mod terminal;
pub mod view;
pub mod visible;
pub mod words;
