//! A network in virtual time, with a culprit in it: nothing here opens a socket or reads a clock.
//!
//! `scenario` makes a path and a culprit from one number; `network`, `server` and `kernel` are the physics;
//! `session` is the live loop without the world; `judge` holds what must be true of every trace.

pub(crate) mod forger;
pub(crate) mod judge;
pub(crate) mod kernel;
pub(crate) mod network;
pub(crate) mod rng;
pub(crate) mod scenario;
pub(crate) mod server;
pub(crate) mod session;
pub(crate) mod tricks;
pub(crate) mod wire;

#[cfg(test)]
mod physics;
#[cfg(test)]
mod techniques;
#[cfg(test)]
mod tool;
