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
    without_huge_pages();
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

/// With huge pages memory comes in pieces of 2 MiB, each resident as a whole however little of it is used: of a small server
/// that is a quarter. A large one saves some CPU with them; it has them if the allocator's own variable asks for them.
fn without_huge_pages() {
    if std::env::var_os("MIMALLOC_ALLOW_THP").is_none() {
        // Where the kernel cannot do that, the server takes some MiB more.
        let _unchanged = rustix::thread::disable_transparent_huge_pages(true);
    }
}
