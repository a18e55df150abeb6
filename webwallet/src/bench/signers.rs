//! The people of a measurement: thousands of keys, each the issuer of its own
//! unit, and the IOUs they sign ahead of a run, ready to be sent.

use std::net::SocketAddr;
use std::thread;

use anyhow::Context as _;
use faster_hex::hex_string;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use webwallet_ledger::address::Address;
use webwallet_ledger::draft::Draft;
use webwallet_ledger::request::body_of;
use webwallet_ledger::signature::{Check, Scheme, public_of, sign_eddsa};
use webwallet_ledger::time::Time;

/// Keys and their addresses.
pub struct Signers(Vec<(Secret, Address)>);

type Secret = [u8; 32];

/// Who pays whom. An issuer's own balance has no lower limit, so every one of
/// these clears.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pairs {
    /// A random issuer pays another one, in its own unit.
    Spread,
    /// One issuer pays everybody.
    Hot,
    /// Each issuer in turn, so that all have been seen once.
    EachOnce,
}

/// Where and until when IOUs are good.
pub struct Terms {
    /// The server's domain.
    pub domain: String,
    /// The expiry of all.
    pub expiry: Time,
    /// The server's address, for the `host` header.
    pub listen: SocketAddr,
    /// Header lines beyond those that every request has.
    pub headers: &'static str,
}

impl Signers {
    /// So many keys, by both CPUs. Not the keys of anybody, so a seed will do.
    pub fn new(count: usize) -> anyhow::Result<Signers> {
        let make = |index: usize| {
            let mut random = StdRng::seed_from_u64(index as u64);
            let secret: Secret = random.random();
            (secret, Address::of_public(&public_of(&secret)))
        };
        in_parallel(count, |range| range.map(make).collect()).map(Signers)
    }

    /// Signatures for the calibration of verifying.
    pub fn checks(&self) -> anyhow::Result<Vec<Check>> {
        in_parallel(self.0.len(), |range| {
            range
                .map(|index| {
                    let (secret, _) = &self.0[index];
                    let mut message = [0; 32];
                    message[..8].copy_from_slice(&index.to_le_bytes());
                    Check {
                        scheme: Scheme::EddsaEd25519,
                        public: public_of(secret).to_vec(),
                        message,
                        signature: sign_eddsa(secret, &message).to_vec(),
                    }
                })
                .collect()
        })
    }

    /// So many requests, signed and framed as HTTP/1.1, no two the same.
    pub fn posts(
        &self,
        count: usize,
        ious: usize,
        pairs: Pairs,
        terms: &Terms,
    ) -> anyhow::Result<Vec<Vec<u8>>> {
        in_parallel(count, |range| {
            let mut random: StdRng = rand::make_rng();
            range.map(|index| self.post(index, ious, pairs, terms, &mut random)).collect()
        })
    }

    fn post(
        &self,
        index: usize,
        ious: usize,
        pairs: Pairs,
        terms: &Terms,
        random: &mut StdRng,
    ) -> Vec<u8> {
        let signed = (0..ious).map(|i| {
            let people = self.0.len();
            let from = match pairs {
                Pairs::Spread => random.random_range(0..people),
                Pairs::Hot => 0,
                Pairs::EachOnce => (index * ious + i) % people,
            };
            let to = (from + random.random_range(1..people)) % people;
            let (secret, source) = &self.0[from];
            let draft = Draft {
                domain: terms.domain.clone(),
                source: *source,
                target: self.0[to].1,
                symbol: *source,
                amount: "1".to_owned(),
                random: hex_string(&random.random::<[u8; 16]>()),
                expiry: terms.expiry,
                active: None,
                credit: None,
                locker: None,
                solver: None,
            };
            draft.sign(secret)
        });
        let signed = signed.collect::<Vec<_>>();
        framed(terms, &body_of(signed.iter().map(Vec::as_slice)))
    }
}

/// A body with the headers before it.
fn framed(terms: &Terms, body: &[u8]) -> Vec<u8> {
    let Terms { listen, headers, .. } = terms;
    let mut post = format!(
        "POST /transaction HTTP/1.1\r\nhost: {listen}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    post.extend_from_slice(body);
    post
}

/// Splits work over the CPUs; results stay in order.
fn in_parallel<T: Send>(
    count: usize,
    work: impl Fn(std::ops::Range<usize>) -> Vec<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let share = count.div_ceil(threads).max(1);
    let work = &work;
    thread::scope(|scope| {
        let parts = (0..count)
            .step_by(share)
            .map(|from| scope.spawn(move || work(from..count.min(from + share))));
        let parts = parts.collect::<Vec<_>>();
        let mut all = Vec::with_capacity(count);
        for part in parts {
            all.extend(part.join().ok().context("a signing thread panicked")?);
        }
        Ok(all)
    })
}
