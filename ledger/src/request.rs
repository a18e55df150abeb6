//! Requests: one to a hundred IOUs, cleared all or none.

use std::collections::HashSet;

use crate::hash::Hash;
use crate::iou::Iou;
use crate::json;
use crate::limits::{BODY_BYTES_MAX, DEPTH_MAX, INPUTS_MAX, SIGNATURES_MAX};
use crate::rejection::{Code, Earliest, Rejection};
use crate::shape::{Object, Path, array};

/// A request of right shape, hashes, domain and addresses.
#[derive(Clone, Debug)]
pub struct Request {
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
        let inputs = inputs.map_err(unread)?;
        let (data_at, mut reading) = (root.key("data"), Reading::default());
        let at = data_at.key("inputs");
        for (i, input) in array(inputs, &at).map_err(unread)?.iter().enumerate() {
            reading.take(input, domain, &at.index(i)).map_err(unread)?;
        }
        reading.finish(&at)
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
        for (i, input) in inputs.iter().enumerate() {
            // Three levels less: request, data and inputs are around it.
            let value = json::parse(input.as_ref(), DEPTH_MAX - 3).map_err(|mut rejection| {
                rejection.pointer = at.index(i).pointer() + &rejection.pointer;
                unread(rejection)
            })?;
            reading.take(&value, domain, &at.index(i)).map_err(unread)?;
        }
        reading.finish(&at)
    }

    /// The body to send.
    pub fn to_bytes(&self) -> Vec<u8> {
        body_of(self.inputs.iter().map(|iou| iou.bytes.as_slice()))
    }

    /// The hashes of its IOUs: together the request's identity, in any order.
    pub fn ious(&self) -> Vec<Hash> {
        self.inputs.iter().map(|iou| iou.hash).collect()
    }

    /// How many signatures its IOUs carry.
    pub fn signatures(&self) -> usize {
        self.inputs.iter().map(Iou::signatures).sum()
    }
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
    ious: Vec<Hash>,
    inputs: Vec<Iou>,
    signatures: usize,
}

impl Reading {
    fn take(
        &mut self,
        input: &json::Value<'_>,
        domain: &str,
        at: &Path<'_>,
    ) -> Result<(), Rejection> {
        let (hash, iou) = Iou::read(input, domain, at, &mut self.found)?;
        self.ious.push(hash);
        // Over the limit only the count and the shape still matter.
        if self.ious.len() <= INPUTS_MAX
            && let Some(iou) = iou
        {
            self.signatures += iou.signatures();
            self.inputs.push(iou);
        }
        Ok(())
    }

    fn finish(mut self, at: &Path<'_>) -> Result<Request, Refusal> {
        let unread = |rejection| Refusal { rejection, ious: None };
        if self.ious.is_empty() {
            return Err(unread(at.malformed("at least one input")));
        }
        let mut seen = HashSet::with_capacity(self.ious.len());
        if let Some(i) = self.ious.iter().position(|hash| !seen.insert(hash)) {
            return Err(unread(at.index(i).malformed("this input is there twice")));
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
            Ok(()) => Ok(Request { inputs: self.inputs }),
            Err(rejection) => {
                let verified = rejection.code > Code::HashMismatch;
                Err(Refusal { rejection, ious: verified.then_some(self.ious) })
            }
        }
    }
}
