//! The interface as applications meet it: a whole server on free ports, spoken to over sockets.

mod auth;
mod batch_tasks;
mod cancel_tasks;
mod commands;
mod crowded;
mod data;
mod description;
mod device_changes;
mod devices;
mod feed;
mod invoke;
mod products;
mod shadow;
mod subscriptions;
mod wire;
pub(crate) mod world;
