//! The command line as a whole: one noun, one file.

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::failure::Failure;
use crate::{app, backup, check_config, codec, command, demo, device, feed, product, push, serve, verify};

/// A command server for fleets of IoT devices.
#[derive(Debug, Parser)]
#[command(name = "downlink", version, about, max_term_width = 110, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const EXIT_CODES: &str = "Exit codes: 0 done; 1 failed, or the server said no; 2 asked for wrongly; \
    3 the server cannot be reached; 4 timed out waiting.";

#[derive(Debug, Subcommand)]
enum Verb {
    /// Runs the server until it is told to stop
    Serve(serve::Args),
    /// Shows it all in one terminal: server, simulated device and receiver in this process
    Demo(demo::Args),
    /// Resolves the configuration as `serve` would, and says what is wrong with it
    CheckConfig(check_config::Args),
    /// Looks at a store that no server has open, and says what of it is not as it must be
    Verify(verify::Args),
    /// Copies the store into one file, while its server runs
    Backup(backup::BackupArgs),
    /// Makes a data directory of a backup
    Restore(backup::RestoreArgs),
    /// Makes another master key, and seals all secrets anew under it
    RotateKey(backup::RotateArgs),
    /// Applications that may use the server (over the admin interface)
    App(app::Args),
    /// Products of an application: what its devices can do (over the admin interface)
    Product(product::Args),
    /// Devices of an application
    Device(device::Args),
    /// Commands to devices
    Command(command::Args),
    /// Product codecs: tries one on bytes and commands, without a server
    Codec(codec::Args),
    /// The changes of an application's commands, in order, without a receiver
    Feed(feed::Args),
    /// Pushes that did not reach their receiver, and the receivers (over the admin interface)
    Push(push::Args),
}

/// A runtime of so many threads; 0: as the machine has cores to spare.
pub(crate) fn runtime(threads: usize) -> Result<Runtime, Failure> {
    downlink_server::runtime::build(threads).map_err(|error| Failure::Failed(format!("no runtime: {error}")))
}

impl Cli {
    pub(crate) fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::Serve(args) => serve::run(args),
            Verb::Demo(args) => runtime(0)?.block_on(demo::run(args)),
            Verb::CheckConfig(args) => check_config::run(&args),
            Verb::Verify(args) => verify::run(args),
            Verb::Backup(args) => backup::run(&args),
            Verb::Restore(args) => backup::run_restore(&args),
            Verb::RotateKey(args) => backup::run_rotate(&args),
            Verb::App(args) => runtime(1)?.block_on(app::run(args)),
            Verb::Product(args) => runtime(1)?.block_on(product::run(args)),
            Verb::Device(args) => runtime(1)?.block_on(device::run(args)),
            Verb::Command(args) => runtime(1)?.block_on(command::run(args)),
            Verb::Codec(args) => codec::run(&args),
            Verb::Feed(args) => runtime(1)?.block_on(feed::run(args)),
            Verb::Push(args) => runtime(1)?.block_on(push::run(args)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }

    /// Flags of all commands and arguments of one may not share a name: that shows only when they are read.
    #[test]
    fn deep_verbs_can_be_read() {
        for line in [
            "verify --data-dir d",
            "backup --data-dir d --to f",
            "restore --from f --data-dir d",
            "rotate-key --data-dir d",
            "rotate-key --data-dir d --config f --give-up",
            "verify --file f --output json",
            "app key create a --overlap 60",
            "app key list a --output json",
            "app key delete a k",
            "app push-tls set a --ca f --no-check-name --certificate f --key f",
            "app push-tls show a",
            "app push-tls clear a",
            "product put a f --id p --codec c --codec-kind binary --check-paras off --work-mode psm --response-wait 9 --secure",
            "product put a f --work-mode edrx --cycle 41 --app i:s",
            "product get a p --output json",
            "product list a",
            "product delete a p",
            "codec test --codec f",
            "codec test --codec f --bytes 00 --topic t --output json",
            "codec test --codec f --service s --method m --paras {} --mid 7 --has-more",
            "codec test --codec f --json {}",
        ] {
            let words = std::iter::once("downlink").chain(line.split(' '));
            assert!(super::Cli::try_parse_from(words).is_ok(), "{line}");
        }
        for line in [
            "verify",
            "verify --data-dir d --file f",
            "app push-tls set a",
            "app push-tls set a --key f",
            "app push-tls set a --no-check-name",
            "product put a",
            "product put a f --work-mode edrx",
            "codec test --bytes 00",
            "codec test --codec f --bytes 00 --json {}",
            "codec test --codec f --service s",
            "codec test --codec f --service s --method m --mid 0",
            "codec test --codec f --topic t",
        ] {
            let words = std::iter::once("downlink").chain(line.split(' '));
            assert!(super::Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
