//! Two organisations swap units over two servers that know nothing of each
//! other, from the command line; and at each step one of the two is gone. If one
//! of these failed, somebody would lose more than the screen said before signing.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use webwallet_ledger::lock::puzzle_of;
use webwallet_tests::process::{Process, binary};

const START: &str = "2030-01-01T00:00:00.000Z";
/// bob's lock ends well before alice's: whoever shows the preimage last has time.
const SHORT: &str = "2030-01-02T00:00:00.000Z";
const LONG: &str = "2030-01-03T00:00:00.000Z";
const PREIMAGE: &str = "5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a";

/// A server of its own domain, and its clock.
struct Server {
    process: Process,
    clock: PathBuf,
}

impl Server {
    fn new(domain: &str, folder: &Path) -> Server {
        let (data, clock) = (folder.join(domain), folder.join(format!("{domain}.clock")));
        std::fs::write(&clock, START).expect("a clock");
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let arguments =
            ["--admin", "127.0.0.1:0", "--data", &text(&data), "--test-clock", &text(&clock)];
        let process = Process::of_domain(domain, &arguments);
        Server { process, clock }
    }

    fn set_time(&self, time: &str) {
        // Replaced as a whole: the server must never read half of it.
        let next = self.clock.with_extension("next");
        std::fs::write(&next, time).expect("a clock");
        std::fs::rename(next, &self.clock).expect("a clock");
    }
}

/// alice issues on one server, bob on the other; alice is to have 7 of bob's
/// unit for 5 of hers.
struct Swap {
    folder: tempfile::TempDir,
    ours: Server,
    theirs: Server,
}

impl Swap {
    fn new() -> Swap {
        let folder = tempfile::tempdir().expect("a folder");
        let ours = Server::new("ours.example", folder.path());
        let theirs = Server::new("theirs.example", folder.path());
        let swap = Swap { folder, ours, theirs };
        for who in ["alice", "bob"] {
            swap.run(who, &swap.ours, &["key", "new", who]);
        }
        swap
    }

    /// What somebody's command answered on a server, and the code it ended with.
    fn run(&self, who: &str, server: &Server, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = Command::new(binary())
            .args(arguments)
            .arg("--json")
            .env("WEBWALLET_HOME", self.folder.path().join(who))
            .env("WEBWALLET_URL", server.process.url())
            .output()
            .expect("it runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        let answer = serde_json::from_slice(&output.stdout);
        (output.status.code(), answer.unwrap_or_else(|_| panic!("{arguments:?}: {errors}")))
    }

    fn done(&self, who: &str, server: &Server, arguments: &[&str]) -> Value {
        let (code, answer) = self.run(who, server, arguments);
        assert_eq!(code, Some(0), "{who} {arguments:?}: {answer}");
        answer
    }

    fn refused(&self, who: &str, server: &Server, arguments: &[&str]) -> (String, String) {
        let (code, answer) = self.run(who, server, arguments);
        assert_eq!(code, Some(1), "{who} {arguments:?}: {answer}");
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        (text("code"), text("retry"))
    }

    fn address(&self, who: &str) -> String {
        let key = self.done(who, &self.ours, &["key", "show", who]);
        key["address"].as_str().expect("an address").to_owned()
    }

    /// Locks by the hash; gives the lock.
    fn lock(&self, who: &str, server: &Server, to: &str, amount: &str, until: &str) -> String {
        let hash = puzzle_of(&format!("0x{PREIMAGE}")).to_string();
        let to = self.address(to);
        let pay = ["issue", "--from", who, "--to", &to, "--amount", amount];
        let lock = ["--until", until, "--hash-lock", &hash, "--expiry", until];
        let record = self.done(who, server, &[&pay[..], &lock].concat());
        let outputs = record["data"]["outputs"].as_array().expect("outputs");
        assert!(outputs[1]["locker"].is_object(), "{record}");
        format!("{}::1", record["hash"]["value"].as_str().expect("a hash"))
    }

    fn alice_locks(&self) -> String {
        self.lock("alice", &self.ours, "bob", "5", LONG)
    }

    fn bob_locks(&self) -> String {
        self.lock("bob", &self.theirs, "alice", "7", SHORT)
    }

    fn set_time(&self, time: &str) {
        self.ours.set_time(time);
        self.theirs.set_time(time);
    }

    /// What somebody holds of the unit of a server's issuer, and what that one owes.
    fn held(&self, who: &str, server: &Server, issuer: &str) -> (String, String) {
        let net = |who: &str| {
            let (of, unit) = (self.address(who), self.address(issuer));
            let answer = self.done(who, server, &["balance", &of, "--unit", &unit]);
            let units = answer["data"]["units"].as_array().expect("units");
            units.first().map_or("0".into(), |unit| {
                unit["balance"]["net"].as_str().expect("a net").to_owned()
            })
        };
        (net(who), net(issuer))
    }
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn two_servers_swap_two_units() {
    let swap = Swap::new();
    let (first, second) = (swap.alice_locks(), swap.bob_locks());
    // Nobody has anything before the preimage is shown.
    let blind = ["release", &first, "--with", "bob"];
    assert_eq!(swap.refused("bob", &swap.ours, &blind).0, "lock_unsolved");
    let wrong = ["release", &first, "--with", "bob", "--preimage", &"00".repeat(32)];
    assert_eq!(swap.refused("bob", &swap.ours, &wrong).0, "lock_unsolved");
    let shows = ["release", &second, "--with", "alice", "--preimage", PREIMAGE];
    let record = swap.done("alice", &swap.theirs, &shows);
    // Whoever shows it to one server has shown it to everybody.
    let shown = record["meta"]["inputs"][0]["data"]["solver"]["hashee"].as_str();
    let shown = shown.and_then(|hashee| hashee.strip_prefix("0x")).expect("a preimage").to_owned();
    let takes = ["release", &first, "--with", "bob", "--preimage", &shown];
    swap.done("bob", &swap.ours, &takes);
    assert_eq!(swap.held("alice", &swap.theirs, "bob"), pair("7", "-7"));
    assert_eq!(swap.held("bob", &swap.ours, "alice"), pair("5", "-5"));
    assert_eq!(swap.refused("bob", &swap.ours, &takes).0, "lock_not_found");
}

/// bob never locks: alice has hers back when her time is over, and not before.
#[test]
fn bob_is_gone_after_alice_has_locked() {
    let swap = Swap::new();
    let first = swap.alice_locks();
    let back = ["refund", &first, "--with", "alice"];
    assert_eq!(swap.refused("alice", &swap.ours, &back), pair("lock_closed", "later"));
    swap.set_time(LONG);
    swap.done("alice", &swap.ours, &back);
    assert_eq!(swap.held("bob", &swap.ours, "alice"), pair("0", "0"));
}

/// alice never shows the preimage: each has their own back.
#[test]
fn alice_is_gone_after_both_have_locked() {
    let swap = Swap::new();
    let (first, second) = (swap.alice_locks(), swap.bob_locks());
    swap.set_time(SHORT);
    swap.done("bob", &swap.theirs, &["refund", &second, "--with", "bob"]);
    // Too late for her to have his, so she still has a day to have hers back.
    let late = ["release", &second, "--with", "alice", "--preimage", PREIMAGE];
    assert_eq!(swap.refused("alice", &swap.theirs, &late).0, "lock_not_found");
    swap.set_time(LONG);
    swap.done("alice", &swap.ours, &["refund", &first, "--with", "alice"]);
    assert_eq!(swap.held("alice", &swap.theirs, "bob"), pair("0", "0"));
    assert_eq!(swap.held("bob", &swap.ours, "alice"), pair("0", "0"));
}

/// alice comes at the moment when bob's lock ends: it is his again. (Whoever is
/// late by their own clock sends nothing: a preimage shown too late opens hers.)
#[test]
fn alice_is_late() {
    let swap = Swap::new();
    let (_, second) = (swap.alice_locks(), swap.bob_locks());
    swap.set_time(SHORT);
    let late = ["release", &second, "--with", "alice", "--preimage", PREIMAGE];
    assert_eq!(swap.refused("alice", &swap.theirs, &late), pair("lock_closed", "never"));
    swap.done("bob", &swap.theirs, &["refund", &second, "--with", "bob"]);
    assert_eq!(swap.held("alice", &swap.theirs, "bob"), pair("0", "0"));
    let past = Server::new("past.example", swap.folder.path());
    past.set_time("2020-01-01T00:00:00.000Z");
    let end = "2020-06-01T00:00:00.000Z";
    let third = swap.lock("bob", &past, "alice", "7", end);
    let late = ["release", &third, "--with", "alice", "--preimage", PREIMAGE];
    assert_eq!(swap.refused("alice", &past, &late), pair("lock_closed", "never"));
    let iou = swap.done("bob", &past, &["balance", "bob"]);
    assert_eq!(iou["data"]["units"][0]["balance"]["net"], "-7");
}

/// bob is gone after alice has shown the preimage: he has until her lock ends,
/// which is what his screen said; from then on it is hers.
#[test]
fn bob_is_gone_after_the_preimage_was_shown() {
    let swap = Swap::new();
    let (first, second) = (swap.alice_locks(), swap.bob_locks());
    let shows = ["release", &second, "--with", "alice", "--preimage", PREIMAGE];
    swap.done("alice", &swap.theirs, &shows);
    swap.set_time("2030-01-02T23:59:59.999Z");
    let back = ["refund", &first, "--with", "alice"];
    assert_eq!(swap.refused("alice", &swap.ours, &back), pair("lock_closed", "later"));
    swap.done("bob", &swap.ours, &["release", &first, "--with", "bob", "--preimage", PREIMAGE]);
    assert_eq!(swap.held("bob", &swap.ours, "alice"), pair("5", "-5"));
}
