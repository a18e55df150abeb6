//! The home directory of a person: keys, one JSON file each, in its folder `keys`, readable
//! by their owner alone; and the places of what is signed and not certain yet.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail, ensure};
use clap::Args;
use webwallet_ledger::address::Address;
use webwallet_ledger::draft::add_signature;
use webwallet_ledger::hash::Hash;
use webwallet_ledger::signature::Scheme as Signs;

use crate::key::{Key, Scheme, Shown};
use crate::multisig::Multisig;
use crate::{file, output};

/// Where keys are kept.
#[derive(Args, Clone)]
pub struct Home {
    /// Folder with your keys [default: ~/.webwallet]
    #[arg(long, env = "WEBWALLET_HOME", hide_env_values = true, value_name = "DIR")]
    home: Option<PathBuf>,
}

/// What is kept under a name.
pub enum Holder {
    /// A key.
    Key(Key),
    /// What several keys hold together.
    Multisig(Multisig),
}

/// The keys in one home directory.
pub struct Keys {
    home: PathBuf,
}

fn usual_home() -> Option<PathBuf> {
    Some(std::env::home_dir()?.join(".webwallet"))
}

impl Home {
    /// Opens it; nothing is made before something is written.
    pub fn keys(&self) -> anyhow::Result<Keys> {
        let home = match &self.home {
            Some(home) => home.clone(),
            None => usual_home().context(
                "there is no home directory; name one with --home DIR or WEBWALLET_HOME",
            )?,
        };
        Ok(Keys { home })
    }
}

impl Holder {
    /// The address it pays from.
    pub fn address(&self) -> anyhow::Result<Address> {
        match self {
            Holder::Key(key) => key.address(),
            Holder::Multisig(multisig) => Ok(multisig.puzzle.address()),
        }
    }

    /// What anyone may know of it.
    pub fn shown(self, file: PathBuf) -> anyhow::Result<Shown> {
        match self {
            Holder::Key(key) => Ok(key.shown(file)),
            Holder::Multisig(multisig) => multisig.shown(file),
        }
    }
}

impl Keys {
    /// The keys in a directory.
    pub fn at(home: &Path) -> Keys {
        Keys { home: home.to_owned() }
    }

    /// Makes a key from the system's randomness and keeps it under a new name.
    pub fn create(&self, name: &str, scheme: Scheme) -> anyhow::Result<Shown> {
        check_name(name)?;
        let key = Key::new(name, scheme)?;
        let file = self.name(name, &serde_json::to_vec_pretty(&key)?)?;
        Ok(key.shown(file))
    }

    /// Where all of it is.
    pub fn folder(&self) -> &Path {
        &self.home
    }

    /// Keeps something under a new name.
    pub fn name(&self, name: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
        check_name(name)?;
        let file = self.file(name);
        ensure!(
            !file.exists(),
            "there is a key {name} already: {}; choose another name",
            file.display()
        );
        file::keep(&file, bytes)?;
        Ok(file)
    }

    /// The key with a name.
    pub fn find(&self, name: &str) -> anyhow::Result<Key> {
        match self.holder(name)? {
            Holder::Key(key) => Ok(key),
            Holder::Multisig(_) => {
                bail!("{name} is held by several together; name one of its members")
            }
        }
    }

    /// The key with a name, or what several hold together under it.
    pub fn holder(&self, name: &str) -> anyhow::Result<Holder> {
        check_name(name)?;
        let file = self.file(name);
        let read = || {
            let there = fs::metadata(&file).map_err(|error| match error.kind() {
                ErrorKind::NotFound => anyhow!(
                    "there is none; `webwallet key list` shows yours, `webwallet key new {name}` makes one"
                ),
                _ => error.into(),
            })?;
            // Whoever opens a pipe waits, perhaps for ever.
            ensure!(there.is_file(), "it is no regular file");
            ensure!(
                !file::is_open_to_others(&there),
                "other users may read it; repair with: chmod 600 {}",
                output::path(&file)
            );
            let bytes = file::read(&file)?;
            if let Some(multisig) = Multisig::read(name, &bytes)? {
                return Ok(Holder::Multisig(multisig));
            }
            Ok(Holder::Key(Key::read(name, &bytes)?))
        };
        read().with_context(|| format!("cannot use the key {name} ({})", file.display()))
    }

    /// All that can be used, in the order of their names; of the others it is said why not.
    pub fn holders(&self) -> anyhow::Result<Vec<(String, Holder)>> {
        let usable = |name: String| match self.holder(&name) {
            Ok(holder) => Some((name, holder)),
            Err(why) => {
                output::complain(format_args!("{why:#}"));
                None
            }
        };
        Ok(self.names()?.into_iter().filter_map(usable).collect())
    }

    /// All names, sorted.
    fn names(&self) -> anyhow::Result<Vec<String>> {
        let folder = self.home.join("keys");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot list {}", folder.display()));
            }
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".json"));
            names.extend(name.filter(|name| check_name(name).is_ok()).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// The address meant by a name or an address.
    pub fn address(&self, text: &str) -> anyhow::Result<Address> {
        match text.parse() {
            Ok(address) => Ok(address),
            Err(why) if !self.file(text).exists() => {
                bail!("`{text}` is neither one of your keys nor an address ({why})")
            }
            Err(_) => self.holder(text)?.address(),
        }
    }

    /// An IOU that a multisig travels with, signed by those of its members whose keys are
    /// kept here.
    pub fn sign(&self, mut iou: Vec<u8>, multisig: &Multisig) -> anyhow::Result<Vec<u8>> {
        for (_, holder) in self.holders()? {
            if let Holder::Key(key) = holder
                && multisig.puzzle.identity(Signs::EddsaEd25519, &key.public()?).is_some()
            {
                iou = add_signature(&iou, &key.secret()?)?;
            }
        }
        Ok(iou)
    }

    /// The multisig of this hash, if it is kept here.
    pub fn multisig(&self, script: &Hash) -> anyhow::Result<Option<Multisig>> {
        for (_, holder) in self.holders()? {
            if let Holder::Multisig(multisig) = holder
                && multisig.puzzle.hash == *script
            {
                return Ok(Some(multisig));
            }
        }
        Ok(None)
    }

    /// Names of addresses, for people: our own keys by name, others in full.
    /// Keys that cannot be read are left out; this is for display only.
    pub fn labels(&self) -> Labels {
        let names = self.names().unwrap_or_default();
        let known = names.into_iter().filter_map(|name| {
            let address = self.holder(&name).and_then(|holder| holder.address()).ok()?;
            Some((address.to_string(), name))
        });
        Labels(known.collect())
    }

    /// The flag that names them again, for a shell; none where it is the usual place.
    pub fn flag(&self) -> String {
        match usual_home().as_ref() == Some(&self.home) {
            true => String::new(),
            false => format!(" --home {}", output::path(&self.home)),
        }
    }

    /// Where a signed IOU is kept while nobody knows whether it was cleared.
    pub fn outbox(&self) -> PathBuf {
        self.home.join("outbox")
    }

    /// The file of one of them.
    pub fn outgoing(&self, iou: &Hash) -> PathBuf {
        self.outbox().join(format!("{iou}.json"))
    }

    /// Where the preimage of a swap is kept.
    pub fn swap(&self, hash: &Hash) -> PathBuf {
        self.home.join("swaps").join(format!("{hash}.json"))
    }

    /// Where the terms of a swap are kept that something was locked for.
    pub fn terms(&self, hash: &Hash) -> PathBuf {
        self.home.join("swaps").join(format!("{hash}.terms.json"))
    }

    /// The file of a name.
    pub fn file(&self, name: &str) -> PathBuf {
        self.home.join("keys").join(format!("{name}.json"))
    }
}

/// Address to name.
#[derive(Default)]
pub struct Labels(BTreeMap<String, String>);

impl Labels {
    /// The name of an address, or the address itself.
    pub fn of<'a>(&'a self, address: &'a str) -> &'a str {
        self.0.get(address).map_or(address, String::as_str)
    }
}

/// A name becomes a file name, so it is held to what is safe everywhere; and
/// it must not look like an address.
fn check_name(name: &str) -> anyhow::Result<()> {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let good = name.len() <= 64
        && name.bytes().next().is_some_and(letter)
        && name.bytes().all(|b| letter(b) || matches!(b, b'.' | b'-' | b'_'));
    ensure!(
        good,
        "`{name}` is no name of a key: 1 to 64 lower-case letters, digits, `.`, `-`, `_`, the first a letter or digit"
    );
    ensure!(name.parse::<Address>().is_err(), "`{name}` is an address");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    /// A key that others on the machine may read is not theirs alone.
    #[test]
    fn a_key_is_for_its_owner_alone() {
        let home = tempfile::tempdir().expect("temporary directory");
        let keys = Keys::at(&home.path().join("new"));
        let shown = keys.create("alice", Scheme::EddsaEd25519).expect("made");
        assert_eq!(mode(&shown.file), 0o600);
        assert_eq!(mode(&home.path().join("new/keys")), 0o700);
        let again = keys.find("alice").expect("found");
        assert_eq!(again.address().expect("an address").as_str(), shown.address);

        fs::set_permissions(&shown.file, fs::Permissions::from_mode(0o640)).expect("changed");
        let refused = keys.find("alice").err().map(|error| format!("{error:#}"));
        assert!(refused.is_some_and(|text| text.contains("chmod 600")));
    }

    /// Overwriting a key would burn what its address holds.
    #[test]
    fn a_name_is_given_once() {
        let home = tempfile::tempdir().expect("temporary directory");
        let keys = Keys::at(home.path());
        let first = keys.create("alice", Scheme::EddsaEd25519).expect("made");
        assert!(keys.create("alice", Scheme::EddsaEd25519).is_err());
        let kept = keys.find("alice").and_then(|key| key.address());
        assert_eq!(kept.expect("found").as_str(), first.address);
        keys.create("bob", Scheme::EddsaEd25519).expect("made");
        assert_eq!(keys.names().expect("names"), ["alice", "bob"]);
        assert_eq!(keys.address("alice").expect("address").as_str(), first.address);
        assert_eq!(keys.address(&first.address).expect("address").as_str(), first.address);
        assert!(keys.address("carol").is_err());
        assert_eq!(keys.labels().of(&first.address), "alice");
    }

    /// A name is part of a path.
    #[test]
    fn names_stay_inside_their_folder() {
        for name in [
            "",
            ".",
            "..",
            ".hidden",
            "a/b",
            "../alice",
            "Alice",
            "a b",
            "-x",
            "a\0",
            &"a".repeat(65),
        ] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["a", "0", "alice.work-2_x", &"a".repeat(64)] {
            assert!(check_name(name).is_ok(), "{name:?}");
        }
    }

    /// A damaged file must not sign for another address.
    #[test]
    fn a_key_file_that_contradicts_itself_is_refused() {
        let home = tempfile::tempdir().expect("temporary directory");
        let keys = Keys::at(home.path());
        let alice = keys.create("alice", Scheme::EddsaEd25519).expect("made");
        let bob = keys.create("bob", Scheme::EddsaEd25519).expect("made");
        let text =
            fs::read_to_string(&alice.file).expect("read").replace(&alice.address, &bob.address);
        fs::write(&alice.file, text).expect("written");
        assert!(keys.find("alice").is_err());
    }
}
