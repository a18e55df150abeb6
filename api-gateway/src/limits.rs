//! Every limit of the gateway's listener, in one place.
//!
//! These say how much of this machine one peer, or all peers together, may
//! hold. They are the operator's to set, and none of them changes what clears:
//! the sizes which decide that are fixed by the protocol and stand in
//! `webwallet_ledger::limits`. `/.well-known/webwallet` shows both kinds.
//!
//! The defaults let a busy server on one machine run without a configuration
//! file. A value of zero means what its line says, never "unlimited" by
//! accident.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use webwallet_ledger::limits::BODY_BYTES_MAX;

/// How much one listener takes on.
///
/// Read from the configuration file; an unknown key is refused there, so that
/// a misspelt limit is not silently the default one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections, all peers together. One more is not accepted: it waits
    /// in the kernel's queue until one closes. Each takes a file descriptor, so
    /// keep it below `ulimit -n`.
    pub connections_max: usize,
    /// Open connections of one IP address; 0 = as many as there are. Behind a
    /// reverse proxy all clients share the proxy's address.
    pub connections_per_client_max: usize,
    /// Requests a second of one IP address, with a burst of the same size, which
    /// is begun over half a second, evenly; 0 = as many as come. One more
    /// is refused as `rate_limited`; from twice as many on the refusal takes a
    /// second. A line of a batch after the first is a request, and waits for its
    /// turn.
    pub requests_per_second_per_client_max: u32,
    /// IOUs a second that clear of one source, with a burst of the same size;
    /// 0 = as many as come. One more is refused as `rate_limited`, in a rehearsal
    /// too, which counts for nobody. Each gateway counts for itself.
    pub ious_per_second_per_source_max: u32,
    /// The same in one unit, whoever pays.
    pub ious_per_second_per_issuer_max: u32,
    /// Bytes of a request's headers. HTTP/2: the list as RFC 9113 counts it.
    /// HTTP/1: start line and headers as sent; there the limit is the size of
    /// the read buffer, so it is rounded up to a power of two from 8,192 on.
    pub header_bytes_max: u32,
    /// Headers of one HTTP/1 request.
    pub headers_max: usize,
    /// Requests in flight on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// Milliseconds from the first wait for a request's headers to their end;
    /// for HTTP/1 also the time a connection may be idle, if shorter than
    /// `idle_timeout_ms`; for HTTP/2, to the end of its first request's.
    pub header_read_timeout_ms: u64,
    /// Milliseconds from the headers of a request to the end of its body; of a
    /// batch, from the beginning of each of its requests to its end, and as long
    /// between two of them.
    pub body_read_timeout_ms: u64,
    /// Milliseconds a connection stays open without a request, or with an answer that
    /// is not read; one of more than 4 KiB must also be read at 64 KiB a second from
    /// then on.
    pub idle_timeout_ms: u64,
    /// Milliseconds from the headers of a request to its answer.
    pub request_timeout_ms: u64,
    /// Milliseconds that requests in flight have to end after a shutdown began.
    pub drain_timeout_ms: u64,
    /// Requests waiting to be parsed and verified. One more is refused as
    /// `overloaded`. Each holds its body, at most 128 KiB.
    pub verify_queue_max: NonZeroUsize,
    /// Bytes of bodies held, of all requests together, from the first byte read
    /// to the answer. One more is refused as `overloaded`. Less than the
    /// 128 KiB of the largest body counts as that.
    pub body_bytes_in_flight_max: usize,
    /// Bytes of answers to questions (above 4 KiB each) that are made and not read yet,
    /// all together. An answer that comes as it is made (events, a batch) counts as
    /// 192 KiB until its end; those of events have three quarters of the room, 1,024 of
    /// them by default. One more is refused as `overloaded`; lines of a batch above 2 KiB
    /// wait for room, and it breaks off where a request's time goes by. Less than the 32 MiB
    /// that hold any answer counts as that.
    pub answer_bytes_in_flight_max: usize,
    /// Bytes of a document that anybody may have kept by `PUT /document`; one that is
    /// larger is refused as `too_large`. 0 = none is kept.
    pub document_bytes_max: usize,
    /// Threads that parse and verify; 0 = one for each CPU of the process.
    pub verify_threads: usize,
    /// Public keys remembered as good, so that their order is not checked again
    /// (about 300 bytes each).
    pub keys_remembered_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections_max: 4_096,
            connections_per_client_max: 0,
            requests_per_second_per_client_max: 0,
            ious_per_second_per_source_max: 0,
            ious_per_second_per_issuer_max: 0,
            header_bytes_max: 16_384,
            headers_max: 64,
            http2_streams_max: 128,
            header_read_timeout_ms: 15_000,
            body_read_timeout_ms: 10_000,
            idle_timeout_ms: 60_000,
            request_timeout_ms: 30_000,
            drain_timeout_ms: 10_000,
            verify_queue_max: NonZeroUsize::new(4_096).unwrap_or(NonZeroUsize::MIN),
            body_bytes_in_flight_max: 64 * 1024 * 1024,
            answer_bytes_in_flight_max: 256 * 1024 * 1024,
            document_bytes_max: 16_384,
            verify_threads: 0,
            keys_remembered_max: 65_536,
        }
    }
}

/// A day: whatever takes longer was meant otherwise.
const TIMEOUT_MS_MAX: u64 = 86_400_000;

impl Limits {
    /// Each limit by its name, its value, and what it may be set to: outside, a limit
    /// stops the server later, or leaves its clients without answers. Whoever makes
    /// limits without a configuration is not held to it.
    pub fn ranges(&self) -> [(&'static str, u64, RangeInclusive<u64>); 19] {
        let size = |bytes: usize| bytes as u64;
        let timeouts = 100..=TIMEOUT_MS_MAX;
        [
            ("connections_max", size(self.connections_max), 1..=1_000_000),
            ("connections_per_client_max", size(self.connections_per_client_max), 0..=1_000_000),
            (
                "requests_per_second_per_client_max",
                self.requests_per_second_per_client_max.into(),
                0..=100_000_000,
            ),
            (
                "ious_per_second_per_source_max",
                self.ious_per_second_per_source_max.into(),
                0..=100_000_000,
            ),
            (
                "ious_per_second_per_issuer_max",
                self.ious_per_second_per_issuer_max.into(),
                0..=100_000_000,
            ),
            ("header_bytes_max", self.header_bytes_max.into(), 1_024..=1 << 20),
            // Room for each of them is taken for every connection.
            ("headers_max", size(self.headers_max), 1..=10_000),
            ("http2_streams_max", self.http2_streams_max.into(), 1..=10_000),
            ("header_read_timeout_ms", self.header_read_timeout_ms, timeouts.clone()),
            ("body_read_timeout_ms", self.body_read_timeout_ms, timeouts.clone()),
            ("idle_timeout_ms", self.idle_timeout_ms, timeouts),
            // Whoever is answered before it was committed does not know what became of it.
            ("request_timeout_ms", self.request_timeout_ms, 1_000..=TIMEOUT_MS_MAX),
            ("drain_timeout_ms", self.drain_timeout_ms, 0..=TIMEOUT_MS_MAX),
            ("verify_queue_max", size(self.verify_queue_max.get()), 1..=1_000_000),
            ("body_bytes_in_flight_max", size(self.body_bytes_in_flight_max), 0..=1 << 40),
            ("answer_bytes_in_flight_max", size(self.answer_bytes_in_flight_max), 0..=1 << 40),
            ("document_bytes_max", size(self.document_bytes_max), 0..=size(BODY_BYTES_MAX)),
            ("verify_threads", size(self.verify_threads), 0..=1_024),
            ("keys_remembered_max", size(self.keys_remembered_max), 0..=10_000_000),
        ]
    }

    /// See [`Limits::header_read_timeout_ms`].
    pub(crate) fn header_read_timeout(&self) -> Duration {
        Duration::from_millis(self.header_read_timeout_ms)
    }

    /// See [`Limits::body_read_timeout_ms`].
    pub(crate) fn body_read_timeout(&self) -> Duration {
        Duration::from_millis(self.body_read_timeout_ms)
    }

    /// See [`Limits::idle_timeout_ms`].
    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    /// See [`Limits::request_timeout_ms`].
    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    /// See [`Limits::drain_timeout_ms`].
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}
