//! Where the log ends: what the next batch or intent is judged by.

use webwallet_ledger::{Hash, Record};

use crate::store::{Error, Head, Intent};

/// The end of the log, and whether it may be written to.
#[derive(Clone, Default)]
pub(super) struct Tip {
    pub(super) head: Head,
    /// `cleared` of the last intent.
    pub(super) sealed: u64,
    /// The last batch.
    pub(super) batch: Option<Hash>,
    /// Why nothing may be written any more.
    broken: Option<String>,
}

impl Tip {
    /// A batch has become durable; this is its last record.
    pub(super) fn committed(&mut self, batch: Hash, last: &Record) {
        self.batch = Some(batch);
        self.head.number = last.number;
        self.head.time = self.head.time.max(Some(last.time));
        if self.head.domain.is_none() {
            self.head.domain = Some(last.domain().to_owned());
        }
    }

    pub(super) fn intended(&mut self, intent: &Intent) {
        self.sealed = intent.cleared;
        self.head.intent = Some(intent.height);
        self.head.time = self.head.time.max(Some(intent.time));
    }

    /// What must not be done any more once a write has failed.
    pub(super) fn writable(&self) -> Result<(), Error> {
        self.broken.as_ref().map_or(Ok(()), |why| Err(Error::Broken(why.clone())))
    }

    /// Passes a write's outcome on; one that leaves the disk unknown is the last.
    pub(super) fn written<T>(&mut self, outcome: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::Broken(why)) = &outcome {
            self.broken = Some(why.clone());
        }
        outcome
    }
}
