//! Two organisations swap units over two servers that know nothing of each
//! other, from the command line; and at each step one of the two is gone. If one
//! of these failed, somebody would lose more than the screen said before signing.
//!
//! The servers have a clock of the tests. It goes with that of the machine, by which
//! the commands go, until a test sets it.

mod again;
mod terms;

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use webwallet_ledger::Time;
use webwallet_ledger::draft::Draft;
use webwallet_ledger::lock::{Solver, puzzle_of};
use webwallet_ledger::request::body_of;
use webwallet_tests::party::now;
use webwallet_tests::process::{Process, agent, binary, post};

const HOUR_MS: i64 = 3_600_000;

const PREIMAGE: &str = "5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a4e5e5a";

/// A server of its own domain, and its clock.
struct Server {
    process: Process,
    clock: PathBuf,
    /// How far its clock is ahead of the machine's; none where it stands still.
    ahead_ms: Cell<Option<i64>>,
}

/// So many milliseconds from now, by the clock of the machine.
fn from_now(ms: i64) -> Time {
    Time::from_unix_ms(now().unix_ms() + ms)
}

/// So many milliseconds from a time.
fn moved(time: &str, ms: i64) -> String {
    let time: Time = time.parse().expect("a time");
    Time::from_unix_ms(time.unix_ms() + ms).to_string()
}

impl Server {
    fn new(domain: &str, folder: &Path, ahead_ms: i64) -> Server {
        let (data, clock) = (folder.join(domain), folder.join(format!("{domain}.clock")));
        std::fs::write(&clock, from_now(ahead_ms).to_string()).expect("a clock");
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let arguments =
            ["--admin", "127.0.0.1:0", "--data", &text(&data), "--test-clock", &text(&clock)];
        let process = Process::of_domain(domain, &arguments);
        Server { process, clock, ahead_ms: Cell::new(Some(ahead_ms)) }
    }

    fn set_time(&self, time: &str) {
        self.ahead_ms.set(None);
        self.write(time);
    }

    /// Goes with the machine, unless it was set.
    fn tick(&self) {
        if let Some(ahead) = self.ahead_ms.get() {
            self.write(&from_now(ahead).to_string());
        }
    }

    fn write(&self, time: &str) {
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
    /// bob's lock ends well before alice's: whoever shows the preimage last has time.
    short: String,
    long: String,
}

impl Swap {
    fn new() -> Swap {
        Swap::begun(0, 0)
    }

    /// With servers whose clocks are so far ahead of the machine's.
    fn begun(ours_ms: i64, theirs_ms: i64) -> Swap {
        let folder = tempfile::tempdir().expect("a folder");
        let ours = Server::new("ours.example", folder.path(), ours_ms);
        let theirs = Server::new("theirs.example", folder.path(), theirs_ms);
        let [short, long] = [24, 48].map(|hours| from_now(hours * HOUR_MS).to_string());
        let swap = Swap { folder, ours, theirs, short, long };
        for who in ["alice", "bob"] {
            swap.run(who, &swap.ours, &["key", "new", who]);
        }
        swap
    }

    fn command(&self, who: &str, server: &Server, arguments: &[&str]) -> Command {
        self.ours.tick();
        self.theirs.tick();
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .env("WEBWALLET_HOME", self.folder.path().join(who))
            .env("WEBWALLET_URL", server.process.url());
        command
    }

    /// What somebody sees who types a command about alice's server.
    fn screen(&self, who: &str, arguments: &[&str]) -> String {
        let output = self.command(who, &self.ours, arguments).output().expect("it runs");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// What somebody's command answered on a server, and the code it ended with.
    fn run(&self, who: &str, server: &Server, arguments: &[&str]) -> (Option<i32>, Value) {
        let mut command = self.command(who, server, arguments);
        let output = command.arg("--json").output().expect("it runs");
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

    /// Both are here, and what one does is in the folder for the other.
    fn step(&self, who: &str, step: &str) -> (Option<i32>, Value) {
        self.run(who, &self.ours, &["swap", step, &self.terms(), "--with", who])
    }

    fn does(&self, who: &str, step: &str) -> Value {
        let (code, answer) = self.step(who, step);
        assert_eq!(code, Some(0), "{who} {step}: {answer}");
        answer
    }

    fn is_refused(&self, who: &str, step: &str) -> (String, String) {
        let (code, answer) = self.step(who, step);
        assert_eq!(code, Some(1), "{who} {step}: {answer}");
        let text = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        (text("code"), text("retry"))
    }

    fn terms(&self) -> String {
        self.folder.path().join("swap.json").to_str().expect("UTF-8").to_owned()
    }

    /// The arguments of alice's offer: 5 of hers for 7 of bob's.
    fn offer(&self, until: &str, their_until: &str) -> Vec<String> {
        let (bob, url, file) = (self.address("bob"), self.theirs.process.url(), self.terms());
        let offer = ["swap", "offer", "--from", "alice", "--to", &bob, "--give", "5", "--take"];
        let terms = ["7", "--their-url", &url, "--until", until, "--their-until", their_until];
        let arguments = [&offer[..], &terms[..], &["-o", &file]].concat();
        arguments.into_iter().map(str::to_owned).collect()
    }

    fn alice_offers(&self) -> Value {
        let offer = self.offer(&self.long, &self.short);
        self.done("alice", &self.ours, &offer.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn states(&self) -> (String, String) {
        let terms = self.terms();
        let shown = self.done("bob", &self.ours, &["swap", "show", &terms]);
        let state = |leg: &str| shown[leg]["state"].as_str().expect("a state").to_owned();
        (state("first"), state("second"))
    }

    fn set_time(&self, time: &str) {
        self.ours.set_time(time);
        self.theirs.set_time(time);
    }

    /// What alice has of bob's unit, and bob of hers; and that each issuer owes
    /// just that.
    fn held(&self) -> (String, String) {
        let net = |who: &str, server: &Server, issuer: &str| {
            let (of, unit) = (self.address(who), self.address(issuer));
            let answer = self.done(who, server, &["balance", &of, "--unit", &unit]);
            let units = answer["data"]["units"].as_array().expect("units");
            units.first().map_or("0".into(), |unit| {
                unit["balance"]["net"].as_str().expect("a net").to_owned()
            })
        };
        let held = (net("alice", &self.theirs, "bob"), net("bob", &self.ours, "alice"));
        let owed = (net("bob", &self.theirs, "bob"), net("alice", &self.ours, "alice"));
        let sum = |owed: &str, held: &str| owed == held || owed == format!("-{held}");
        assert!(sum(&owed.0, &held.0) && sum(&owed.1, &held.1), "{owed:?} {held:?}");
        held
    }
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn two_servers_swap_two_units() {
    let swap = Swap::new();
    swap.alice_offers();
    assert_eq!(swap.states(), pair("open", "none"));
    assert_eq!(swap.is_refused("alice", "claim").0, "lock_not_found");
    swap.does("bob", "accept");
    assert_eq!(swap.states(), pair("open", "open"));
    // Nobody has anything before the preimage is shown, and nobody can go back.
    assert_eq!(swap.is_refused("bob", "claim").0, "lock_unsolved");
    assert_eq!(swap.is_refused("bob", "refund"), pair("lock_closed", "later"));
    let record = swap.does("alice", "claim");
    // Whoever shows it to one server has shown it to everybody.
    let shown = record["meta"]["inputs"][0]["data"]["solver"]["hashee"].as_str();
    assert!(shown.is_some_and(|hashee| hashee.starts_with("0x")), "{record}");
    assert_eq!(swap.states(), pair("open", "taken"));
    swap.does("bob", "claim");
    assert_eq!((swap.states(), swap.held()), (pair("taken", "taken"), pair("7", "5")));
    for (who, step) in [("alice", "refund"), ("bob", "refund"), ("bob", "accept")] {
        assert_eq!(swap.is_refused(who, step).0, "lock_not_found", "{who} {step}");
    }
    assert_eq!(swap.held(), pair("7", "5"));
}

/// Who has shown the preimage, and is told that what it opens is theirs, must be able to hold
/// the server to it: also where the first time gave no proof.
#[test]
fn what_was_claimed_can_be_proved() {
    let swap = Swap::new();
    swap.alice_offers();
    swap.does("bob", "accept");
    swap.does("alice", "claim");
    let key = swap.theirs.process.line["key"].as_str().expect("a key");
    let receipt = |name: &str| swap.folder.path().join(name).display().to_string();
    let claim = |who: &str, file: &str, key: &str| {
        let terms = swap.terms();
        let claim = ["swap", "claim", &terms, "--with", who, "--receipt", file, "--key", key];
        swap.command(who, &swap.ours, &claim).output().expect("it runs").status.code()
    };
    let (hers, his) = (receipt("hers"), receipt("his"));
    // It is in the log of the server that clears it, and of no other.
    let other = swap.ours.process.line["key"].as_str().expect("a key");
    assert_eq!(claim("alice", &hers, other), Some(2));
    assert_eq!(claim("alice", &hers, key), Some(0));
    assert_eq!(claim("bob", &his, other), Some(0));
    for (file, key) in [(&hers, key), (&his, other)] {
        swap.done("alice", &swap.ours, &["verify", file, "--key", key]);
    }
    assert_eq!(swap.held(), pair("7", "5"));
}

/// bob never locks: alice has hers back when her time is over, and not before.
#[test]
fn bob_is_gone_after_alice_has_locked() {
    let swap = Swap::new();
    swap.alice_offers();
    assert_eq!(swap.is_refused("alice", "refund"), pair("lock_closed", "later"));
    swap.set_time(&swap.long);
    swap.does("alice", "refund");
    assert_eq!((swap.states(), swap.held()), (pair("none", "none"), pair("0", "0")));
    // It is too late for bob to come: there is nothing that he could lock for.
    assert_eq!(swap.is_refused("bob", "accept").0, "lock_not_found");
}

/// alice never shows the preimage: each has their own back.
#[test]
fn alice_is_gone_after_both_have_locked() {
    let swap = Swap::new();
    swap.alice_offers();
    swap.does("bob", "accept");
    swap.set_time(&swap.short);
    swap.does("bob", "refund");
    // Too late for her to have his: she shows nothing, and has a day to have hers back.
    assert_eq!(swap.is_refused("alice", "claim").0, "lock_not_found");
    assert_eq!(swap.is_refused("bob", "claim").0, "lock_unsolved");
    swap.set_time(&swap.long);
    swap.does("alice", "refund");
    assert_eq!((swap.states(), swap.held()), (pair("none", "none"), pair("0", "0")));
}

/// bob is gone after alice has shown the preimage: he has until her lock ends.
#[test]
fn bob_is_gone_after_the_preimage_was_shown() {
    let swap = Swap::new();
    swap.alice_offers();
    swap.does("bob", "accept");
    swap.does("alice", "claim");
    swap.set_time(&moved(&swap.long, -1));
    assert_eq!(swap.is_refused("alice", "refund"), pair("lock_closed", "later"));
    swap.does("bob", "claim");
    assert_eq!(swap.held(), pair("7", "5"));
}

/// The same, and he stays away: then he has nothing for what he gave, which is
/// the worst that his screen named before he signed.
#[test]
fn bob_never_comes_back() {
    let swap = Swap::new();
    swap.alice_offers();
    let screen = swap.screen("bob", &["swap", "accept", &swap.terms(), "--with", "bob"]);
    let (before, after) = screen.split_once("cleared  ").expect("cleared");
    assert!(before.contains("at worst "), "{before}");
    assert!(before.contains("you come later than that: then you have nothing for it"), "{before}");
    assert!(
        before.contains(&swap.long) && before.contains(&swap.short) && !after.contains("worst"),
        "{screen}"
    );
    swap.does("alice", "claim");
    swap.set_time(&swap.long);
    assert_eq!(swap.is_refused("bob", "claim"), pair("lock_closed", "never"));
    swap.does("alice", "refund");
    assert_eq!((swap.states(), swap.held()), (pair("none", "taken"), pair("7", "0")));
}

/// Whoever is late by the server's clock, when their own is behind, shows nothing: with the
/// preimage bob would take hers as well.
#[test]
fn alice_is_late() {
    let swap = Swap::new();
    let offer = swap.offer(&swap.long, &swap.short);
    let screen = swap.screen("alice", &offer.iter().map(String::as_str).collect::<Vec<_>>());
    let (before, _) = screen.split_once("cleared  ").expect("cleared");
    let worst =
        format!("at worst you have nothing for it, and yours back, but not before {}", swap.long);
    assert!(before.contains(&worst), "{before}");
    swap.does("bob", "accept");
    // A minute before the end it could come too late as well.
    for before_ms in [60_000, 0] {
        swap.theirs.set_time(&moved(&swap.short, -before_ms));
        assert_eq!(swap.is_refused("alice", "claim"), pair("lock_closed", "never"));
        let screen = swap.screen("alice", &["swap", "claim", &swap.terms(), "--with", "alice"]);
        assert!(!screen.contains("signing"), "{screen}");
        assert!(
            screen.contains("theirs.example") && screen.contains("nothing was sent"),
            "{screen}"
        );
    }
    swap.does("bob", "refund");
    swap.ours.set_time(&swap.long);
    swap.does("alice", "refund");
    assert_eq!(swap.held(), pair("0", "0"));
}

/// Before she shows the preimage, alice is told what is lost at worst.
#[test]
fn alice_is_told_what_she_shows() {
    let swap = Swap::new();
    swap.alice_offers();
    swap.does("bob", "accept");
    let screen = swap.screen("alice", &["swap", "claim", &swap.terms(), "--with", "alice"]);
    let (before, after) = screen.split_once("cleared  ").expect("cleared");
    assert!(before.contains("showing  the preimage"), "{before}");
    let worst = format!("at worst theirs.example does not clear it before {}: then ", swap.short);
    assert!(before.contains(&worst) && !after.contains("worst"), "{screen}");
}

/// Whoever is late by their own clock shows nothing that nobody has seen: a preimage that comes
/// too late takes nothing, and opens the lock of whoever showed it. What is shown already is
/// for the server to judge: with a clock that is ahead, bob would leave alice both.
#[test]
fn a_preimage_is_not_shown_too_late() {
    let begin: Time = "2020-01-01T00:00:00.000Z".parse().expect("a time");
    let ahead_ms = begin.unix_ms() - from_now(0).unix_ms();
    let swap = Swap::begun(ahead_ms, ahead_ms);
    let hash = puzzle_of(&format!("0x{PREIMAGE}")).to_string();
    // By the machine's clock it is over, and would not be signed for a server at hand.
    let locked = |server: &Server, domain: &str, from: &str, lock: &[&str]| {
        let file = swap.folder.path().join(domain).with_extension("iou");
        let file = file.to_str().expect("UTF-8");
        let offline = ["--offline", "--domain", domain, "-o", file];
        let arguments = [&["issue", "--from", from][..], lock, &offline].concat();
        let signed = swap.command(from, server, &arguments).output().expect("it runs");
        assert!(signed.status.success(), "{signed:?}");
        let record = swap.done(from, server, &["post", file]);
        std::fs::remove_file(file).expect("removed");
        format!("{}::1", record["hash"]["value"].as_str().expect("a hash"))
    };
    let leg = |server: &Server, domain: &str, from: &str, to: &str, amount: &str, until: &str| {
        let [source, target] = [from, to].map(|who| swap.address(who));
        let lock = ["--to", &target, "--amount", amount, "--until", until, "--expiry", until];
        let lock = locked(server, domain, from, &[&lock[..], &["--hash-lock", &hash]].concat());
        let leg = json!({
            "url": server.process.url(), "domain": domain, "unit": source, "amount": amount,
            "source": source, "target": target, "until": until,
        });
        (leg, lock)
    };
    let (short, long) = ("2020-06-01T00:00:00.000Z", "2020-06-02T00:00:00.000Z");
    let (first, _) = leg(&swap.ours, "ours.example", "alice", "bob", "5", long);
    let (second, lock) = leg(&swap.theirs, "theirs.example", "bob", "alice", "7", short);
    let terms = json!({"hash": hash, "first": first, "second": second});
    std::fs::write(swap.terms(), terms.to_string()).expect("written");
    let swaps = swap.folder.path().join("alice").join("swaps");
    std::fs::create_dir_all(&swaps).expect("made");
    let kept = json!({"preimage": format!("0x{PREIMAGE}")}).to_string();
    std::fs::write(swaps.join(format!("{hash}.json")), kept).expect("written");
    // By the servers' clocks it would do.
    assert_eq!(swap.is_refused("alice", "claim"), pair("lock_closed", "never"));
    let late = ["release", &lock, "--with", "alice", "--preimage", PREIMAGE];
    assert_eq!(swap.refused("alice", &swap.theirs, &late), pair("lock_closed", "never"));
    assert_eq!(swap.states(), pair("open", "open"));

    let secret = swap.folder.path().join("alice/keys/alice.json");
    let secret: Value =
        serde_json::from_slice(&std::fs::read(secret).expect("a key")).expect("JSON");
    let [alice, bob] = ["alice", "bob"].map(|who| swap.address(who).parse().expect("an address"));
    let solver =
        Solver { output: lock.parse().expect("a pointer"), hashee: Some(format!("0x{PREIMAGE}")) };
    let shown = Draft {
        domain: "theirs.example".to_owned(),
        source: alice,
        target: bob,
        symbol: bob,
        amount: "0".to_owned(),
        random: "shown by hand".to_owned(),
        expiry: short.parse().expect("a time"),
        active: None,
        credit: None,
        locker: None,
        solver: Some(solver),
    };
    let secret: webwallet_ledger::Hash =
        secret["secret"].as_str().expect("a secret").parse().expect("64 digits");
    let file = swap.folder.path().join("shown");
    std::fs::write(&file, shown.sign(&secret.0)).expect("written");
    // Nor is it sent again out of a file; somebody shows it all the same.
    let again = ["post", file.to_str().expect("UTF-8")];
    assert_eq!(swap.refused("alice", &swap.theirs, &again), pair("lock_closed", "never"));
    let request = body_of([std::fs::read(&file).expect("an IOU").as_slice()]);
    let shown = post(&agent(), &swap.theirs.process.url(), &request);
    assert_eq!(shown.expect("an answer").status, 201);
    assert_eq!(swap.states(), pair("open", "taken"));
    swap.does("bob", "claim");
    assert_eq!((swap.states(), swap.held()), (pair("taken", "taken"), pair("7", "5")));

    // Of a lock without a hash, nothing is shown at all.
    let to_bob = ["--to", &swap.address("bob"), "--amount", "1"];
    let plain = [&to_bob[..], &["--until", short, "--expiry", short]].concat();
    let plain = locked(&swap.ours, "ours.example", "alice", &plain);
    swap.done("bob", &swap.ours, &["release", &plain, "--with", "bob"]);
}

/// A server whose time is wrong ends its lock before the other can be taken: nothing is locked
/// for a swap over it.
#[test]
fn nothing_is_locked_where_a_clock_is_wrong() {
    const MINUTE_MS: i64 = 60_000;
    let is_told = |swap: &Swap, who: &str, arguments: &[&str], domain: &str| {
        let output = swap.command(who, &swap.ours, arguments).output().expect("it runs");
        let told = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{domain}: {told}");
        for part in [domain, "nothing was sent", "Set this machine's clock"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    };
    let wrong = [(-3 * MINUTE_MS, 0, "by ours.example"), (0, 3 * MINUTE_MS, "by theirs.example")];
    for (ours_ms, theirs_ms, domain) in wrong {
        let swap = Swap::begun(ours_ms, theirs_ms);
        let offer = swap.offer(&swap.long, &swap.short);
        let offer: Vec<&str> = offer.iter().map(String::as_str).collect();
        is_told(&swap, "alice", &offer, domain);
        assert!(!Path::new(&swap.terms()).exists());
    }
    // Nobody needs clocks that agree to the second.
    let swap = Swap::begun(-MINUTE_MS, MINUTE_MS);
    swap.alice_offers();
    // By ours.example, alice has hers back long before theirs.example ends his.
    swap.ours.ahead_ms.set(Some(365 * 24 * HOUR_MS));
    let accept = ["swap", "accept", &swap.terms(), "--with", "bob"];
    is_told(&swap, "bob", &accept, "by ours.example");
    assert_eq!(swap.states(), pair("open", "none"));
}

/// A preimage that opens another lock is given away when it is shown for this one.
#[test]
fn a_preimage_is_not_shown_for_a_lock_that_it_does_not_open() {
    let swap = Swap::new();
    let hash = puzzle_of(&format!("0x{PREIMAGE}")).to_string();
    let bob = swap.address("bob");
    let lock = |more: &[&str]| {
        let lock = ["issue", "--from", "alice", "--to", &bob, "--amount", "5"];
        let until = ["--until", &swap.long, "--expiry", &swap.long];
        let record = swap.done("alice", &swap.ours, &[&lock[..], &until, more].concat());
        format!("{}::1", record["hash"]["value"].as_str().expect("a hash"))
    };
    let (hashed, plain) = (lock(&["--hash-lock", &hash]), lock(&[]));
    let other = "ab".repeat(32);
    let release = |lock: &str, preimage: &str| {
        swap.screen("bob", &["release", lock, "--with", "bob", "--preimage", preimage])
    };
    for (lock, preimage) in [(&hashed, other.as_str()), (&hashed, "a text"), (&plain, PREIMAGE)] {
        let screen = release(lock, preimage);
        let is_local =
            screen.starts_with("refused: lock_unsolved") && screen.contains("nothing was sent");
        assert!(is_local, "{lock} {preimage}: {screen}");
    }
    let screen = swap.screen("bob", &["release", &hashed, "--with", "bob"]);
    assert!(screen.contains("--preimage") && screen.contains("nothing was sent"), "{screen}");
    assert!(release(&hashed, &PREIMAGE.to_uppercase()).contains("cleared  "));
    // What to release is on the page of its record.
    let record = plain.split("::").next().expect("a hash");
    let page = swap.screen("bob", &["transaction", record]);
    assert!(
        page.lines().any(|line| line.starts_with(&plain) && line.contains(&swap.long)),
        "{page}"
    );
}
