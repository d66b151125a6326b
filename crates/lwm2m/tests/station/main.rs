//! The station from outside: datagrams, instants and answers in, outputs out.

#![allow(clippy::unwrap_used)]

mod blocks;
mod hostile;
mod reports;
mod sending;
mod session;
mod sleeping;
mod world;
