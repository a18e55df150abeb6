//! README's commands, run as they stand there. A newcomer types these first.

use std::path::Path;
use std::process::Command;

use webwallet_tests::process::binary;

/// The fenced shell blocks of a Markdown text, each with the line it begins on.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let (mut blocks, mut open) = (Vec::new(), None::<(usize, String)>);
    for (number, line) in text.lines().enumerate() {
        open = match open {
            None if line.trim() == "```sh" => Some((number + 1, String::new())),
            None => None,
            Some(block) if line.trim() == "```" => {
                blocks.push(block);
                None
            }
            Some((begin, block)) => Some((begin, block + line + "\n")),
        };
    }
    blocks
}

#[test]
fn every_command_of_readme_does_what_it_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let text = std::fs::read_to_string(root.join("README.md")).expect("README.md");
    let folder = tempfile::tempdir().expect("a folder");
    let built = binary();
    let path = format!(
        "{}:{}",
        built.parent().expect("a folder").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let blocks = blocks(&text);
    assert!(blocks.len() >= 3, "README opens with its commands");
    for (line, block) in &blocks {
        // The tests run these already, or are run by them.
        let commands: String = block
            .lines()
            .filter(|command| !command.starts_with("scripts/"))
            // What Cargo would build is built: the same program, without the wait.
            .map(|command| {
                let command = command
                    .replace("cargo run --release --bin webwallet-audit --", "webwallet-audit");
                command.replace("cargo run --release --", "webwallet") + "\n"
            })
            .collect();
        let mut shell = Command::new("bash");
        shell.args(["-euo", "pipefail", "-c", &commands]).current_dir(folder.path());
        shell.env("PATH", &path).env("HOME", folder.path()).env_remove("WEBWALLET_HOME");
        let output = shell.output().expect("bash runs");
        println!("README line {line}:\n{block}{}", String::from_utf8_lossy(&output.stdout));
        assert!(
            output.status.success(),
            "README line {line}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let scripts =
        blocks.iter().flat_map(|(_, block)| block.lines()).filter(|l| l.starts_with("scripts/"));
    for script in scripts {
        let file = script.split_whitespace().next().expect("a script");
        assert!(root.join(file).exists(), "{file}");
    }
}
