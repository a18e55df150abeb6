//! The command line: which commands there are and which module runs each.
//!
//! Exit codes are part of the interface: 0 done; 1 refused or rejected, the
//! problem or the findings on standard output; 2 could not run (usage, file,
//! network), the reason on standard error.

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::output::Outcome;
use crate::{
    account, admin, backup, batch, bench, config, conflict, demo, doctor, document, events,
    explain, health, iou, keys, lock, log, manual, operator, pay, post, receipt, serve, swap,
    transaction, unit,
};

/// A wallet server on which any address issues its own unit and pays with signed IOUs
#[derive(Parser)]
#[command(
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = EXIT_STATUS
)]
pub struct Cli {
    /// Answer in JSON: one document, or one a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_STATUS: &str = "Exit status: 0 done; 1 refused or rejected, or a goal of `bench` missed: the problem, the findings or the report on standard output (where `serve`, or `bench` on engines, \
    does not start: on standard error); \
    2 could not run, the reason on standard error.";

const SERVE_HELP: &str = "Every setting, also those without a flag: webwallet config show. Each has a \
    variable, such as WEBWALLET_DOMAIN or WEBWALLET_LIMITS_CONNECTIONS_MAX. Tokens are read from the \
    files that WEBWALLET_TOKEN_FILE (gRPC) and WEBWALLET_ADMIN_TOKEN_FILE (metrics and administration) name.";

const STORES_HELP: &str =
    "Give it the settings that the server has: the same flags, variables or file as to `serve`.";

#[derive(Subcommand)]
enum Command {
    /// Run the server, whole or one role of it
    #[command(after_help = SERVE_HELP)]
    Serve(config::Flags),
    /// See everything once: a server, payments, a block, a receipt, an audit
    Demo(demo::Demo),
    /// Make and show keys
    #[command(subcommand)]
    Key(keys::Command),
    /// Sign a payment and post it
    Pay(pay::Pay),
    /// Pay in your own unit
    Issue(pay::Issue),
    /// Sign and check IOUs in files
    #[command(subcommand)]
    Iou(iou::Command),
    /// Take what is locked for you
    Release(lock::Release),
    /// Take back what you have locked and nobody took in time
    Refund(lock::Refund),
    /// Swap two units over two servers
    #[command(subcommand)]
    Swap(swap::Command),
    /// Post signed IOUs as one request
    Post(post::Post),
    /// Post many requests, each on its own
    Batch(batch::Batch),
    /// What an address holds
    Balance(account::BalanceOf),
    /// The outputs of an account, newest first
    History(account::History),
    /// How much there is of a unit, and who has it
    Unit(unit::UnitOf),
    /// Puzzles and custom data, kept by a server
    #[command(subcommand)]
    Document(document::Command),
    /// What clears, record by record
    Events(events::Events),
    /// One record
    Transaction(transaction::Transaction),
    /// The proof that a record is in the log, to keep
    Receipt(receipt::ReceiptOf),
    /// Verify a receipt, without any server
    Verify(receipt::Verify),
    /// Verify a refusal `iou_already_cleared`, without any server
    VerifyConflict(conflict::VerifyConflict),
    /// One block of the log
    Block(log::Block),
    /// One stack of blocks
    Stack(log::Stack),
    /// The signed head of the log
    Checkpoint(log::Checkpoint),
    /// Operator: seal all that has cleared, now
    Seal(admin::Seal),
    /// Operator: sign the log with a new key from now on
    RotateLogKey(admin::RotateLogKey),
    /// Operator: is this machine, with these settings, fit to serve?
    Doctor(doctor::Doctor),
    /// Operator: are the stores whole, and do they say the same?
    #[command(after_help = STORES_HELP)]
    Fsck(operator::Fsck),
    /// Operator: make a lost store anew out of the other two
    #[command(after_help = STORES_HELP)]
    Rebuild(operator::Rebuild),
    /// Operator: copy the log and its key to a folder, beside the running server
    #[command(after_help = STORES_HELP)]
    Backup(backup::Backup),
    /// Operator: make a server out of a backup
    Restore(operator::Restore),
    /// Operator: bring all records from the data directory to Redis and Neo4j, or back
    #[command(after_help = STORES_HELP)]
    Migrate(operator::Migrate),
    /// Whether the server of these settings is ready
    Health(health::Health),
    /// Cause and cure of a refusal
    Explain(explain::Explain),
    /// Measure the server on this machine against its goals
    Bench(bench::Bench),
    /// Show the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print shell completions
    Completions(manual::Completions),
    /// Print the manual page
    Man(manual::Man),
    /// The fixed answer that `bench` calibrates with
    #[command(hide = true)]
    BenchFixed(bench::fixed::Fixed),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print every setting of `serve` and where it comes from
    Show(config::Flags),
}

impl Cli {
    /// Runs the command.
    pub fn run(&self) -> anyhow::Result<Outcome> {
        let json = self.json;
        match &self.command {
            Command::Serve(flags) => serve::run(flags),
            Command::Demo(demo) => demo.run(json),
            Command::Key(command) => keys::run(command, json).map(|()| Outcome::Done),
            Command::Pay(pay) => pay.run(json),
            Command::Issue(issue) => issue.run(json),
            Command::Iou(command) => iou::run(command, json),
            Command::Release(release) => release.run(json),
            Command::Refund(refund) => refund.run(json),
            Command::Swap(command) => swap::run(command, json),
            Command::Post(post) => post.run(json),
            Command::Batch(batch) => batch.run(json),
            Command::Balance(balance) => balance.run(json),
            Command::History(history) => history.run(json),
            Command::Unit(unit) => unit.run(json),
            Command::Document(command) => document::run(command, json),
            Command::Events(events) => events.run(json),
            Command::Transaction(transaction) => transaction.run(json),
            Command::Receipt(receipt) => receipt.run(json),
            Command::Verify(verify) => verify.run(json),
            Command::VerifyConflict(verify) => verify.run(json),
            Command::Block(block) => block.run(json),
            Command::Stack(stack) => stack.run(json),
            Command::Checkpoint(checkpoint) => checkpoint.run(json),
            Command::Seal(seal) => seal.run(json),
            Command::RotateLogKey(rotate) => rotate.run(json),
            Command::Doctor(doctor) => doctor.run(json),
            Command::Fsck(fsck) => fsck.run(json),
            Command::Rebuild(rebuild) => rebuild.run(json),
            Command::Backup(backup) => backup.run(json),
            Command::Restore(restore) => restore.run(json),
            Command::Migrate(migrate) => migrate.run(json),
            Command::Health(health) => health.run(json),
            Command::Explain(explain) => explain.run(json),
            Command::Bench(bench) => bench.run(json),
            Command::Config(ConfigCommand::Show(flags)) => config::show::run(flags, json),
            Command::Completions(completions) => completions.run(Cli::command()),
            Command::Man(man) => man.run(Cli::command()),
            Command::BenchFixed(fixed) => fixed.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    /// A flag that clashes would only be found by the person who uses it.
    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
