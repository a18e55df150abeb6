//! A service that is there although it cannot use its engine, told apart from one
//! that does not answer at all.
//!
//! Whoever looks for the fault then knows on which machine to look. Only the
//! engine's name travels to the public; the cause is for the service's own log.

use std::error::Error;

use tonic::{Status, metadata::MetadataValue};

/// The key under which the engine's name travels.
const KEY: &str = "webwallet-engine";

/// `UNAVAILABLE` because of the engine, such as `neo4j 5.26.30`: it does not answer,
/// or another process has taken it over.
pub fn missing(engine: &str, why: impl Into<String>) -> Status {
    let mut status = Status::unavailable(why);
    // A name that cannot travel is left out; the status says enough.
    if let Ok(name) = MetadataValue::try_from(engine) {
        status.metadata_mut().insert(KEY, name);
    }
    status
}

/// The engine that cannot be used, if a service said so.
pub fn missing_in(status: &Status) -> Option<&str> {
    status.metadata().get(KEY)?.to_str().ok()
}

/// A failure with its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain = format!("{chain}: {error}");
        cause = error.source();
    }
    chain
}
