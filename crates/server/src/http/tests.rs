//! The interface as applications meet it: a whole server on free ports, spoken to over sockets.

mod auth;
mod commands;
mod data;
mod device_changes;
mod devices;
mod feed;
mod products;
mod subscriptions;
mod wire;
pub(crate) mod world;
