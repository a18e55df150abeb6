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

/// An operator who looks for what a setting means would find its name alone.
#[test]
fn every_setting_is_explained() {
    let told = |arguments: &[&str]| {
        let output = Command::new(binary()).args(arguments).output().expect("it runs");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let shown: serde_json::Value =
        serde_json::from_str(&told(&["config", "show", "--json"])).expect("JSON");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/README.md");
    let texts =
        std::fs::read_to_string(page).expect("deploy/README.md") + &told(&["serve", "--help"]);
    let is_explained = |name: &str| {
        let flag = format!("--{}", name.trim_end_matches("_file").replace('_', "-"));
        let variable = format!("WEBWALLET_{}", name.to_uppercase());
        let limit = name.trim_start_matches("limits.");
        [flag, variable, format!("{limit}`"), format!("{limit} =")]
            .iter()
            .any(|t| texts.contains(t))
    };
    let names = shown.as_object().expect("settings").keys();
    let unexplained: Vec<_> = names.filter(|name| !is_explained(name)).collect();
    assert!(unexplained.is_empty(), "{unexplained:?}");
}
