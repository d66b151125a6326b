//! The program: the server (`serve`, `demo`), and a client of its interfaces (`app`, `product`, `device`, `command`,
//! `feed`, `push`). `codec` needs neither; `verify`, `backup` and `restore` look at a data directory.
//!
//! The client commands speak REST only, as any application does, and never touch the server's data. How a run ended is
//! told by its exit code, see [`failure`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
mod backup;
mod check_config;
mod cli;
mod client;
mod codec;
mod command;
mod demo;
mod device;
mod failure;
mod feed;
mod options;
mod output;
mod product;
mod push;
mod serve;
mod simulate;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

/// Many small, short-lived pieces, made on one thread and freed on another: the system's allocator has threads wait for each
/// other there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    // One TLS provider for everything in the process. It fails only if one is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
