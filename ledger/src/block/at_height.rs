//! Which block stands at a height, under a name that the height alone gives.
//!
//! Hashtable keeps it beside each block, before anything of that block is published. So
//! whoever has neither the log nor Graphstore's intents finds every block again, and nobody
//! makes another one of a height.

use crate::document::end_data;
use crate::fault::{Fault, LeafError, in_fault, parse_document};
use crate::hash::Hash;
use crate::json::{Value, write_text, write_texts};
use crate::rejection::Rejection;
use crate::shape::{Object, Path, array, text};

/// A block, and its leaves that are no records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AtHeight {
    /// Its name.
    pub block: Hash,
    /// Names of its genesis, stack and keys, as far as it has them, in the order of the log.
    pub documents: Vec<Hash>,
}

impl AtHeight {
    /// Under which name it is found.
    pub fn name(domain: &str, height: u64) -> Hash {
        let mut data = Vec::new();
        write_data(domain, height, &mut data);
        Hash::sha3(&data)
    }

    /// Its name and the document, `{data, hash, meta}`: where in its data, which block in
    /// its meta.
    pub fn document(&self, domain: &str, height: u64) -> (Hash, Vec<u8>) {
        let mut bytes = b"{\"data\":".to_vec();
        let data_start = bytes.len();
        write_data(domain, height, &mut bytes);
        let name = end_data(&mut bytes, data_start);
        bytes.extend_from_slice(b"{\"block\":");
        write_text(&self.block.to_string(), &mut bytes);
        bytes.extend_from_slice(b",\"documents\":[");
        for (i, name) in self.documents.iter().enumerate() {
            if i > 0 {
                bytes.push(b',');
            }
            write_text(&name.to_string(), &mut bytes);
        }
        bytes.extend_from_slice(b"]}}");
        (name, bytes)
    }

    /// Reads it as it is stored. Of which height it is, its name has told.
    ///
    /// # Errors
    /// What is wrong first, in the order of [`crate::leaf::Fault`].
    pub fn parse(bytes: &[u8]) -> Result<AtHeight, LeafError> {
        let document = parse_document(bytes)?;
        document.named.clone().map_err(in_fault(Fault::Hash))?;
        AtHeight::read(&document.meta).map_err(in_fault(Fault::Header))
    }

    fn read(meta: &Value<'_>) -> Result<AtHeight, Rejection> {
        let at = Path::ROOT;
        let at = at.key("meta");
        let meta = Object::new(meta, &at, &["block", "documents"])?;
        let list_at = at.key("documents");
        let name = |(i, value): (usize, &Value<'_>)| {
            let at = list_at.index(i);
            let name = text(value, &at)?.parse::<Hash>();
            name.map_err(|_| at.malformed("expected a hash"))
        };
        let documents = array(meta.required("documents", &at)?, &list_at)?;
        Ok(AtHeight {
            block: meta.parsed("block", &at)?,
            documents: documents.iter().enumerate().map(name).collect::<Result<_, _>>()?,
        })
    }
}

const KIND: &str = "height";

fn write_data(domain: &str, height: u64, out: &mut Vec<u8>) {
    write_texts(&[("domain", domain), ("height", &height.to_string()), ("kind", KIND)], out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document;

    /// A block that is not found under its height would be made a second time.
    #[test]
    fn it_is_found_under_its_height_alone() {
        let [block, genesis, keys] = ["b", "g", "k"].map(|text| Hash::sha3(text.as_bytes()));
        for documents in [vec![], vec![genesis], vec![genesis, keys]] {
            let there = AtHeight { block, documents };
            let (name, bytes) = there.document("example.net", 7);
            assert_eq!(name, AtHeight::name("example.net", 7));
            assert_eq!(document::name(&bytes), Ok(name));
            assert_eq!(AtHeight::parse(&bytes).as_ref(), Ok(&there));
        }
        let names = [("example.net", 7), ("example.net", 8), ("example.org", 7)];
        let [a, b, c] = names.map(|(domain, height)| AtHeight::name(domain, height));
        assert!(a != b && a != c && b != c);
    }
}
