//! Blockstack: what it seals, proves and answers.

mod balances;
mod reading;
mod sealing;
mod standin;
mod stores;
