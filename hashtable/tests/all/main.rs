//! Hashtable: its engines, and what callers of the service are told.

mod conformance;
mod service;
