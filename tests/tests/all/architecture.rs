//! The drawing in ARCHITECTURE.md against what Cargo builds: architecture that
//! only people remember is soon gone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What each crate may import, read off the table under the drawing.
fn drawn(text: &str) -> BTreeMap<String, BTreeSet<String>> {
    let rows = text.lines().skip_while(|line| !line.starts_with("| crate | imports"));
    rows.skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let names = |cell: &str| -> BTreeSet<String> {
                let words = cell.split([',', ' ']).map(|word| word.trim_matches('`'));
                words.filter(|word| word.starts_with("webwallet")).map(str::to_owned).collect()
            };
            (names(cells[1]).into_iter().next().expect("a crate"), names(cells[2]))
        })
        .collect()
}

/// An auditor that shares code with a service would share its mistakes, and overlook them.
#[test]
fn crates_import_what_the_drawing_says_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let drawn = drawn(&text);
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root);
    let said = command.output().expect("cargo metadata").stdout;
    let metadata: Value = serde_json::from_slice(&said).expect("JSON");
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let built: BTreeMap<String, BTreeSet<String>> = list(&metadata["packages"])
        .iter()
        .map(|package| {
            let all = list(&package["dependencies"]);
            // Those that are not from a registry.
            let ours = all.iter().filter(|dependency| dependency["path"].is_string());
            (name(package), ours.map(name).collect())
        })
        .collect();
    assert_eq!(drawn, built, "ARCHITECTURE.md (left) and the crates (right) disagree");
}

/// A newcomer would look for files that are gone, and trust in laws that no test shows.
#[test]
fn every_file_and_test_that_the_map_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    assert!(text.lines().count() <= 200, "the map fits on a few screens");
    let sources = sources(&root);
    let (mut tests, mut files) = (0, 0);
    for word in text.split('`').skip(1).step_by(2) {
        if word.contains('/') && !word.contains([' ', ':', '{', '<', '*']) && !word.starts_with('/')
        {
            assert!(root.join(word).exists(), "ARCHITECTURE.md names {word}, which is not there");
            files += 1;
        }
        if let Some(name) = word.strip_prefix("test ") {
            let is_there =
                ["(", "<"].iter().any(|next| sources.contains(&format!("fn {name}{next}")));
            assert!(is_there, "no test is called {name}");
            tests += 1;
        }
    }
    assert!(tests >= 8 && files >= 10, "{tests} tests and {files} files are named");
}

fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().unwrap_or_default();
        if entry.file_type().expect("a type").is_dir() {
            if !["target", ".git", "node_modules"].contains(&name.as_str()) {
                text.push_str(&sources(&entry.path()));
            }
        } else if name.ends_with(".rs") {
            text.push_str(&std::fs::read_to_string(entry.path()).expect("UTF-8"));
        }
    }
    text
}
