//! What several people hold together, from the command line: each has a home of
//! their own, and they sign one after the other without a server. If this
//! failed, a board could lose its money to one of its members, or to nobody.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use webwallet_tests::party::DOMAIN;
use webwallet_tests::process::{Process, binary};

/// Somebody with a home, and a folder of files they all see.
struct Member<'a> {
    name: &'static str,
    folder: &'a Path,
    url: String,
}

impl Member<'_> {
    fn run(&self, arguments: &[&str]) -> Output {
        let output = Command::new(binary())
            .args(arguments)
            .env("WEBWALLET_HOME", self.folder.join(self.name))
            .env("WEBWALLET_URL", &self.url)
            .current_dir(self.folder)
            .output();
        output.expect("it runs")
    }

    /// What it answered, and the code it ended with.
    fn json(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let output = self.run(&[arguments, &["--json"]].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        let answer = serde_json::from_slice(&output.stdout);
        (output.status.code(), answer.unwrap_or_else(|_| panic!("{arguments:?}: {errors}")))
    }

    fn done(&self, arguments: &[&str]) -> Value {
        let (code, answer) = self.json(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {answer}");
        answer
    }

    /// Does a command as a shell reads it.
    fn shell(&self, command: &str) {
        let program = binary();
        let programs = program.parent().expect("a folder");
        let output = Command::new("sh")
            .args(["-c", command])
            .env("WEBWALLET_HOME", self.folder.join(self.name))
            .env("WEBWALLET_URL", &self.url)
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .current_dir(self.folder)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{command}: {output:?}");
    }

    /// Signs a file into another.
    fn sign(&self, file: &str, into: &str) {
        let output = self.run(&["iou", "sign", file, "--with", self.name]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        // Whoever signs what somebody else has written must read what it is.
        let iou = std::fs::read(self.folder.join(file)).expect("an IOU");
        let iou: Value = serde_json::from_slice(&iou).expect("JSON");
        let [target, amount, unit, domain, expiry] =
            ["target", "amount", "symbol", "domain", "expiry"]
                .map(|part| iou["data"][part].as_str().expect("a text"));
        let said = format!(" pays {target} {amount} (unit of {unit}) on {domain}, until {expiry}");
        assert!(told.contains(&said), "{said}: {told}");
        std::fs::write(self.folder.join(into), output.stdout).expect("written");
    }
}

#[test]
fn a_board_pays_when_enough_of_it_has_signed() {
    let data = tempfile::tempdir().expect("a folder");
    let server = Process::all(&data.path().join("data"), &["--seal", "manual"]);
    let folder = data.path();
    let member = |name| Member { name, folder, url: server.url() };
    let [ann, ben, cid, dan] = ["ann", "ben", "cid", "dan"].map(member);
    let public = |member: &Member<'_>| -> String {
        let key = member.done(&["key", "new", member.name]);
        key["public"].as_str().expect("a key").to_owned()
    };
    let [of_ann, of_ben, of_cid, _] = [&ann, &ben, &cid, &dan].map(public);

    // Each makes the board alone, in the order they like: it is one address.
    let board = |member: &Member<'_>, members: [&str; 3]| {
        let mut arguments = vec!["key", "multisig", "board", "--threshold", "3"];
        arguments.extend(members.iter().flat_map(|member| ["--member", member]));
        member.done(&arguments)
    };
    let heavy = format!("{of_ann}:2");
    let made = board(&ann, ["ann:2", &of_ben, &of_cid]);
    assert_eq!(made["address"], board(&ben, [&of_cid, &heavy, "ben"])["address"]);
    for key in ["name", "address", "public", "scheme", "file"] {
        assert!(made[key].is_string(), "{made}");
    }
    let address = made["address"].as_str().expect("an address");
    let never = ann.run(&["key", "multisig", "x", "--threshold", "9", "--member", "ann"]);
    assert_eq!(never.status.code(), Some(2));
    // A mistyped key is a key like any other to look at: what is paid there would be lost.
    // What is no key looks like one, and what is paid to it would wait for ever.
    for member in ["f".repeat(64), "0".repeat(64), "2".repeat(66)] {
        let made = ["key", "multisig", "x", "--threshold", "1", "--member", "ann", "--member"];
        let refused = ann.run(&[&made[..], &[&member]].concat());
        let said = String::from_utf8_lossy(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains("is no public key that anybody could sign with"), "{said}");
    }
    let taken = ann.run(&["key", "multisig", "board", "--threshold", "1", "--member", "ann"]);
    assert_eq!(taken.status.code(), Some(2));

    // Anybody pays to it; ann alone cannot pay from it.
    dan.done(&["issue", "--from", "dan", "--to", address, "--amount", "10"]);
    let unit = dan.done(&["key", "show", "dan"])["address"].as_str().expect("dan").to_owned();
    let pay = ["pay", "--from", "board", "--to", &unit, "--amount", "4", "--unit", &unit];
    let (code, refused) = ann.json(&pay);
    assert_eq!((code, &refused["code"]), (Some(1), &"puzzle_unsolved".into()));

    // What is printed then is done as it stands.
    let told = ann.run(&pay);
    let told = String::from_utf8(told.stderr).expect("UTF-8");
    let step = |from: &str, to: &str| {
        let (_, step) = told.split_once(from).unwrap_or_else(|| panic!("{told}"));
        from.to_owned() + step.split(to).next().expect("a step").trim_end()
    };
    let flags = step("--offline", ";");
    let drafting = [&pay[..], &flags.split(' ').collect::<Vec<_>>()].concat();
    let drafted = ann.run(&drafting);
    assert!(drafted.status.success(), "{}", String::from_utf8_lossy(&drafted.stderr));
    for (signer, from) in
        [(&ann, "webwallet iou sign iou.json"), (&ben, "webwallet iou sign iou-1.json")]
    {
        let signing = step(from, ",").replace("NAME", signer.name);
        signer.shell(signing.split(';').next().expect("a command"));
    }
    dan.shell(&format!("{} --dry-run", step("webwallet post", "\n")));

    // Offline, one after the other.
    let offline = ["--offline", "--domain", DOMAIN, "-o", "draft.json"];
    let drafted = ann.run(&[&pay[..], &offline].concat());
    assert!(drafted.status.success(), "{}", String::from_utf8_lossy(&drafted.stderr));
    let (code, refused) = dan.json(&["post", "draft.json"]);
    assert_eq!((code, &refused["code"]), (Some(1), &"signature_missing".into()));
    ben.sign("draft.json", "one.json");
    cid.sign("one.json", "two.json");
    let (code, refused) = dan.json(&["post", "two.json"]);
    assert_eq!((code, &refused["code"]), (Some(1), &"puzzle_unsolved".into()));
    assert_eq!((&refused["limit"], &refused["actual"]), (&"3".into(), &"2".into()));
    let stranger = dan.run(&["iou", "sign", "two.json", "--with", "dan"]);
    assert_eq!(stranger.status.code(), Some(1));
    ann.sign("two.json", "all.json");
    let verdict = ann.done(&["iou", "verify", "all.json", "--domain", DOMAIN]);
    assert_eq!(verdict["valid"], true);
    dan.done(&["post", "all.json"]);
    let held = ann.done(&["balance", "board"]);
    assert_eq!(held["data"]["units"][0]["balance"]["net"], "6");

    // Whoever has all the keys pays as with one; and both auditors agree.
    ann.done(&["key", "new", "other"]);
    let ours = ["key", "multisig", "ours", "--threshold", "2", "--member", "ann", "--member"];
    ann.done(&[&ours[..], &["other"]].concat());
    ann.done(&["issue", "--from", "ours", "--to", &unit, "--amount", "1"]);
    audited(&server, data.path());
}

/// Seals, and asks both auditors.
fn audited(server: &Process, data: &Path) {
    let text = |key: &str| server.line[key].as_str().expect("text").to_owned();
    let sealed = Command::new(binary())
        .args(["seal", "--admin", &format!("http://{}", text("admin"))])
        .output();
    let sealed = sealed.expect("it runs");
    assert!(sealed.status.success(), "{}", String::from_utf8_lossy(&sealed.stderr));
    let log = data.join("data").join("log");
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../audit/python/webwallet_audit.py");
    let mut second = Command::new("python3");
    second.arg(python);
    for mut auditor in [Command::new(binary().with_file_name("webwallet-audit")), second] {
        let output = auditor.arg(&log).args(["--key", &text("key"), "--json"]).output();
        let output = output.expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
        let last = said.lines().last().map(serde_json::from_str::<Value>);
        assert_eq!(last.expect("a line").expect("JSON")["result"], "accepted", "{said}");
        println!("{said}");
    }
}
