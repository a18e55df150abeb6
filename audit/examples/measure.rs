//! How fast an audit is and how much memory it takes, beside what the same
//! machine can do at all.
//!
//! `measure make DIR RECORDS [ACCOUNTS]` writes a log; `measure audit DIR`
//! audits it once with everything and once for its structure, and prints what
//! the goals are stated in. Memory is that of the whole process at its peak,
//! so measure it with one audit a process: `measure audit DIR full|structure`.

// The builder of the tests, so that both speak of the same kind of log.
#[path = "../tests/all/chain.rs"]
#[allow(dead_code)]
mod chain;

use std::path::Path;
use std::time::Instant;

use cpu_time::ProcessTime;
use sha3::Digest as _;
use webwallet_audit::{Audit, Source};
use webwallet_ledger::Time;

use chain::{DOMAIN, Log};

// As the auditor does.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["make", directory, records] => make(directory, records, "10000"),
        ["make", directory, records, accounts] => make(directory, records, accounts),
        ["audit", directory, what] => audit(directory, what == "structure"),
        ["calibrate", directory] => calibrate(directory),
        _ => eprintln!(
            "measure make DIR RECORDS [ACCOUNTS] | audit DIR full|structure | calibrate DIR"
        ),
    }
}

/// Payments of one unit among so many accounts, 1,000 to a block.
fn make(directory: &str, records: &str, accounts: &str) {
    let (records, accounts): (usize, usize) =
        (records.parse().expect("a number"), accounts.parse().expect("a number"));
    let names: Vec<String> = (0..accounts).map(|i| format!("holder {i}")).collect();
    let mut log = Log::new();
    for i in 0..records {
        log.now_ms += 1;
        let to = i % accounts;
        // Every other payment is one among holders.
        match i % 2 {
            0 => log.pay("issuer", &names[to], "12.50", "issuer"),
            _ => log.pay(&names[to - 1], &names[(to * 7) % accounts], "0.25", "issuer"),
        }
        if i % 1_000 == 999 {
            log.seal();
        }
    }
    log.seal();
    log.write(Path::new(directory), &[]);
}

fn audit(directory: &str, structure: bool) {
    let audit = Audit {
        key: Log::first_key(),
        domain: DOMAIN.into(),
        from: None,
        structure,
        max_age_ms: None,
        now: Time::from_unix_ms(i64::MAX),
    };
    let source = Source::open(directory, None).expect("a directory");
    let (start, processors) = (Instant::now(), ProcessTime::now());
    let report = audit.run(&source, &mut |_| {}).expect("readable");
    let (seconds, busy) = (start.elapsed().as_secs_f64(), processors.elapsed().as_secs_f64());
    let records = report.records as f64;
    let word = if report.is_accepted() { "accepted" } else { "REJECTED" };
    println!("{word}: {records} records in {seconds:.2} s, {:.0}/s", records / seconds);
    println!("CPU time {:.2} us a record", busy * 1e6 / records);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("{line}");
    }
}

/// Z: signatures a second of ed25519-dalek's own batch of 1,024; and the time of
/// SHA3-256 and SHA-256 over the bytes of the log; all on one core, in its time.
fn calibrate(directory: &str) {
    use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
    let keys: Vec<SigningKey> = (0..1_024_u32)
        .map(|i| SigningKey::from_bytes(&chain::secret(&format!("key {i}"))))
        .collect();
    let messages: Vec<[u8; 32]> = (0..1_024_u32).map(|i| chain::secret(&i.to_string())).collect();
    let signatures: Vec<Signature> = keys.iter().zip(&messages).map(|(k, m)| k.sign(m)).collect();
    let publics: Vec<VerifyingKey> = keys.iter().map(SigningKey::verifying_key).collect();
    let messages: Vec<&[u8]> = messages.iter().map(|m| &m[..]).collect();
    let start = ProcessTime::now();
    for _ in 0..100 {
        ed25519_dalek::verify_batch(&messages, &signatures, &publics).expect("all good");
    }
    println!("Z {:.0} signatures/s", 102_400.0 / start.elapsed().as_secs_f64());
    let (mut bytes, mut seconds) = (0, 0.0);
    for group in std::fs::read_dir(Path::new(directory).join("tile/entries")).expect("a log") {
        let path = group.expect("an entry").path();
        let Ok(bundle) = std::fs::read(path) else { continue };
        let start = ProcessTime::now();
        std::hint::black_box((sha3::Sha3_256::digest(&bundle), sha2::Sha256::digest(&bundle)));
        seconds += start.elapsed().as_secs_f64();
        bytes += bundle.len();
    }
    println!(
        "SHA3-256 and SHA-256 of {bytes} bytes: {:.2} ns a byte",
        seconds * 1e9 / bytes as f64
    );
}
