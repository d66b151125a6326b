//! The gateway from outside: real sockets, a device that speaks in bytes, foreign clients, a store in memory.

mod commands;
mod connecting;
mod foreign;
mod memory;
mod rig;
mod rubbish;
mod store;
mod subscribers;
