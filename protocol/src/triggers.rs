//! Files that run by themselves: the table that comes with Holdfast.
//!
//! The command line guards by it and the broker looks whether it has, so both have to have the same. Text only: who
//! needs it reads it.

/// The table.
pub const TABLE: &str = include_str!("../triggers.toml");
