//! What this machine can do at all: the yardsticks that make a measurement
//! comparable between machines. All on the CPU of the server.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use ed25519_dalek::{Signature, VerifyingKey, verify_batch};
use serde::Serialize;
use webwallet_ledger::signature::{Check, Keys, verify};

/// Signatures in a batch of the yardstick.
const BATCH: usize = 1024;

/// The yardsticks.
#[derive(Serialize, Clone, Copy)]
pub struct Calibration {
    /// Requests a second of the same HTTP stack, answering a fixed 201.
    pub h: f64,
    /// Strict verifications a second, one at a time.
    pub v: f64,
    /// Signatures a second of ed25519-dalek's own `verify_batch` of 1,024.
    pub z: f64,
    /// p50 of appending 4 KiB and fdatasync, in microseconds.
    pub fdatasync_p50_us: f64,
}

impl Calibration {
    /// Requests a second of one IOU each, if nothing but HTTP and strict
    /// verifying took time.
    pub fn single(&self) -> f64 {
        1.0 / (1.0 / self.h + 1.0 / self.v)
    }
}

/// V: strict verifications a second, keys known.
pub fn strict(checks: &[Check], time: Duration) -> anyhow::Result<f64> {
    let keys = Keys::new(checks.len() * 2);
    let mut random = rand::rng();
    ensure!(
        verify(checks, &keys, &mut random).iter().all(|good| *good),
        "a good signature was refused"
    );
    let (start, mut done) = (Instant::now(), 0);
    for check in checks.iter().cycle() {
        ensure!(
            verify(std::slice::from_ref(check), &keys, &mut random) == [true],
            "a good signature was refused"
        );
        done += 1;
        if start.elapsed() >= time {
            break;
        }
    }
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}

/// Z: signatures a second in batches, keys parsed before.
pub fn batched(checks: &[Check], time: Duration) -> anyhow::Result<f64> {
    let mut parsed = Vec::new();
    for check in checks {
        let public = check.public.as_slice().try_into().context("a key of another length")?;
        let key = VerifyingKey::from_bytes(&public)?;
        parsed.push((check.message.as_slice(), Signature::from_slice(&check.signature)?, key));
    }
    let messages = parsed.iter().map(|(message, _, _)| *message).collect::<Vec<_>>();
    let signatures = parsed.iter().map(|(_, signature, _)| *signature).collect::<Vec<_>>();
    let keys = parsed.iter().map(|(_, _, key)| *key).collect::<Vec<_>>();
    let batches = checks.len() / BATCH;
    ensure!(batches > 0, "fewer signatures than one batch");
    let (start, mut done) = (Instant::now(), 0);
    for batch in (0..batches).cycle() {
        let range = batch * BATCH..(batch + 1) * BATCH;
        verify_batch(&messages[range.clone()], &signatures[range.clone()], &keys[range])?;
        done += BATCH;
        if start.elapsed() >= time {
            break;
        }
    }
    Ok(done as f64 / start.elapsed().as_secs_f64())
}
