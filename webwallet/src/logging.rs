//! Logs: on standard error only, JSON lines where no person looks.
//!
//! A line that cannot be written (a full disk, a reader that has gone) is lost, and
//! nothing else: whoever logs goes on. One thread writes them, so a reader that has
//! stalled (a stuck log driver, `| less`) holds up no other. What one place of the code says
//! again and again is left out and counted: with a store away, every call would be a line.
//!
//! No secret is ever logged: keys and tokens are types without `Debug`, and
//! requests are logged by route and hash, never by body.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use parking_lot::{Mutex, MutexGuard};
use tracing::callsite::Identifier;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry};

/// Libraries that tell of their daily work; a filter may name them to hear it.
const QUIET: &str = "fjall=warn,lsm_tree=warn,neo4rs=warn";

/// Lines that wait for their reader; more are lost. At 300 bytes a line 5 MB.
const WAITING_MAX: usize = 16_384;

/// Lines of one place of the code in one second; more are counted.
const LINES_MAX: u64 = 10;
const SECOND: Duration = Duration::from_secs(1);
const LEFT_OUT: &str = "more of the same was left out";

/// Logging, until this ends; that gives a reader a second for what is left.
pub struct Logging {
    until: Option<WorkerGuard>,
    lost: ErrorCounter,
    sparing: Sparing,
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.sparing.tell(|_| true);
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
    let layer = fmt::layer()
        .with_writer(lines)
        // Else what cannot be written is told to stderr by a macro that panics, in
        // the thread that clears as in any other.
        .log_internal_errors(false)
        .with_ansi(terminal);
    let layer = match terminal {
        true => layer.with_target(false).compact().boxed(),
        false => layer.json().flatten_event(true).with_current_span(false).boxed(),
    };
    let sparing = Sparing::default();
    // A second start (the demo inside a test) keeps the first.
    let _ = registry().with(layer).with(filter).with(sparing.clone()).try_init();
    Ok(Logging { until: Some(until), lost, sparing })
}

/// Leaves out what one place of the code says too often, and tells how much that was with the
/// next line of any place. What somebody asks to be told in detail is told whole.
#[derive(Clone, Default)]
struct Sparing(Arc<Mutex<HashMap<Identifier, Said>>>);

/// What one place has said in a second.
struct Said {
    place: &'static Metadata<'static>,
    since: Instant,
    lines: u64,
}

impl Sparing {
    fn places(&self) -> MutexGuard<'_, HashMap<Identifier, Said>> {
        self.0.lock()
    }

    /// Tells what was left out of these places, which begin anew.
    fn tell(&self, of: impl Fn(&Said) -> bool) {
        let ended: Vec<_> = self.places().extract_if(|_, said| of(said)).collect();
        for (_, Said { place, lines, .. }) in ended {
            let (left_out, file, line) =
                (lines.saturating_sub(LINES_MAX), place.file(), place.line());
            match *place.level() {
                _ if left_out == 0 => {}
                // Heard wherever the place itself is.
                Level::ERROR => tracing::error!(left_out, file, line, "{LEFT_OUT}"),
                _ => tracing::warn!(left_out, file, line, "{LEFT_OUT}"),
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Sparing {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let (place, now) = (event.metadata(), Instant::now());
        if *place.level() > Level::INFO {
            return true;
        }
        self.tell(|said| now.duration_since(said.since) >= SECOND);
        let mut places = self.places();
        let new = Said { place, since: now, lines: 0 };
        let said = places.entry(place.callsite()).or_insert(new);
        said.lines += 1;
        said.lines <= LINES_MAX
    }
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
