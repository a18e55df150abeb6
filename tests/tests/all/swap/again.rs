//! A step that is taken again, because its answer was lost or it came too early: it is the
//! same step. If one of these failed, somebody would give twice.

use webwallet_ledger::lock::puzzle_of;

use super::{HOUR_MS, PREIMAGE, Swap, from_now, pair};

/// A step that was taken already, by a command that was cut off after it, say.
#[test]
fn a_step_that_is_taken_again_moves_nothing() {
    let swap = Swap::new();
    swap.alice_offers();
    let accepted = swap.does("bob", "accept");
    assert_eq!(swap.does("bob", "accept")["hash"], accepted["hash"]);
    let record = swap.does("alice", "claim");
    // Had its answer been lost, the IOU would have been kept, for good.
    let iou = &record["meta"]["inputs"][0];
    let name = format!("{}.json", iou["hash"]["value"].as_str().expect("a hash"));
    let kept = swap.folder.path().join("alice/outbox").join(name);
    std::fs::write(&kept, iou.to_string()).expect("written");
    assert_eq!(swap.does("alice", "claim")["state"], "taken");
    assert!(!kept.exists());
    // The preimage is known by now: what bob would lock again would be alice's.
    assert_eq!(swap.does("bob", "accept")["hash"], accepted["hash"]);
    swap.does("bob", "claim");
    assert_eq!(swap.does("bob", "claim")["state"], "taken");
    assert_eq!(swap.held(), pair("7", "5"));
}

/// A release whose answer was lost is asked for again, and the lock's time may be over by then:
/// whoever is told that the other has the money gives it up, or asks for it twice.
#[test]
fn a_release_that_is_tried_again_is_the_same() {
    let swap = Swap::new();
    let hash = puzzle_of(&format!("0x{PREIMAGE}")).to_string();
    let bob = swap.address("bob");
    let issue = ["issue", "--from", "alice", "--to", &bob, "--amount", "5"];
    let lock = |more: &[&str]| {
        let until = ["--until", &swap.long, "--expiry", &swap.long];
        let record = swap.done("alice", &swap.ours, &[&issue[..], &until, more].concat());
        format!("{}::1", record["hash"]["value"].as_str().expect("a hash"))
    };
    let (plain, hashed) = (lock(&[]), lock(&["--hash-lock", &hash]));
    let releases = [
        vec!["release", plain.as_str(), "--with", "bob"],
        vec!["release", hashed.as_str(), "--with", "bob", "--preimage", PREIMAGE],
    ];
    let taken = releases.each_ref().map(|release| swap.done("bob", &swap.ours, release));
    let (late_plain, late_hashed) =
        (lock(&["--once-more"]), lock(&["--hash-lock", &hash, "--once-more"]));
    swap.set_time(&from_now(49 * HOUR_MS).to_string());
    for (release, taken) in releases.iter().zip(taken) {
        assert_eq!(swap.done("bob", &swap.ours, release)["hash"], taken["hash"]);
    }
    // What he has not taken, he is late for.
    for late in [
        &["release", &late_plain, "--with", "bob"][..],
        &["release", &late_hashed, "--with", "bob", "--preimage", PREIMAGE],
    ] {
        assert_eq!(swap.refused("bob", &swap.ours, late), pair("lock_closed", "never"));
    }
}

/// A refund whose answer was lost: whoever is told that there is nothing fears for their money.
#[test]
fn a_refund_of_a_swap_that_is_tried_again_is_the_same() {
    let swap = Swap::new();
    swap.alice_offers();
    swap.does("bob", "accept");
    swap.set_time(&swap.long);
    for who in ["alice", "bob"] {
        let record = swap.does(who, "refund");
        // Had its answer been lost, the IOU would have been kept.
        let iou = &record["meta"]["inputs"][0];
        let name = format!("{}.json", iou["hash"]["value"].as_str().expect("a hash"));
        let kept = swap.folder.path().join(who).join("outbox").join(name);
        std::fs::write(&kept, iou.to_string()).expect("written");
        assert_eq!(swap.does(who, "refund")["hash"], record["hash"]);
        assert!(!kept.exists());
    }
    assert_eq!(swap.held(), pair("0", "0"));
}

/// Tried too early, or again since no answer came, a refund is the same IOU, which clears once.
#[test]
fn a_refund_that_is_tried_again_is_the_same() {
    let swap = Swap::new();
    let bob = swap.address("bob");
    let lock = ["issue", "--from", "alice", "--to", &bob, "--amount", "5"];
    let until = ["--until", &swap.long, "--expiry", &swap.long];
    let record = swap.done("alice", &swap.ours, &[&lock[..], &until].concat());
    let lock = format!("{}::1", record["hash"]["value"].as_str().expect("a hash"));
    let refund = ["refund", lock.as_str(), "--with", "alice"];
    let outbox = swap.folder.path().join("alice/outbox");
    let kept = || std::fs::read_dir(&outbox).expect("the outbox").count();
    for _ in 0..3 {
        assert_eq!(swap.refused("alice", &swap.ours, &refund), pair("lock_closed", "later"));
        assert_eq!(kept(), 1);
    }
    swap.set_time(&swap.long);
    let refunded = swap.done("alice", &swap.ours, &refund);
    assert_eq!(kept(), 0);
    assert_eq!(swap.done("alice", &swap.ours, &refund)["hash"], refunded["hash"]);
}
