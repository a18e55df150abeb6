//! Logs: on standard error only, JSON lines where no person looks.
//!
//! A line that cannot be written (a full disk, a reader that has gone) is lost, and
//! nothing else: whoever logs goes on.
//!
//! No secret is ever logged: keys and tokens are types without `Debug`, and
//! requests are logged by route and hash, never by body.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Libraries that tell of their daily work; a filter may name them to hear it.
const QUIET: &str = "fjall=warn,lsm_tree=warn,neo4rs=warn";

/// Starts logging with a filter such as `info` or `warn,webwallet=debug`.
///
/// # Errors
/// When the filter cannot be read.
pub fn start(filter: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))
        .with_context(|| format!("`{filter}` is not a log filter"))?;
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Else what cannot be written is told to stderr by a macro that panics, in
        // the thread that clears as in any other.
        .log_internal_errors(false)
        .with_ansi(terminal);
    // A second start (the demo inside a test) keeps the first.
    let _ = if terminal {
        builder.with_target(false).compact().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).try_init()
    };
    Ok(())
}
