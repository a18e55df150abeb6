//! What verifying costs, in elements (signatures) per second: one by one, in
//! batches, with keys seen before and new ones.
//!
//! A request may carry 128 signatures under 128 keys never seen before; the
//! groups of 128 are that worst case.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use curve25519_dalek::edwards::EdwardsPoint;
use curve25519_dalek::scalar::Scalar;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use webwallet_ledger::signature::{Check, Keys, Scheme, public_of, sign_eddsa, verify};

#[path = "../src/signature/coordinates.rs"]
#[allow(dead_code)]
mod coordinates;
#[path = "../src/signature/ecdsa_signer.rs"]
#[allow(dead_code)]
mod ecdsa_signer;

/// `count` valid EdDSA checks by `signers` keys in turn.
fn eddsa(count: usize, signers: usize, random: &mut StdRng) -> Vec<Check> {
    let secrets: Vec<[u8; 32]> = (0..signers).map(|_| random.random()).collect();
    let sign = |secret: &[u8; 32]| {
        let message = random.random();
        Check {
            scheme: Scheme::EddsaEd25519,
            public: public_of(secret).to_vec(),
            message,
            signature: sign_eddsa(secret, &message).to_vec(),
        }
    };
    secrets.iter().cycle().take(count).map(sign).collect()
}

/// `count` valid ECDSA checks by as many keys.
fn ecdsa(count: usize, random: &mut StdRng) -> Vec<Check> {
    let sign = |_| {
        let (secret, nonce) = (Scalar::random(random), Scalar::random(random));
        let message = random.random();
        Check {
            scheme: Scheme::EcdsaEd25519,
            public: ecdsa_signer::compressed(EdwardsPoint::mul_base(&secret)),
            message,
            signature: ecdsa_signer::sign(&secret, &nonce, &message),
        }
    };
    (0..count).map(sign).collect()
}

fn signatures(criterion: &mut Criterion) {
    let random = &mut StdRng::seed_from_u64(1);
    let cases = [
        ("eddsa/1", eddsa(1, 1, random)),
        ("eddsa/128", eddsa(128, 128, random)),
        ("eddsa/150", eddsa(150, 150, random)),
        ("eddsa/256", eddsa(256, 256, random)),
        ("eddsa/1024", eddsa(1024, 1024, random)),
        ("eddsa/1024 of 16 keys", eddsa(1024, 16, random)),
        ("ecdsa/1", ecdsa(1, random)),
        ("ecdsa/128", ecdsa(128, random)),
    ];
    let mut group = criterion.benchmark_group("verify");
    for (name, checks) in cases {
        let keys = Keys::new(10_000);
        assert!(verify(&checks, &keys, random).into_iter().all(|valid| valid), "{name}");
        group.throughput(Throughput::Elements(checks.len() as u64));
        group.bench_function(name, |b| b.iter(|| verify(black_box(&checks), &keys, random)));
        if checks.len() <= 128 {
            group.bench_function(format!("{name} new keys"), |b| {
                b.iter_batched_ref(
                    || Keys::new(200),
                    |keys| verify(black_box(&checks), keys, random),
                    BatchSize::SmallInput,
                );
            });
        }
        // One bad signature: the batch, and then all one by one.
        if checks.len() == 1024 {
            let mut spoilt = checks.clone();
            spoilt[512].message[0] ^= 1;
            group.bench_function(format!("{name} one bad"), |b| {
                b.iter(|| verify(black_box(&spoilt), &keys, random));
            });
        }
    }
    group.finish();

    let point = EdwardsPoint::mul_base(&Scalar::random(random));
    criterion.bench_function("is_torsion_free of dalek", |b| {
        b.iter(|| black_box(&point).is_torsion_free());
    });
}

criterion_group!(benches, signatures);
criterion_main!(benches);
