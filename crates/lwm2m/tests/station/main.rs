//! The station from outside: datagrams, instants and answers in, outputs out.

#![allow(clippy::unwrap_used)]

mod blocks;
mod client;
mod faces;
mod hostile;
mod keeping;
mod network;
mod reports;
mod sending;
mod session;
mod sleeping;
mod world;
