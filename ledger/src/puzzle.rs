//! Puzzles: addresses under the control of several keys.
//!
//! A puzzle lists who may sign, what each signature weighs and what weight is
//! needed. Its address is made from it as a key's address is made from the key,
//! so nobody has to know a puzzle to pay to it, and it travels with every IOU
//! that it pays by: verifying needs no store.

use std::collections::HashSet;

use faster_hex::hex_string;

use crate::address::Address;
use crate::document::{self, HASH_KEYS, KEYS, check_name, read_types};
use crate::hash::{Hash, Types};
use crate::json::{self, Value};
use crate::limits::{DEPTH_MAX, IDENTITIES_MAX, SCRIPTS_MAX};
use crate::rejection::{Code, Earliest, Rejection};
use crate::shape::{Extent, Object, Path, array, hex, scheme};
use crate::signature::Scheme;

/// Who may sign, how much it weighs, and what is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Puzzle {
    /// Its name, by which signatures and locks refer to it.
    pub hash: Hash,
    /// The weight that signatures must have together.
    pub threshold: u32,
    /// Those who may sign.
    pub identities: Vec<Identity>,
    /// Canonical JSON of its data: what name and address are made from.
    pub data: Vec<u8>,
    types: Types,
}

/// A key that may sign for a puzzle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// How it signs.
    pub scheme: Scheme,
    /// Its public key.
    pub public: Vec<u8>,
    /// What its signature weighs.
    pub weight: u32,
}

/// The keys of its data.
pub(crate) const DATA_KEYS: &[&str] = &["conditions", "identities"];
const IDENTITY_KEYS: &[&str] = &["public", "scheme", "weight"];

impl Puzzle {
    /// The puzzle that so much weight of these identities solves.
    ///
    /// # Errors
    /// What a server would say of it: `malformed` or `too_large`.
    pub fn new(threshold: u32, identities: &[Identity]) -> Result<Puzzle, Rejection> {
        let mut data = format!(
            "{{\"conditions\":{{\"multisig\":{{\"threshold\":{threshold}}}}},\"identities\":["
        );
        for (i, Identity { scheme, public, weight }) in identities.iter().enumerate() {
            let (comma, public) = (if i > 0 { "," } else { "" }, hex_string(public));
            data += &format!("{comma}{{\"public\":\"{public}\",\"scheme\":\"{scheme}\"");
            data += &if *weight == 1 { "}".into() } else { format!(",\"weight\":{weight}}}") };
        }
        data += "]}";
        let (types, hash) = (Types::Sha3, Hash::sha3(data.as_bytes()));
        Puzzle::parse(&document::write(data.as_bytes(), types, hash, b"{}"))
    }

    /// Reads a puzzle's document, formatted as it may be.
    ///
    /// # Errors
    /// The earliest code from `malformed` to `unsupported_scheme`.
    pub fn parse(document: &[u8]) -> Result<Puzzle, Rejection> {
        let value = json::parse(document, DEPTH_MAX)?;
        let mut found = Earliest::default();
        let (_, puzzle) = Puzzle::read(&value, Extent::Whole, &Path::ROOT, &mut found)?;
        found.into_result()?;
        puzzle.ok_or_else(|| Path::ROOT.malformed("not a puzzle"))
    }

    /// Whoever solves it pays from here.
    pub fn address(&self) -> Address {
        Address::of_public(&self.data)
    }

    /// Canonical JSON of the whole document.
    pub fn to_bytes(&self) -> Vec<u8> {
        document::write(&self.data, self.types, self.hash, b"{}")
    }

    /// The identity with this key.
    pub fn identity(&self, scheme: Scheme, public: &[u8]) -> Option<&Identity> {
        let mut identities = self.identities.iter();
        identities.find(|identity| identity.scheme == scheme && identity.public == public)
    }

    /// The weight of all signatures together.
    pub fn weight(&self) -> u64 {
        self.identities.iter().map(|identity| u64::from(identity.weight)).sum()
    }

    /// The name it claims, and the puzzle. `Err` is always `malformed`; later
    /// codes go into `found`, and then the puzzle may be missing.
    pub(crate) fn read(
        value: &Value<'_>,
        extent: Extent,
        at: &Path<'_>,
        found: &mut Earliest,
    ) -> Result<(Hash, Option<Puzzle>), Rejection> {
        let document = Object::new(value, at, KEYS)?;
        let (hash_value, hash_at) = (document.required("hash", at)?, at.key("hash"));
        let hash = Object::new(hash_value, &hash_at, HASH_KEYS)?;
        let types = read_types(&hash, &hash_at, found)?;
        let claimed = hash.parsed("value", &hash_at)?;
        Object::new(document.required("meta", at)?, &at.key("meta"), &[])?;
        let (data_value, data_at) = (document.required("data", at)?, at.key("data"));
        let data = Object::new(data_value, &data_at, DATA_KEYS)?;
        let threshold = read_threshold(&data, &data_at)?;
        let identities_at = data_at.key("identities");
        let identities = array(data.required("identities", &data_at)?, &identities_at)?;
        let identities = read_identities(identities, &identities_at, found)?;
        if extent == Extent::Shape {
            return Ok((claimed, None));
        }
        let mut data = Vec::with_capacity(2_048);
        data_value.write(&mut data);
        check_name(types, &data, claimed, &hash_at, found);
        let puzzle = identities.zip(types).map(|(identities, types)| Puzzle {
            hash: claimed,
            threshold,
            identities,
            data,
            types,
        });
        Ok((claimed, puzzle))
    }
}

/// `meta.scripts`: the puzzles that travel with an IOU. Those that could not be
/// read whole are missing, and a code earlier than any about signatures is
/// then in `found`.
pub(crate) fn read_all(
    value: &Value<'_>,
    extent: Extent,
    at: &Path<'_>,
    found: &mut Earliest,
) -> Result<Vec<Puzzle>, Rejection> {
    let scripts = array(value, at)?;
    if scripts.is_empty() {
        return Err(at.malformed("at least one puzzle, or no such key"));
    }
    if scripts.len() > SCRIPTS_MAX {
        let rejection = at.rejection(Code::TooLarge, "too many puzzles under one IOU");
        found.note(rejection.measured(SCRIPTS_MAX, scripts.len()));
    }
    let (mut puzzles, mut seen) = (Vec::new(), HashSet::new());
    for (i, script) in scripts.iter().enumerate() {
        let at = at.index(i);
        // Over the limit only codes before `too_large` still matter.
        let extent = if i < SCRIPTS_MAX { extent } else { Extent::Shape };
        let (hash, puzzle) = Puzzle::read(script, extent, &at, found)?;
        if !seen.insert(hash) {
            return Err(at.malformed("this puzzle is there twice"));
        }
        puzzles.extend(puzzle);
    }
    Ok(puzzles)
}

fn read_threshold(data: &Object<'_, '_>, at: &Path<'_>) -> Result<u32, Rejection> {
    let (conditions, at) = (data.required("conditions", at)?, at.key("conditions"));
    let conditions = Object::new(conditions, &at, &["multisig"])?;
    let (multisig, at) = (conditions.required("multisig", &at)?, at.key("multisig"));
    let multisig = Object::new(multisig, &at, &["threshold"])?;
    integer(multisig.required("threshold", &at)?, &at.key("threshold"))
}

/// `None` when a scheme is outside the list.
fn read_identities(
    items: &[Value<'_>],
    at: &Path<'_>,
    found: &mut Earliest,
) -> Result<Option<Vec<Identity>>, Rejection> {
    if items.is_empty() {
        return Err(at.malformed("at least one identity"));
    }
    if items.len() > IDENTITIES_MAX {
        let rejection = at.rejection(Code::TooLarge, "too many identities in one puzzle");
        found.note(rejection.measured(IDENTITIES_MAX, items.len()));
    }
    let mut written = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let at = at.index(i);
        let item = Object::new(item, &at, IDENTITY_KEYS)?;
        let name = item.text("scheme", &at)?;
        let public = hex(item.text("public", &at)?, &at.key("public"))?;
        let weight = match item.optional("weight") {
            Some(weight) => integer(weight, &at.key("weight"))?,
            None => 1,
        };
        let scheme = scheme(name, &at.key("scheme"), found);
        written.push((name, public, scheme, weight));
    }
    // Two spellings of one key are one key.
    let mut keys: Vec<_> = written.iter().map(|(name, public, ..)| (*name, public)).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|two| two[0] == two[1]) {
        return Err(at.malformed("an identity is there twice"));
    }
    let identity = |(_, public, scheme, weight): (&str, _, Option<Scheme>, _)| {
        scheme.map(|scheme| Identity { scheme, public, weight })
    };
    Ok(written.into_iter().map(identity).collect())
}

fn integer(value: &Value<'_>, at: &Path<'_>) -> Result<u32, Rejection> {
    match value {
        Value::Integer(number) => Ok(*number),
        _ => Err(at.malformed("expected an integer from 1 to 2147483647, without quotes")),
    }
}
