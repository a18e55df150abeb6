//! Scenarios over whole deployments.
