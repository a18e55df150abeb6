//! What every engine of Blockstack promises: where the log's files go, and
//! where its head does.
//!
//! `tests/all/stores.rs` shows it. Calls block; whoever calls may wait.

use std::io;

use webwallet_ledger::tile::TileId;

/// The files of the log, which are tiles and entry bundles, and its published checkpoint.
///
/// No file is trusted when it is read: whoever uses it compares it with a
/// checkpoint. The checkpoint is **trusted**: what it says was published was.
pub trait Store: Send + Sync + 'static {
    /// Stores files.
    ///
    /// - **Durable** when it returns `Ok`: all of them, synced, and their names.
    /// - **Immutable**: the content of a file follows from its name. A repeat
    ///   writes the same bytes again and is no error.
    /// - **Atomic** for each file, not for the whole call: a file is there whole
    ///   or not at all. After an error any of them may be; send the same again.
    fn put(&self, files: &[(TileId, Vec<u8>)]) -> io::Result<()>;

    /// The bytes of a file; `None` where there is none.
    fn get(&self, tile: TileId) -> io::Result<Option<Vec<u8>>>;

    /// Whether there is a file of this name, as long as one of its width is.
    fn has(&self, tile: TileId) -> io::Result<bool>;

    /// Whether there is any file at all.
    fn has_any(&self) -> io::Result<bool>;

    /// Forgets the partial forms of these tiles that are wider than they are, whether there
    /// are any or not; of a width of 0, all. Need not be durable.
    fn remove_wider(&self, tiles: &[TileId]) -> io::Result<()>;

    /// Forgets every partial form of these full tiles, whether there are any or
    /// not. Need not be durable.
    fn remove_partials(&self, full: &[TileId]) -> io::Result<()>;

    /// The checkpoint that was published last: a signed note.
    fn checkpoint(&self) -> io::Result<Option<String>>;

    /// Publishes a checkpoint in place of the one before: compare-and-swap.
    ///
    /// **Durable** when it returns [`Published::Yes`], **atomic**, and
    /// **idempotent**: publishing what is published is a yes. After an error it
    /// may be published or not; send the same again.
    fn publish(&self, before: Option<&str>, checkpoint: &str) -> io::Result<Published>;
}

/// How publishing ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published {
    /// It is the head: by this call, or by an earlier one with the same note.
    Yes,
    /// Another one is: somebody else publishes here. Nothing was written.
    Moved,
}
