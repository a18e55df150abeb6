//! Blockstack: what it seals, proves and answers.

mod balances;
mod crashes;
mod guard;
mod history;
mod reading;
mod rebuild;
mod refill;
mod sealing;
mod snapshots;
mod standin;
mod stores;
