//! The load driver: plays devices, application and receiver against a real server, through its public ports only.
//!
//! `cargo run --release -p bench -- cycle` starts `target/release/downlink` on a fresh data directory and measures whole
//! cycles: create over REST, PUBLISH to a device, PUBACK and result, pushes SENT, DELIVERED, SUCCESSFUL received. Beside
//! it, in turns, the same messages go through the floor: bare servers of the same libraries with one synced log.
//! The driver is one thread, so that the server has the other core of a small machine to itself.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod backlog;
mod connections;
mod cycle;
mod floor;
mod instructions;
mod overload;
mod pages;
mod plot;
mod push;
mod receivers;
mod report;
mod sleeping;
mod soak;
mod world;

use clap::{Parser, Subcommand};

/// The server's, so that driver and floor are measured with the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Measures Downlink from outside", version)]
struct Cli {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Whole cycles: closed loop, or open loop at a rate
    Cycle(cycle::Options),
    /// A large backlog: creates while it grows, restart, cycles beside it, draining
    Backlog(backlog::Options),
    /// Many connected devices: memory, connects, reports, and cycles beside them
    Connections(connections::Options),
    /// Five times what the server sustains, at each of its doors: what is accepted, refused, lost; memory; recovery
    Overload(overload::Options),
    /// Pages of long lists, the first and deep ones, and creates beside somebody who reads them
    Pages(pages::Options),
    /// Pushes alone, and beside them a bare client
    Push(push::Options),
    /// Receivers that are good, bad, down, fast, weak
    Receivers(receivers::Options),
    /// Many LwM2M devices that sleep: memory, registrations, and from waking to the first byte of a command
    Sleeping(sleeping::Options),
    /// All devices lose their connections at once and come back within seconds
    Storm(overload::storm::Options),
    /// A long time at a steady rate: what stays level, what grows
    Soak(soak::Options),
    /// Instructions that a cycle costs the server
    Instructions(instructions::Options),
    /// A chart of one figure, as SVG
    Plot(plot::Options),
    /// The bare client of `push`
    #[command(hide = true)]
    PushFloor(push::BareOptions),
    /// Devices of `sleeping`
    #[command(hide = true)]
    SleepingFleet(sleeping::FleetOptions),
    #[command(hide = true)]
    FloorServer(floor::Options),
}

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    match Cli::parse().what {
        What::Cycle(options) => runtime.block_on(cycle::run(options)),
        What::Backlog(options) => runtime.block_on(backlog::run(options)),
        What::Connections(options) => runtime.block_on(connections::run(options)),
        What::Overload(options) => runtime.block_on(overload::run(options)),
        What::Pages(options) => runtime.block_on(pages::run(options)),
        What::Push(options) => runtime.block_on(push::run(options)),
        What::Receivers(options) => runtime.block_on(receivers::run(options)),
        What::Sleeping(options) => runtime.block_on(sleeping::run(options)),
        What::SleepingFleet(options) => runtime.block_on(sleeping::run_fleet(options)),
        What::Storm(options) => runtime.block_on(overload::storm::run(options)),
        What::Soak(options) => runtime.block_on(soak::run(options)),
        What::Instructions(options) => runtime.block_on(instructions::run(options)),
        What::Plot(options) => plot::run(&options),
        What::PushFloor(options) => runtime.block_on(push::run_bare(options)),
        What::FloorServer(options) => runtime.block_on(floor::run(options)),
    }
}
