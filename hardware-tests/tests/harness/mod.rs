//! The suite's tools hold what they promise. Judged by programs that are not ours: tpm2-tools, openssl.
//!
//! A scenario can only be as true as these.

mod daemon;
mod git_remote;
mod model_server;
mod proxy;
mod swtpm;
