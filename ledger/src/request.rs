//! Requests: one to a hundred IOUs, cleared all or none.

use std::collections::HashSet;

use crate::hash::Hash;
use crate::iou::Iou;
use crate::json;
use crate::limits::{BODY_BYTES_MAX, DEPTH_MAX, INPUTS_MAX, SIGNATURES_MAX, VALUES_MAX};
use crate::pointer::Pointer;
use crate::rejection::{Code, Earliest, Rejection};
use crate::shape::{Extent, Object, Path, array};

/// A request of right shape, hashes, domain and addresses.
#[derive(Clone, Debug)]
pub struct Request {
    /// The server that it is for.
    pub domain: Box<str>,
    /// Its IOUs, in the order they were sent.
    pub inputs: Vec<Iou>,
}

/// A refusal, and which record it might repeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub rejection: Rejection,
    /// The verified hashes of the IOUs, when the code comes after
    /// `hash_mismatch`: a repeat of a cleared request is answered with its
    /// record whatever else is wrong with it now.
    pub ious: Option<Vec<Hash>>,
}

impl Request {
    /// Reads a request body `{"data":{"inputs":[IOU,...]}}` for the server of
    /// this domain.
    ///
    /// # Errors
    /// The earliest code over all inputs from `malformed` to
    /// `signature_missing`, then the lowest input.
    pub fn parse(body: &[u8], domain: &str) -> Result<Request, Refusal> {
        let unread = |rejection| Refusal { rejection, ious: None };
        if body.len() > BODY_BYTES_MAX {
            return Err(unread(body_too_large(body.len())));
        }
        let value = json::parse(body, DEPTH_MAX).map_err(unread)?;
        let root = Path::ROOT;
        let inputs = Object::new(&value, &root, &["data"])
            .and_then(|request| request.required("data", &root))
            .and_then(|data| {
                let at = root.key("data");
                Object::new(data, &at, &["inputs"])?.required("inputs", &at)
            });
        let inputs = inputs.map_err(|rejection| {
            unread(match is_iou(&value) {
                true => root.malformed(
                    "this is an IOU; a request holds it: {\"data\":{\"inputs\":[IOU,...]}}",
                ),
                false => rejection,
            })
        })?;
        let (data_at, mut reading) = (root.key("data"), Reading::default());
        let at = data_at.key("inputs");
        let inputs = array(inputs, &at).map_err(unread)?;
        reading.take(inputs, domain, &at).map_err(unread)?;
        reading.finish(domain, &at)
    }

    /// Reads the IOUs of a request one by one, as they travel between services.
    ///
    /// # Errors
    /// As [`Request::parse`].
    pub fn from_inputs<B: AsRef<[u8]>>(inputs: &[B], domain: &str) -> Result<Request, Refusal> {
        let unread = |rejection| Refusal { rejection, ious: None };
        let (root, mut reading) = (Path::ROOT, Reading::default());
        let data_at = root.key("data");
        let at = data_at.key("inputs");
        // Three levels and values less: request, data and inputs are around
        // them. All are read before any is judged, as in one body.
        let count = json::Count::new(VALUES_MAX);
        (0..3).for_each(|_| assert!(count.add(), "the first three of many"));
        let mut values = Vec::with_capacity(inputs.len());
        for (i, input) in inputs.iter().enumerate() {
            let value = json::parse_part(input.as_ref(), DEPTH_MAX - 3, &count);
            values.push(value.map_err(|mut rejection| {
                rejection.pointer = at.index(i).pointer() + &rejection.pointer;
                unread(rejection)
            })?);
        }
        reading.take(&values, domain, &at).map_err(unread)?;
        reading.finish(domain, &at)
    }

    /// The IOUs of a record, whose size bounds their values.
    pub(crate) fn from_values(
        inputs: &[json::Value<'_>],
        domain: &str,
        at: &Path<'_>,
    ) -> Result<Request, Refusal> {
        let unread = |rejection| Refusal { rejection, ious: None };
        let mut reading = Reading::default();
        reading.take(inputs, domain, at).map_err(unread)?;
        reading.finish(domain, at)
    }

    /// The body to send.
    pub fn to_bytes(&self) -> Vec<u8> {
        body_of(self.inputs.iter().map(|iou| iou.bytes.as_slice()))
    }

    /// The hashes of its IOUs: together the request's identity, in any order.
    pub fn ious(&self) -> Vec<Hash> {
        self.inputs.iter().map(|iou| iou.hash).collect()
    }

    /// The locks that its IOUs use, in their order.
    pub fn collects(&self) -> impl Iterator<Item = Pointer> + '_ {
        self.inputs.iter().filter_map(|iou| iou.solver.as_ref()).map(|solver| solver.output)
    }

    /// How many signatures its IOUs carry.
    pub fn signatures(&self) -> usize {
        self.inputs.iter().map(Iou::signatures).sum()
    }
}

/// Whether this is an IOU where a request belongs: then its keys are not what is wrong.
fn is_iou(value: &json::Value<'_>) -> bool {
    json::member(value, "data").is_some_and(|data| json::member(data, "source").is_some())
}

/// The body of a request with these IOUs.
pub fn body_of<'a>(ious: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut out = b"{\"data\":{\"inputs\":[".to_vec();
    for (i, iou) in ious.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(iou);
    }
    out.extend_from_slice(b"]}}");
    out
}

/// The refusal of a body over its limit, whether or not it was read.
pub fn body_too_large(bytes: usize) -> Rejection {
    Rejection::new(Code::TooLarge, "", "the body is larger than its limit in bytes")
        .measured(BODY_BYTES_MAX, bytes)
}

/// What has been read of a request so far.
#[derive(Default)]
struct Reading {
    found: Earliest,
    /// Every input's, also of those that were not read whole.
    ious: Vec<Hash>,
    inputs: Vec<Iou>,
    /// Over every input, also of those that were not read whole.
    signatures: usize,
}

impl Reading {
    fn take(
        &mut self,
        inputs: &[json::Value<'_>],
        domain: &str,
        at: &Path<'_>,
    ) -> Result<(), Rejection> {
        let mut seen = HashSet::with_capacity(inputs.len());
        for (i, input) in inputs.iter().enumerate() {
            // Once one of these codes is certain only earlier ones matter,
            // and they need no address and no hash.
            let over = inputs.len() > INPUTS_MAX || self.signatures > SIGNATURES_MAX;
            let decided = over || self.found.code().is_some_and(|c| c <= Code::HashMismatch);
            let extent = if decided { Extent::Shape } else { Extent::Whole };
            let at = at.index(i);
            let read = Iou::read(input, domain, extent, &at, &mut self.found)?;
            if !seen.insert(read.hash) {
                return Err(at.malformed("this input is there twice"));
            }
            self.ious.push(read.hash);
            self.signatures += read.signatures;
            self.inputs.extend(read.iou);
        }
        Ok(())
    }

    fn finish(mut self, domain: &str, at: &Path<'_>) -> Result<Request, Refusal> {
        if self.ious.is_empty() {
            let rejection = at.malformed("at least one input");
            return Err(Refusal { rejection, ious: None });
        }
        for (what, limit, actual) in [
            ("too many inputs", INPUTS_MAX, self.ious.len()),
            ("too many signatures in one request", SIGNATURES_MAX, self.signatures),
        ] {
            if actual > limit {
                self.found.note(at.rejection(Code::TooLarge, what).measured(limit, actual));
            }
        }
        match self.found.into_result() {
            Ok(()) => Ok(Request { domain: domain.into(), inputs: self.inputs }),
            Err(rejection) => {
                let verified = rejection.code > Code::HashMismatch;
                Err(Refusal { rejection, ious: verified.then_some(self.ious) })
            }
        }
    }
}
