//! The statements, as they are sent.
//!
//! Each is a file of its own, so that an operator can read it, and try it by
//! hand with EXPLAIN.

use neo4rs::{Query, query};

use super::bolt::statement;

/// The only Shard: one writer numbers everything.
pub(super) const SHARD: &str = "main";
/// The form of the data: from 2 on each unit says what it comes to. A graph of a
/// newer form is not touched.
pub(super) const FORMAT: i64 = 2;

impl Statements {
    /// Locks the Shard, and answers where the graph stands then.
    pub(super) fn settle_query(&self) -> Query {
        query(&self.settle).param("shard", SHARD)
    }
}

macro_rules! statements {
    ($($name:ident)*) => {
        /// All statements but those that open a graph.
        pub(super) struct Statements {
            $(pub(super) $name: String,)*
        }

        impl Statements {
            /// Without the comments.
            pub(super) fn new() -> Statements {
                Statements {
                    $($name: statement(include_str!(concat!(stringify!($name), ".cypher"))),)*
                }
            }
        }
    };
}

statements! {
    head settle fence accounts_new accounts_counted transactions accounts_moved
    heads ious numbered named cleared accounts_of outputs
    locks_made locks_used locks locks_of
    unit units units_counted holders accounts_after locks_after formed
    intend intents trim trimmed faults rehearsal
}
