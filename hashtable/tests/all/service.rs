//! What a caller of Hashtable's gRPC service is told, whatever the engine.

use std::time::Duration;

use bytes::Bytes;
use tonic::Code;
use webwallet_hashtable::{Document, Embedded, Error, Store, server};
use webwallet_ledger::Hash;
use webwallet_proto::hashtable::DOCUMENTS_MAX;
use webwallet_proto::{
    hashtable::{
        self,
        v1::{self, Found, GetRequest, PutRequest, hashtable_client::HashtableClient},
    },
    link::Link,
};

fn client(store: impl Store) -> HashtableClient<Link> {
    hashtable::client(Link::embedded(server(store), Duration::from_secs(30)))
}

fn document(text: &str) -> v1::Document {
    let data = format!(r#"{{"text":"{text}"}}"#);
    let name = Hash::sha3(data.as_bytes());
    let body = format!(
        r#"{{"data":{data},"hash":{{"steps":"stringify:data","types":"sha3-256","value":"{name}"}},"meta":{{}}}}"#
    );
    v1::Document { hash: name.0.to_vec().into(), body: body.into(), number: 0 }
}

/// Bytes under a name that is not theirs would be served as what they are not.
#[tokio::test]
async fn only_a_document_that_is_the_bytes_of_its_name_is_stored() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut client = client(Embedded::open(folder.path()).expect("it opens"));
    let good = document("good");
    let other = document("other");
    let with = |change: fn(&mut v1::Document)| {
        let mut document = document("bad");
        change(&mut document);
        document
    };
    let bad = [
        v1::Document { hash: other.hash.clone(), ..document("bad") },
        v1::Document { body: other.body.clone(), ..document("bad") },
        with(|d| d.hash = Bytes::new()),
        with(|d| d.hash = d.hash.slice(1..)),
        with(|d| d.body = Bytes::new()),
        with(|d| d.body = "{}".into()),
        with(|d| d.body = [&d.body[..], b" "].concat().into()),
        with(|d| d.body = [b" ", &d.body[..]].concat().into()),
        with(|d| {
            let mut changed = d.body.to_vec();
            changed[12] ^= 1;
            d.body = changed.into();
        }),
    ];
    for bad in bad {
        let request = PutRequest { documents: vec![good.clone(), bad.clone()] };
        let status = client.put(request).await.expect_err("refused");
        assert_eq!(status.code(), Code::InvalidArgument, "{bad:?}: {status:?}");
    }
    let hashes = vec![good.hash.clone(), document("bad").hash, other.hash];
    let reply = client.get(GetRequest { hashes: hashes.clone() }).await.expect("answered");
    assert_eq!(reply.into_inner().documents, vec![Found { body: None }; 3], "nothing is stored");

    client.put(PutRequest { documents: vec![good.clone()] }).await.expect("stored");
    let reply = client.get(GetRequest { hashes }).await.expect("answered");
    let found = Found { body: Some(good.body) };
    assert_eq!(reply.into_inner().documents, [found, Found::default(), Found::default()]);
}

/// One call would take the memory of all, or one within the limit be refused.
#[tokio::test]
async fn a_call_is_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut client = client(Embedded::open(folder.path()).expect("it opens"));
    let documents: Vec<_> = (0..=DOCUMENTS_MAX).map(|n| document(&n.to_string())).collect();
    let hashes: Vec<_> = documents.iter().map(|document| document.hash.clone()).collect();

    let put = |documents: &[v1::Document]| PutRequest { documents: documents.to_vec() };
    let status = client.put(put(&documents)).await.expect_err("one too many");
    assert_eq!(status.code(), Code::InvalidArgument);
    client.put(put(&documents[1..])).await.expect("at the limit");

    let get = |hashes: &[Bytes]| GetRequest { hashes: hashes.to_vec() };
    let status = client.get(get(&hashes)).await.expect_err("one too many");
    assert_eq!(status.code(), Code::InvalidArgument);
    let reply = client.get(get(&hashes[1..])).await.expect("at the limit");
    let found = reply.into_inner().documents;
    assert_eq!(found.iter().filter(|found| found.body.is_some()).count(), DOCUMENTS_MAX);

    let status = client.get(get(&[Bytes::from_static(b"short")])).await.expect_err("no hash");
    assert_eq!(status.code(), Code::InvalidArgument);
}

/// A store in which everything goes wrong in one way.
struct Failing(fn() -> Error);

impl Store for Failing {
    fn name(&self) -> String {
        "failing".to_owned()
    }
    fn may_be_lossy(&self) -> bool {
        false
    }
    async fn put(&self, _: Vec<Document>) -> Result<(), Error> {
        Err(self.0())
    }
    async fn get(&self, _: &[Hash]) -> Result<Vec<Option<Bytes>>, Error> {
        Err(self.0())
    }
    async fn supplied(&self, _: Hash) -> Result<Option<Bytes>, Error> {
        Err(self.0())
    }
    async fn numbered(&self, _: u64, _: u32) -> Result<Vec<Document>, Error> {
        Err(self.0())
    }
    async fn names(&self, _: u64, _: u32) -> Result<Vec<Hash>, Error> {
        Err(self.0())
    }
    async fn highest(&self) -> Result<u64, Error> {
        Err(self.0())
    }
}

/// A caller must know whether to try again, and need not know more.
#[tokio::test]
async fn a_failure_says_whether_to_try_again_and_no_more() {
    let failures: [(fn() -> Error, Code); 3] = [
        (|| Error::Damaged(Hash([1; 32])), Code::DataLoss),
        (|| Error::Stopped("/secret/path".to_owned()), Code::Unavailable),
        (|| Error::Engine("/secret/path".into()), Code::Unavailable),
    ];
    for (failure, code) in failures {
        let mut client = client(Failing(failure));
        let put = client.put(PutRequest { documents: vec![document("a")] }).await;
        let get = client.get(GetRequest { hashes: vec![document("a").hash] }).await;
        for status in [put.expect_err("failed"), get.expect_err("failed")] {
            assert_eq!(status.code(), code);
            assert!(!status.message().contains("secret"), "{status:?}");
        }
    }
}
