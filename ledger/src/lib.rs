//! The rules of WebWallet, as pure functions from bytes to bytes.
//!
//! What an IOU is, who signed it, which requests clear and what record they
//! leave. Nothing here waits, reads a clock, draws a random number or touches
//! a file or socket: time and randomness are arguments. So the server, the
//! auditor and a browser come to the same answer from the same bytes.
//!
//! A request passes three gates, each with one owner:
//! [`Request::parse`] (shape: nonsense cannot be represented afterwards),
//! [`verify::verify`] (addresses and signatures: needs no state) and
//! [`clear::clear`] (balances, limits, time: needs state).

pub mod account;
pub mod address;
pub mod amount;
pub mod block;
pub mod checkpoint;
mod claim;
pub mod clear;
mod cut;
pub mod document;
pub mod draft;
mod fault;
pub mod hash;
pub mod history;
pub mod iou;
pub mod json;
pub mod leaf;
pub mod limits;
pub mod lock;
pub mod merkle;
pub mod note;
pub mod pointer;
pub mod puzzle;
pub mod receipt;
pub mod record;
pub mod rejection;
pub mod request;
mod shape;
pub mod signature;
pub mod state;
mod suggestion;
pub mod supplied;
pub mod tile;
pub mod time;
pub mod verify;

pub use account::{Account, AccountId, Balance};
pub use address::Address;
pub use amount::Amount;
pub use draft::Draft;
pub use hash::Hash;
pub use history::{History, Nothing, RecordOf};
pub use iou::Iou;
pub use lock::{Lock, Locker, Solver};
pub use pointer::Pointer;
pub use puzzle::Puzzle;
pub use record::{Output, Record};
pub use rejection::{Change, Code, Rejection};
pub use request::Request;
pub use supplied::Supplied;
pub use time::Time;
