//! `webwallet key ...`: making keys and multisigs, and showing them.

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use faster_hex::hex_decode_vec;
use webwallet_ledger::address::Address;
use webwallet_ledger::puzzle::{Identity, Puzzle};
use webwallet_ledger::signature::{Scheme as Signs, is_key};

use crate::home::{Holder, Home, Keys};
use crate::key::{Key, Scheme, Shown};
use crate::multisig::Multisig;
use crate::output;

/// `webwallet key ...`
#[derive(Subcommand)]
pub enum Command {
    /// Make a key and name it
    New {
        /// Lower-case letters, digits, `.`, `-`, `_`
        name: String,
        /// Signature scheme
        #[arg(long, value_enum, default_value_t)]
        scheme: Scheme,
        #[command(flatten)]
        home: Home,
    },
    /// Name an address that several keys hold together, by the weight of those who sign
    Multisig(Make),
    /// List your keys
    List {
        #[command(flatten)]
        home: Home,
    },
    /// Show the address and public key of one key
    Show {
        /// Its name
        name: String,
        #[command(flatten)]
        home: Home,
    },
}

/// `webwallet key multisig`
#[derive(Args)]
pub struct Make {
    /// Lower-case letters, digits, `.`, `-`, `_`
    name: String,
    /// The weight that those who sign must have together
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    threshold: u32,
    /// A public key, or one of your keys by name or address; weight 1 unless said
    #[arg(long = "member", required = true, value_name = "ADDRESS_OR_PUBLIC[:WEIGHT]")]
    members: Vec<String>,
    #[command(flatten)]
    home: Home,
}

impl Make {
    /// Keeps the puzzle under its name.
    pub fn run(&self) -> anyhow::Result<Shown> {
        let keys = self.home.keys()?;
        let members = self.members.iter().map(|member| identity(member, &keys));
        let mut members = members.collect::<anyhow::Result<Vec<_>>>()?;
        // The same members in whatever order have the same address.
        members.sort_by(|a, b| (a.scheme, &a.public).cmp(&(b.scheme, &b.public)));
        let puzzle = Puzzle::new(self.threshold, &members)
            .map_err(|why| anyhow::anyhow!("no such multisig can be: {why}"))?;
        ensure!(
            puzzle.weight() >= u64::from(self.threshold),
            "all members together weigh {}, and the threshold is {}: nobody could ever pay from there",
            puzzle.weight(),
            self.threshold
        );
        let multisig = Multisig { name: self.name.clone(), puzzle };
        let file = keys.name(&self.name, &multisig.to_bytes()?)?;
        multisig.shown(file)
    }
}

/// A member as it is written on the command line.
fn identity(text: &str, keys: &Keys) -> anyhow::Result<Identity> {
    let (member, weight) = match text.split_once(':') {
        None => (text, 1),
        Some((member, weight)) => {
            let weight =
                weight.parse().ok().filter(|weight| (1..=i32::MAX as u32).contains(weight));
            let why = || format!("the weight of `{text}` is not a number from 1 to 2147483647");
            (member, weight.with_context(why)?)
        }
    };
    let identity = |scheme, public| Identity { scheme, public, weight };
    let typed = match (member.len(), hex_decode_vec(member.as_bytes())) {
        (64, Ok(public)) => Some((Signs::EddsaEd25519, public)),
        (66 | 130, Ok(public)) => Some((Signs::EcdsaEd25519, public)),
        _ => None,
    };
    if let Some((scheme, public)) = typed {
        // What is paid to the address would wait for that signature for ever.
        ensure!(
            is_key(scheme, &public),
            "`{member}` is no public key that anybody could sign with: ask its owner for it once more (webwallet key show NAME)"
        );
        return Ok(identity(scheme, public));
    }
    let public = match member.parse() {
        Ok(address) => of_address(&address, keys)?.public(),
        Err(_) => keys
            .find(member)
            .with_context(|| {
                format!(
                    "`{member}` is neither a public key in hex nor an address nor one of your keys"
                )
            })?
            .public(),
    };
    Ok(identity(Signs::EddsaEd25519, public?))
}

/// Our key with an address.
fn of_address(address: &Address, keys: &Keys) -> anyhow::Result<Key> {
    for (_, holder) in keys.holders()? {
        if let Holder::Key(key) = holder
            && key.address()? == *address
        {
            return Ok(key);
        }
    }
    bail!(
        "none of your keys has the address {address}; an address does not tell its public key, so ask its owner for that (webwallet key show NAME)"
    )
}

/// Runs `webwallet key ...`.
pub fn run(command: &Command, json: bool) -> anyhow::Result<()> {
    let show = |shown: &Shown| -> anyhow::Result<()> {
        if json {
            output::line(serde_json::to_vec(shown)?)?;
        } else {
            let what = match &shown.puzzle {
                None => format!("public   {}", shown.public),
                Some(puzzle) => format!("puzzle   {puzzle}"),
            };
            output::line(format!(
                "{}\n  address  {}\n  {what}\n  file     {}",
                shown.name,
                shown.address,
                shown.file.display()
            ))?;
        }
        Ok(())
    };
    match command {
        Command::New { name, scheme, home } => show(&home.keys()?.create(name, *scheme)?),
        Command::Multisig(make) => show(&make.run()?),
        Command::Show { name, home } => {
            let keys = home.keys()?;
            show(&keys.holder(name)?.shown(keys.file(name))?)
        }
        Command::List { home } => {
            let keys = home.keys()?;
            let mut rows = Vec::new();
            for (name, holder) in keys.holders()? {
                let shown = holder.shown(keys.file(&name))?;
                if json {
                    show(&shown)?;
                } else {
                    rows.push(vec![shown.name, shown.address]);
                }
            }
            if rows.is_empty() && !json {
                output::complain(format_args!(
                    "no keys in {}; make one with: webwallet key new NAME",
                    keys.folder().display()
                ));
            } else if !json {
                output::line(output::table(&["name", "address"], rows))?;
            }
            Ok(())
        }
    }
}
