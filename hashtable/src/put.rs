//! Puts on their way to the writer of an engine: queued, and taken in groups.

use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use webwallet_ledger::Hash;

use crate::{
    store::{Document, Error, Shelf},
    value,
};

/// Puts waiting for the writer; more wait outside.
pub(crate) const QUEUE_MAX: usize = 4_096;
/// A group is closed at so many documents, or so many bytes.
const GROUP_DOCUMENTS_MAX: usize = 1_024;
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// One call of [`crate::Store::put`].
pub(crate) struct Put {
    pub(crate) entries: Vec<Entry>,
    pub(crate) done: oneshot::Sender<Result<(), Error>>,
    /// Where its caller waits.
    pub(crate) runtime: Handle,
}

/// A document as it is kept.
pub(crate) struct Entry {
    pub(crate) shelf: Shelf,
    pub(crate) name: Hash,
    /// 0 if it is no record.
    pub(crate) number: u64,
    /// Checksum and bytes.
    pub(crate) value: Vec<u8>,
}

impl Entry {
    pub(crate) fn new(document: &Document) -> Entry {
        let (shelf, name, number) = (document.shelf(), document.name(), document.number());
        Entry { shelf, name, number, value: value::of(document) }
    }
}

impl Put {
    /// Hands documents to the writer, and waits until it says what became of them; an
    /// error of its own if there is no writer.
    pub(crate) async fn send(
        documents: &[Document],
        queue: &mpsc::Sender<Put>,
        gone: fn() -> Error,
    ) -> Result<(), Error> {
        // Hashed here, in the caller's task; the writer only writes.
        let entries = documents.iter().map(Entry::new).collect();
        let (done, outcome) = oneshot::channel();
        let put = Put { entries, done, runtime: Handle::current() };
        queue.send(put).await.map_err(|_| gone())?;
        outcome.await.map_err(|_| gone())?
    }

    /// What has arrived by now, after a first one and up to a limit.
    pub(crate) fn arrived(first: Put, puts: &mut mpsc::Receiver<Put>) -> Vec<Put> {
        let (mut documents, mut bytes) = (first.entries.len(), first.bytes());
        let mut group = vec![first];
        while documents < GROUP_DOCUMENTS_MAX
            && bytes < GROUP_BYTES_MAX
            && let Ok(put) = puts.try_recv()
        {
            documents += put.entries.len();
            bytes += put.bytes();
            group.push(put);
        }
        group
    }

    /// Its documents that have a number.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.number != 0)
    }

    /// Tells its caller, who may not wait any more: then nobody needs to know.
    pub(crate) fn answer(self, outcome: Result<(), Error>) {
        let _ = self.done.send(outcome);
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(|entry| entry.value.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group that grew with the crowd would make everybody wait, and hold all of
    /// it in memory.
    #[tokio::test]
    async fn a_group_is_bounded() {
        let entry = |bytes| {
            let (shelf, name, value) = (Shelf::Own, Hash([0; 32]), vec![0; bytes]);
            Entry { shelf, name, number: 0, value }
        };
        let put = |entries| Put { entries, done: oneshot::channel().0, runtime: Handle::current() };
        let (queue, mut puts) = mpsc::channel(QUEUE_MAX);
        for _ in 0..2 * GROUP_DOCUMENTS_MAX {
            queue.send(put(vec![entry(1)])).await.expect("room");
        }
        let group = Put::arrived(put(vec![entry(1)]), &mut puts);
        assert_eq!(group.len(), GROUP_DOCUMENTS_MAX);
        let group = Put::arrived(put(vec![entry(GROUP_BYTES_MAX)]), &mut puts);
        assert_eq!(group.len(), 1);
    }
}
