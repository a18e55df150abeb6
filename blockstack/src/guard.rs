//! The start-up guard: may blocks be sealed over these stores as they are?
//!
//! Healthy: checkpoint <= files <= intents, equal where both exist; the last
//! intent's records are in Graphstore; Hashtable has no record that Graphstore
//! has not. A log behind the intents is repaired by going on. Anything else
//! means that a store was lost, mixed up or restored from an older backup: then
//! nothing is sealed, because a second history would be signed over the first.
//!
//! A whole directory restored from an older backup agrees with itself: that
//! shows only to whoever holds a receipt or a checkpoint from before.

/// Heights that Hashtable is asked for at a time; and how far behind the newest block that
/// the others know one is looked for there.
pub const HEIGHTS_AT_ONCE: u64 = 500;

/// Why Hashtable may have other blocks than the log or Graphstore, and what to do.
pub const OTHER_BLOCKS: &str = "it is of another log, or another server goes on with this one; stop this server if that is so; else name another Redis (`--redis`), or move Hashtable aside, and run `webwallet rebuild hashtable`";

/// What the stores say of themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Stores {
    /// Height of the published block.
    pub(crate) published: Option<u64>,
    /// Has the log files, and no checkpoint?
    pub(crate) files: bool,
    /// Height of Graphstore's last intent.
    pub(crate) intent: Option<u64>,
    /// Is Graphstore's intent of the published height the published block?
    pub(crate) same: bool,
    /// Last record of Graphstore's last intent.
    pub(crate) intended: u64,
    /// Last record in Graphstore.
    pub(crate) number: u64,
    /// Highest record in Hashtable.
    pub(crate) stored: u64,
}

impl Stores {
    /// Why nothing may be sealed, in one sentence that names the store, the
    /// difference and the command.
    pub(crate) fn judge(&self) -> Result<(), String> {
        let Stores { published, files, intent, same, intended, number, stored } = self;
        let last = |height: &Option<u64>| match height {
            Some(height) => format!("up to {height}"),
            None => "none at all".to_owned(),
        };
        if *files && intent.is_none() {
            return Err(beginning_lost());
        }
        if published > intent {
            return Err(format!(
                "Graphstore is behind the published log: it knows of blocks {}, the log has them {}; run `webwallet rebuild graphstore`",
                last(intent),
                last(published)
            ));
        }
        if let Some(height) = published
            && !same
        {
            return Err(format!(
                "Graphstore and the published log are of two histories: block {height} is not the same in both; restore the one that does not belong here, or run `webwallet rebuild graphstore`"
            ));
        }
        if intended > number {
            return Err(format!(
                "Graphstore has lost records: it has them up to {number}, and intended a block up to {intended}; run `webwallet rebuild graphstore`"
            ));
        }
        if stored > number {
            return Err(format!(
                "Graphstore is behind Hashtable: its last record is {number}, Hashtable has record {stored}; run `webwallet rebuild graphstore`"
            ));
        }
        Ok(())
    }
}

/// Why no log may be begun where there was one: its key would sign a second history.
pub(crate) fn beginning_lost() -> String {
    "the log has files, but no checkpoint, and Graphstore knows of no block: restore the file `checkpoint` of the log, or the Graphstore that belongs to it, and run `webwallet fsck`; a log that is to begin anew needs a data directory and a key of its own".to_owned()
}

/// Why nothing may be sealed where Graphstore has no intent that can be followed.
pub(crate) fn intent_lost(height: u64, why: impl std::fmt::Display) -> String {
    format!(
        "Graphstore's intent of block {height} cannot be followed: {why}; run `webwallet rebuild graphstore`"
    )
}

/// Why nothing may be sealed where Hashtable has this block, and neither the log nor
/// Graphstore has.
pub(crate) fn blocks_lost(height: u64) -> String {
    format!(
        "Graphstore and the log are behind Hashtable: it has block {height}, which they have not, and which may be published; run `webwallet rebuild graphstore`"
    )
}

/// Why nothing may be sealed where Hashtable has another block of this height than the log or
/// Graphstore: two servers would sign two checkpoints of one size.
pub(crate) fn other_block(height: u64) -> String {
    format!("Hashtable has another block {height} than this server: {OTHER_BLOCKS}")
}

/// Why nothing may be sealed where Hashtable has another record of a number than
/// Graphstore, whose blocks end at record `sealed`.
pub(crate) fn two_histories(number: u64, sealed: u64) -> String {
    match number <= sealed {
        true => format!(
            "Hashtable and the log are of two histories: record {number} is not the same in both; restore the Hashtable that belongs to this log, or move it aside and run `webwallet rebuild hashtable`"
        ),
        false => format!(
            "Graphstore and Hashtable are of two histories: record {number} is not the same in both; restore the newer Graphstore, or move it aside and run `webwallet rebuild graphstore`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sealing over a store that went back would sign a second history.
    #[test]
    fn only_stores_that_agree_are_sealed_over() {
        let rows = [
            // published, intent, same, intended, number, stored, what the refusal names
            (None, None, false, 0, 0, 0, None),
            (None, None, false, 0, 7, 7, None),
            (None, Some(4), false, 7, 9, 9, None),
            (Some(3), Some(3), true, 7, 7, 7, None),
            (Some(3), Some(4), true, 7, 9, 8, None),
            (Some(3), None, false, 0, 9, 9, Some("none at all")),
            (Some(3), Some(2), true, 5, 9, 9, Some("blocks up to 2, the log has them up to 3")),
            (Some(3), Some(3), false, 7, 9, 9, Some("two histories: block 3")),
            (Some(3), Some(3), true, 7, 6, 6, Some("lost records: it has them up to 6")),
            (None, Some(0), false, 1, 0, 0, Some("intended a block up to 1")),
            (Some(3), Some(3), true, 7, 8, 9, Some("its last record is 8, Hashtable has record 9")),
        ];
        for (published, intent, same, intended, number, stored, refusal) in rows {
            let stores = Stores { published, files: false, intent, same, intended, number, stored };
            match (stores.judge(), refusal) {
                (Ok(()), None) => {}
                (Err(why), Some(part)) => {
                    assert!(why.contains(part) && why.contains("run `webwallet"), "{why}");
                }
                (judged, _) => panic!("{stores:?}: {judged:?}"),
            }
        }
        // A block whose files were being written has its intent.
        let begun =
            Stores { files: true, intent: Some(0), intended: 1, number: 1, ..Stores::default() };
        assert_eq!(begun.judge(), Ok(()));
        let lost = Stores { files: true, number: 7, stored: 7, ..Stores::default() };
        assert_eq!(lost.judge(), Err(beginning_lost()));
    }
}
