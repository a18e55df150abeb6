//! Blockstack: what it seals, proves and answers.

mod balances;
mod crashes;
mod guard;
mod history;
mod reading;
mod refill;
mod rebuild;
mod sealing;
mod snapshots;
mod standin;
mod stores;
