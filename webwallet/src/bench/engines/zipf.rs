//! People as they are found in a town: ten thousand hold one unit, and the k-th
//! pays and is paid about 1/k as often as the first.

use std::thread;

use anyhow::Context as _;
use faster_hex::hex_string;
use rand::{Rng, RngExt as _};
use webwallet_ledger::signature::public_of;
use webwallet_ledger::{AccountId, Address, Draft, Hash, Time};

/// How many hold the unit.
pub const HOLDERS: usize = 10_000;

/// Somebody with a key; not the key of anybody, so a name will do.
pub struct Holder {
    secret: [u8; 32],
    /// Where others pay to.
    pub address: Address,
}

impl Holder {
    /// The one of this name.
    pub fn named(name: &str) -> Holder {
        let secret = Hash::sha3(name.as_bytes()).0;
        Holder { secret, address: Address::of_public(&public_of(&secret)) }
    }
}

/// The town.
pub struct Town {
    domain: String,
    expiry: Time,
    /// Whose unit it is.
    pub issuer: Holder,
    /// Who holds it.
    pub holders: Vec<Holder>,
    upto: Vec<f64>,
}

/// A request: the bytes of its IOUs.
pub type Payment = Vec<Vec<u8>>;

impl Town {
    /// Everybody, with nothing yet.
    pub fn new(domain: &str, expiry: Time) -> Town {
        let mut sum = 0.0;
        let weights = (1..=HOLDERS).map(|k| {
            sum += 1.0 / k as f64;
            sum
        });
        let upto = weights.collect();
        let holders = (0..HOLDERS).map(|i| Holder::named(&format!("holder {i}"))).collect();
        let issuer = Holder::named("issuer");
        Town { domain: domain.to_owned(), expiry, issuer, holders, upto }
    }

    /// One of them.
    pub fn anybody(&self, random: &mut impl Rng) -> &Holder {
        let at = random.random::<f64>() * self.upto.last().copied().unwrap_or_default();
        &self.holders[self.upto.partition_point(|upto| *upto < at).min(HOLDERS - 1)]
    }

    /// The account of an address in the unit.
    pub fn account(&self, address: Address) -> AccountId {
        AccountId { unit: self.issuer.address, address }
    }

    fn pay(&self, from: &Holder, to: &Holder, amount: &str, random: &mut impl Rng) -> Vec<u8> {
        Draft {
            domain: self.domain.clone(),
            source: from.address,
            target: to.address,
            symbol: self.issuer.address,
            amount: amount.into(),
            random: hex_string(&random.random::<[u8; 16]>()),
            expiry: self.expiry,
            active: None,
            credit: None,
            locker: None,
            solver: None,
        }
        .sign(&from.secret)
    }

    /// Requests that give everybody more than they will pay.
    pub fn funds(&self) -> Vec<Payment> {
        let mut random = rand::rng();
        let mut fund = |to: &Holder| self.pay(&self.issuer, to, "1000000", &mut random);
        self.holders.chunks(50).map(|some| some.iter().map(&mut fund).collect()).collect()
    }

    /// Payments by anybody, or all by the issuer; signed by both CPUs.
    pub fn payments(&self, count: usize, hot: bool) -> anyhow::Result<Vec<Payment>> {
        let one = |random: &mut rand::rngs::ThreadRng| {
            let to = self.anybody(random);
            let from = loop {
                let from = if hot { &self.issuer } else { self.anybody(random) };
                if from.address != to.address {
                    break from;
                }
            };
            vec![self.pay(from, to, "1", random)]
        };
        let signed = || {
            let mut random = rand::rng();
            (0..count / 2).map(|_| one(&mut random)).collect::<Vec<_>>()
        };
        thread::scope(|scope| {
            let other = scope.spawn(signed);
            let mut payments = signed();
            payments.extend(other.join().ok().context("a signing thread panicked")?);
            Ok(payments)
        })
    }
}
