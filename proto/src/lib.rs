//! The wire between services: messages, clients and servers generated from
//! `proto/`, and the one [`Link`](link::Link) under every client.
//!
//! There are no rules here. What a message means stands in its `.proto` file;
//! what may be cleared stands in `webwallet_ledger`.
//!
//! Make clients and servers with [`hashtable::client`], [`hashtable::server`]
//! and their twins in [`graphstore`] and [`blockstack`], not with the generated
//! constructors: the limit on message sizes is set there, once.

pub mod engine;
pub mod incoming;
pub mod link;
mod panic;
mod rejection;
pub mod serve;
pub mod stream;
pub mod tls;
pub mod token;

pub use rejection::UnreadableRejection;

/// The largest message any client or server of ours sends or accepts: 16 MiB.
/// More is answered with `OUT_OF_RANGE`. A record is at most 60 KiB; this is
/// room for a page of them.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The files of `proto/`, compiled: an encoded `FileDescriptorSet`.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Hashtable: keeps immutable documents by their hash.
pub mod hashtable {
    use crate::{MESSAGE_BYTES_MAX, link::Link};

    /// Documents in one put, hashes in one get. Checking a thousand records takes
    /// about 5 ms of the thread that answers; nobody needs more at once.
    pub const DOCUMENTS_MAX: usize = 1_000;

    /// What to do where Hashtable has another record of a number than Graphstore.
    pub const OTHER_RECORDS: &str = "restore the one that belongs to the other, or move the wrong one aside and run `webwallet rebuild graphstore` or `webwallet rebuild hashtable`";

    /// `webwallet.hashtable.v1`, as generated.
    #[allow(missing_docs, unused_qualifications, clippy::all)]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/webwallet.hashtable.v1.rs"));
    }

    /// A client with our limits. Cloning it is cheap; every call needs its own
    /// clone or a `&mut`.
    pub fn client(link: Link) -> v1::hashtable_client::HashtableClient<Link> {
        v1::hashtable_client::HashtableClient::new(link)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The gRPC server of a service, with our limits.
    pub fn server<S: v1::hashtable_server::Hashtable>(
        service: S,
    ) -> v1::hashtable_server::HashtableServer<S> {
        v1::hashtable_server::HashtableServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// Graphstore: decides what clears, and numbers it.
pub mod graphstore {
    use crate::{MESSAGE_BYTES_MAX, link::Link};

    /// Items in one answer of a list, at most: a page of the gateway and one more,
    /// by which it learns whether there is another page.
    pub const LIST_MAX: u32 = 1_001;

    /// `webwallet.graphstore.v1`, as generated.
    #[allow(missing_docs, unused_qualifications, clippy::all)]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/webwallet.graphstore.v1.rs"));
    }

    /// A client with our limits. Cloning it is cheap; every call needs its own
    /// clone or a `&mut`.
    pub fn client(link: Link) -> v1::graphstore_client::GraphstoreClient<Link> {
        v1::graphstore_client::GraphstoreClient::new(link)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The gRPC server of a service, with our limits.
    pub fn server<S: v1::graphstore_server::Graphstore>(
        service: S,
    ) -> v1::graphstore_server::GraphstoreServer<S> {
        v1::graphstore_server::GraphstoreServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// Blockstack: proves what was cleared.
pub mod blockstack {
    use std::time::Duration;

    use crate::{MESSAGE_BYTES_MAX, link::Link};

    /// How long a receipt is waited for at most: less than any link's deadline.
    pub const WAIT_MAX: Duration = Duration::from_secs(8);

    /// Why nothing clears over a log that has not been compared with the stores: one of them
    /// may have been put back. It ends by itself.
    pub const NOT_COMPARED: &str =
        "the log has not been compared with the stores yet; it is as soon as both answer";

    impl v1::StatusReply {
        /// Why nothing may clear over this log, if nothing may.
        pub fn held(&self) -> Option<&str> {
            self.read_only.as_deref().or((!self.compared).then_some(NOT_COMPARED))
        }
    }

    /// `webwallet.blockstack.v1`, as generated.
    #[allow(missing_docs, unused_qualifications, clippy::all)]
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/webwallet.blockstack.v1.rs"));
    }

    /// A client with our limits. Cloning it is cheap; every call needs its own
    /// clone or a `&mut`.
    pub fn client(link: Link) -> v1::blockstack_client::BlockstackClient<Link> {
        v1::blockstack_client::BlockstackClient::new(link)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// The gRPC server of a service, with our limits.
    pub fn server<S: v1::blockstack_server::Blockstack>(
        service: S,
    ) -> v1::blockstack_server::BlockstackServer<S> {
        v1::blockstack_server::BlockstackServer::new(service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}
