//! Claims: what the signatures under an IOU say, before any curve arithmetic.
//!
//! Whose signature each is, for which key or puzzle, and what the puzzles come
//! to if every signature verifies; one that does not spoils the IOU anyway.

use crate::address::Address;
use crate::hash::Hash;
use crate::json::Value;
use crate::limits::IOU_SIGNATURES_MAX;
use crate::puzzle::Puzzle;
use crate::rejection::{Code, Earliest, Rejection};
use crate::shape::{Extent, Object, Path, address, check_hex, hex, scheme};
use crate::signature::{Check, Scheme};

/// `linker` of every signature: how an address is made from a public key.
pub(crate) const LINKER: &str = "sha256:ripemd160";

const SIGNATURE_KEYS: &[&str] = &["linker", "public", "scheme", "script", "signer", "string"];

/// The signatures of an IOU.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    /// In order.
    pub(crate) list: Vec<Claim>,
    /// The weight needed and the weight there, where the source is a puzzle
    /// that is not solved.
    pub(crate) unsolved: Option<(u32, u64)>,
    /// The puzzles that are solved.
    pub(crate) solved: Vec<Hash>,
}

/// One signature.
#[derive(Clone, Debug)]
pub(crate) enum Claim {
    /// To be verified.
    Check(Check),
    /// Invalid whatever the curve says: from somebody else, or given twice.
    Bad(&'static str),
}

/// What the signatures are judged by.
pub(crate) struct Signing<'a> {
    /// Who pays, as written.
    pub(crate) source_text: &'a str,
    /// Who pays, if that can be read.
    pub(crate) source: Option<Address>,
    /// What is signed.
    pub(crate) message: Hash,
    /// The puzzles that travel with the IOU.
    pub(crate) puzzles: &'a [Puzzle],
    pub(crate) extent: Extent,
    /// Whether it matters which puzzles are solved, beside the source's.
    pub(crate) solves: bool,
}

/// A signature as it is written.
struct Signature<'v> {
    scheme: &'v str,
    linker: Option<&'v str>,
    script: Option<Hash>,
    public: &'v str,
    string: &'v str,
    signer: &'v str,
}

impl Claims {
    /// Reads `meta.signatures`. `Err` is always `malformed`; later codes go into `found`.
    pub(crate) fn read(
        items: &[Value<'_>],
        signing: &Signing<'_>,
        at: &Path<'_>,
        found: &mut Earliest,
    ) -> Result<Claims, Rejection> {
        if items.len() > IOU_SIGNATURES_MAX {
            let rejection = at.rejection(Code::TooLarge, "too many signatures under one IOU");
            found.note(rejection.measured(IOU_SIGNATURES_MAX, items.len()));
        }
        let mut claims = Claims::default();
        claims.list.reserve_exact(items.len().min(IOU_SIGNATURES_MAX));
        let mut signed = Vec::new();
        let mut signed_for_source = false;
        for (i, item) in items.iter().enumerate() {
            let at = at.index(i);
            let signature = Signature::read(item, &at)?;
            signed_for_source |= signature.signer == signing.source_text;
            // Over the limit only codes before `too_large` still matter.
            if i >= IOU_SIGNATURES_MAX || signing.extent == Extent::Shape {
                check_hex(signature.public, &at.key("public"))?;
                check_hex(signature.string, &at.key("string"))?;
                continue;
            }
            let claim = signature.claim(signing, &mut signed, &at, found)?;
            claims.list.push(claim);
        }
        if !signed_for_source {
            let detail = "no signature names the source as its signer";
            found.note(at.rejection(Code::SignatureMissing, detail));
        }
        if let Some((source, puzzle)) = signed.iter().find_map(|by| by.of_source(signing)) {
            let weight = weight(puzzle, source, &signed);
            let unsolved = weight < u64::from(puzzle.threshold);
            claims.unsolved = unsolved.then_some((puzzle.threshold, weight));
        }
        if signing.solves {
            let solves = |puzzle: &&Puzzle| {
                let signer = signed.iter().find(|by| by.signer.is_of_public(&puzzle.data));
                signer
                    .is_some_and(|by| weight(puzzle, by.signer, &signed) >= puzzle.threshold.into())
            };
            claims.solved =
                signing.puzzles.iter().filter(solves).map(|puzzle| puzzle.hash).collect();
        }
        Ok(claims)
    }
}

/// Who has signed: for which address, by which key.
struct Signed<'a> {
    signer: Address,
    scheme: Scheme,
    public: Vec<u8>,
    puzzle: Option<&'a Puzzle>,
}

impl<'a> Signed<'a> {
    /// Source and puzzle, where the signature is for the source's puzzle.
    fn of_source(&self, signing: &Signing<'_>) -> Option<(Address, &'a Puzzle)> {
        let puzzle = self.puzzle.filter(|_| Some(self.signer) == signing.source)?;
        Some((self.signer, puzzle))
    }
}

/// What the identities of a puzzle that have signed for its address weigh together.
fn weight(puzzle: &Puzzle, address: Address, signed: &[Signed<'_>]) -> u64 {
    let signed = signed.iter().filter(|by| by.signer == address);
    let identities = signed.filter_map(|by| puzzle.identity(by.scheme, &by.public));
    identities.map(|identity| u64::from(identity.weight)).sum()
}

impl<'v> Signature<'v> {
    fn read(item: &'v Value<'_>, at: &Path<'_>) -> Result<Signature<'v>, Rejection> {
        let item = Object::new(item, at, SIGNATURE_KEYS)?;
        Ok(Signature {
            scheme: item.text("scheme", at)?,
            linker: item.optional_text("linker", at)?,
            script: match item.optional_text("script", at)? {
                Some(text) => Some(read_script(text, &at.key("script"))?),
                None => None,
            },
            public: item.text("public", at)?,
            string: item.text("string", at)?,
            signer: item.text("signer", at)?,
        })
    }

    fn claim<'a>(
        &self,
        signing: &Signing<'a>,
        signed: &mut Vec<Signed<'a>>,
        at: &Path<'_>,
        found: &mut Earliest,
    ) -> Result<Claim, Rejection> {
        let public = hex(self.public, &at.key("public"))?;
        let string = hex(self.string, &at.key("string"))?;
        let scheme = scheme(self.scheme, &at.key("scheme"), found);
        if self.linker.is_some_and(|linker| linker != LINKER) {
            found.note_with(Code::UnsupportedScheme, || {
                let detail = "the one linker is sha256:ripemd160";
                at.key("linker").rejection(Code::UnsupportedScheme, detail)
            });
        }
        let by_source = self.signer == signing.source_text;
        let signer = match by_source {
            true => signing.source,
            false => address(self.signer, &at.key("signer"), found),
        };
        let (Some(scheme), Some(signer)) = (scheme, signer) else {
            return Ok(Claim::Bad("unknown scheme or signer"));
        };
        let right = match self.script {
            None => self.by_key(signer, by_source, &public, at, found).map(|()| None),
            Some(script) => {
                let puzzle = signing.puzzles.iter().find(|puzzle| puzzle.hash == script);
                by_puzzle(signer, puzzle, scheme, &public, at, found).map(Some)
            }
        };
        let puzzle = match right {
            Ok(puzzle) => puzzle,
            Err(detail) => return Ok(Claim::Bad(detail)),
        };
        let same =
            |by: &Signed<'_>| by.signer == signer && by.scheme == scheme && by.public == public;
        if signed.iter().any(same) {
            return Ok(Claim::Bad("this key has signed already"));
        }
        signed.push(Signed { signer, scheme, public: public.clone(), puzzle });
        let message = signing.message.0;
        Ok(Claim::Check(Check { scheme, public, message, signature: string }))
    }

    /// A signature of the source by its own key.
    fn by_key(
        &self,
        signer: Address,
        by_source: bool,
        public: &[u8],
        at: &Path<'_>,
        found: &mut Earliest,
    ) -> Result<(), &'static str> {
        if !signer.is_of_public(public) {
            found.note_with(Code::KeyAddressMismatch, || {
                let detail = "the signer's address is not derived from this public key";
                at.key("public").rejection(Code::KeyAddressMismatch, detail)
            });
        }
        if by_source { Ok(()) } else { Err("the signer is not the source") }
    }
}

/// A signature for a puzzle: the source or another that travels with the IOU.
fn by_puzzle<'a>(
    signer: Address,
    puzzle: Option<&'a Puzzle>,
    scheme: Scheme,
    public: &[u8],
    at: &Path<'_>,
    found: &mut Earliest,
) -> Result<&'a Puzzle, &'static str> {
    let Some(puzzle) = puzzle.filter(|puzzle| signer.is_of_public(&puzzle.data)) else {
        found.note_with(Code::KeyAddressMismatch, || {
            let detail =
                "the signer's address is not derived from a puzzle of this name in meta.scripts";
            at.key("script").rejection(Code::KeyAddressMismatch, detail)
        });
        return Err("signed for another puzzle");
    };
    match puzzle.identity(scheme, public) {
        Some(_) => Ok(puzzle),
        None => Err("this key is none of the puzzle's identities"),
    }
}

/// The name of a puzzle. In `meta` hex is of any case.
fn read_script(text: &str, at: &Path<'_>) -> Result<Hash, Rejection> {
    let hash = Hash::from_slice(&hex(text, at)?);
    hash.ok_or_else(|| at.malformed("expected the 64 hex digits of a puzzle's hash"))
}
