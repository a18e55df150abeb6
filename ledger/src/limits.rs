//! The sizes the protocol fixes. Every server has the same; changing one
//! changes which requests clear, so none of them is configurable.

/// Bytes of a request's body.
pub const BODY_BYTES_MAX: usize = 128 * 1024;
/// IOUs in a request.
pub const INPUTS_MAX: usize = 100;
/// Signatures under one IOU.
pub const IOU_SIGNATURES_MAX: usize = 16;
/// Puzzles that travel with one IOU.
pub const SCRIPTS_MAX: usize = 16;
/// Identities of one puzzle.
pub const IDENTITIES_MAX: usize = 16;
/// Signatures in a request, over all its IOUs.
pub const SIGNATURES_MAX: usize = 128;
/// Bytes of a record's canonical JSON: a leaf of the log must hold it.
pub const RECORD_BYTES_MAX: usize = 61_440;
/// Objects and arrays inside one another, the request itself being the first.
pub const DEPTH_MAX: usize = 16;
/// JSON values in a request, the request itself included. With flat custom
/// data the fullest request has under 4,500; without a bound a body of nothing
/// but empty lists would be the dearest to read. So it is asked where requests are read, and
/// not of records: what has cleared elsewhere is no less right for it.
pub const VALUES_MAX: usize = 8_192;
/// Keys of an IOU's custom data.
pub const CUSTOM_KEYS_MAX: usize = 10;
/// Digits of a decimal before its point.
pub const WHOLE_DIGITS_MAX: usize = 60;
/// Digits of a decimal after its point.
pub const FRACTION_DIGITS_MAX: usize = 40;
/// Code points of an IOU's `random`, at least.
pub const RANDOM_CHARS_MIN: usize = 8;
/// Code points of an IOU's `random`, at most.
pub const RANDOM_CHARS_MAX: usize = 100;
/// Code points of what solves a lock's puzzle.
pub const HASHEE_CHARS_MAX: usize = 100;
/// Bytes of a server's domain.
pub const DOMAIN_BYTES_MAX: usize = 100;
/// Days an IOU's expiry may lie ahead of the time it clears at.
pub const EXPIRY_DAYS_MAX: i64 = 3_660;
