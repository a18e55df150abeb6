//! Logs: on standard error only, JSON lines where no person looks.
//!
//! A line that cannot be written (a full disk, a reader that has gone) is lost, and
//! nothing else: whoever logs goes on. One thread writes them, so a reader that has
//! stalled (a stuck log driver, `| less`) holds up no other.
//!
//! No secret is ever logged: keys and tokens are types without `Debug`, and
//! requests are logged by route and hash, never by body.

use std::io::IsTerminal as _;

use anyhow::{Context as _, ensure};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Libraries that tell of their daily work; a filter may name them to hear it.
const QUIET: &str = "fjall=warn,lsm_tree=warn,neo4rs=warn";

/// Lines that wait for their reader; more are lost. At 300 bytes a line 5 MB.
const WAITING_MAX: usize = 16_384;

/// Logging, until this ends; that gives a reader a second for what is left.
pub struct Logging {
    until: Option<WorkerGuard>,
    lost: ErrorCounter,
}

impl Drop for Logging {
    fn drop(&mut self) {
        // A reader that has stalled will not read the rest, and to complain of that to
        // standard output, as the library does, may wait for the same reader.
        if self.lost.dropped_lines() > 0 {
            std::mem::forget(self.until.take());
        }
    }
}

/// Starts logging with a filter such as `info` or `warn,webwallet=debug`.
///
/// # Errors
/// When the filter cannot be read, or would log nothing because a level is misspelt.
#[must_use = "when this ends, nothing is logged any more"]
pub fn start(filter: &str) -> anyhow::Result<Logging> {
    check(filter)?;
    let filter = EnvFilter::try_new(format!("{QUIET},{filter}"))
        .with_context(|| format!("`{filter}` is not a log filter"))?;
    let terminal = std::io::stderr().is_terminal();
    let writing = NonBlockingBuilder::default().buffered_lines_limit(WAITING_MAX).lossy(true);
    let (lines, until) = writing.thread_name("logs").finish(std::io::stderr());
    let lost = lines.error_counter();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
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
    Ok(Logging { until: Some(until), lost })
}

/// To the library a word alone that is no level is a module, and then nothing of the others is
/// logged.
fn check(filter: &str) -> anyhow::Result<()> {
    for part in filter.split(',') {
        let is_level = !part.is_empty() && part.parse::<LevelFilter>().is_ok();
        ensure!(
            is_level || part.contains(['=', '[']),
            "`{part}` is no level to log at: off, error, warn, info, debug, trace, or MODULE=LEVEL"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operator whose log says nothing learns of no trouble.
    #[test]
    fn a_misspelt_level_is_no_module() {
        for filter in ["info", "OFF", "warn,webwallet=debug", "webwallet=debug", "3", "[span]=info"]
        {
            check(filter).expect(filter);
        }
        for filter in ["inof", "", "warn, webwallet", "webwallet", "info,debgu", "verbose"] {
            let refused = check(filter).expect_err(filter).to_string();
            assert!(refused.contains("error, warn, info, debug, trace"), "{refused}");
        }
    }
}
