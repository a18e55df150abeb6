//! A key of a person, as it is kept: see `home.rs` for where.
//!
//! A key is a secret, so its type has no `Debug` and what is shown of it is
//! another type, [`Shown`]. Keys never leave this machine: servers know
//! addresses and signatures only.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use faster_hex::{hex_decode_vec, hex_string};
use rand::TryRng as _;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use webwallet_ledger::address::Address;
use webwallet_ledger::signature::{self, public_of};

/// What our tools sign with.
#[derive(Clone, Copy, Default, ValueEnum, Serialize, Deserialize)]
pub enum Scheme {
    /// Ed25519 (RFC 8032)
    #[default]
    #[value(name = "eddsa-ed25519")]
    #[serde(rename = "eddsa-ed25519")]
    EddsaEd25519,
}

/// A key as it is kept.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    name: String,
    address: String,
    public: String,
    scheme: Scheme,
    secret: String,
}

/// What anyone may know of a key, or of what several hold together.
#[derive(Serialize)]
pub struct Shown {
    pub(crate) name: String,
    /// Who holds and pays.
    pub address: String,
    /// What the address is made from, in hex.
    pub(crate) public: String,
    pub(crate) scheme: &'static str,
    pub(crate) file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) puzzle: Option<Box<RawValue>>,
}

impl Key {
    /// A new key, from the system's randomness.
    pub fn new(name: &str, scheme: Scheme) -> anyhow::Result<Key> {
        let secret = random_bytes()?;
        let public = public_of(&secret);
        Ok(Key {
            name: name.to_owned(),
            address: Address::of_public(&public).to_string(),
            public: hex_string(&public),
            scheme,
            secret: hex_string(&secret),
        })
    }

    /// The key of this name in a file.
    pub fn read(name: &str, bytes: &[u8]) -> anyhow::Result<Key> {
        let key: Key = serde_json::from_slice(bytes)?;
        let public = public_of(&key.secret()?);
        let fits = key.name == name
            && key.public == hex_string(&public)
            && key.address == Address::of_public(&public).as_str();
        ensure!(fits, "its name, address, public key and secret do not belong together");
        Ok(key)
    }

    /// The address it signs for.
    pub fn address(&self) -> anyhow::Result<Address> {
        Ok(self.address.parse()?)
    }

    /// The 32 secret bytes.
    pub fn secret(&self) -> anyhow::Result<[u8; 32]> {
        let secret = hex_decode_vec(self.secret.as_bytes()).unwrap_or_default();
        secret.try_into().ok().context("its secret is not 64 hex digits")
    }

    /// Its public key.
    pub fn public(&self) -> anyhow::Result<Vec<u8>> {
        hex_decode_vec(self.public.as_bytes()).context("its public key is not hex")
    }

    /// What anyone may know of it.
    pub fn shown(self, file: PathBuf) -> Shown {
        Shown {
            name: self.name,
            address: self.address,
            public: self.public,
            scheme: signature::Scheme::EddsaEd25519.as_str(),
            file,
            puzzle: None,
        }
    }
}

/// Bytes that nobody can guess, from the system.
pub fn random_bytes<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).context("the system gave no random bytes")?;
    Ok(bytes)
}
