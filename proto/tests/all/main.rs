//! Links between services: what callers may rely on, and who may call.

mod link;
mod strangers;
