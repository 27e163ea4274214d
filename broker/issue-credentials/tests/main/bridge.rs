//! The session's way out, by real sockets, real servers and the real git.

mod attacks;
mod direct;
mod git;
mod git_service;
mod model;
mod proxy;
mod servers;
mod world;
