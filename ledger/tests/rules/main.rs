//! The rules, told by what a user would lose if one of them failed.

// Tests read vectors and measure; the rules themselves may not.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

mod documents;
mod examples;
mod locks;
mod party;
mod properties;
mod puzzles;
mod rejections;
mod suggestions;
mod supplied;
mod vectors;
