//! The TypeScript client, as its page says it is used. If this failed, people
//! who write for browsers could not pay, or would believe what nobody proved.

use std::path::{Path, PathBuf};
use std::process::Command;

use webwallet_tests::deployment::Deployment;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

/// A copy of the client with its tools beside it: the checkout stays as it is.
struct Workshop(tempfile::TempDir);

impl Workshop {
    fn new() -> Workshop {
        let tools = std::env::var("WEBWALLET_TEST_TYPESCRIPT").expect(
            "WEBWALLET_TEST_TYPESCRIPT is not set; scripts/test fetches the tools and sets it",
        );
        let shop = Workshop(tempfile::tempdir().expect("a folder"));
        let source = repository().join("clients").join("typescript");
        for name in ["package.json", "tsconfig.json", "types.mjs", "README.md", "src", "test"] {
            let copied =
                Command::new("cp").arg("-r").arg(source.join(name)).arg(shop.0.path()).status();
            assert!(copied.expect("cp runs").success());
        }
        let modules = Path::new(&tools).join("node_modules");
        std::os::unix::fs::symlink(modules, shop.path("node_modules")).expect("linked");
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs node here; its output, once it has succeeded.
    fn node(&self, url: &str, arguments: &[&str]) -> String {
        let mut node = Command::new("node");
        node.args(arguments).current_dir(self.0.path()).env("WEBWALLET_URL", url);
        node.env("WEBWALLET_TEST_VECTORS", repository().join("tests").join("vectors"));
        let output = node.output().expect("node runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    }
}

/// What stands on the page between a fence of this language and the next.
fn fenced<'p>(page: &'p str, language: &str) -> &'p str {
    let begin = format!("```{language}\n");
    let (_, rest) = page.split_once(&begin).expect("the fence");
    rest.split_once("```").expect("its end").0
}

#[test]
fn its_page_and_its_tests_hold_against_a_real_server() {
    let shop = Workshop::new();
    let page = std::fs::read_to_string(shop.path("README.md")).expect("the page");
    std::fs::write(shop.path("test/first-payment.ts"), fenced(&page, "ts")).expect("written");
    shop.node("", &["node_modules/typescript/bin/tsc"]);

    let stores = Deployment::embedded();
    let server = stores.serve(&[]);
    let url = server.url();
    let said = shop.node(&url, &["dist/test/first-payment.js"]);
    assert_eq!(said, fenced(&page, "text"));
    let files = std::fs::read_dir(shop.path("dist/test")).expect("compiled");
    let files = files.map(|file| file.expect("a file").path().to_string_lossy().into_owned());
    let tests: Vec<String> = files.filter(|file| file.ends_with(".test.js")).collect();
    let arguments = ["--test", "--test-reporter=tap"].into_iter();
    let arguments: Vec<&str> = arguments.chain(tests.iter().map(String::as_str)).collect();
    let said = shop.node(&url, &arguments);
    let passed = said.lines().find(|line| line.starts_with("# pass")).expect("a summary");
    println!("TypeScript client: {}", &passed[2..]);
    assert!(said.lines().any(|line| line == "# fail 0"), "{said}");
    assert!(said.contains(" - a receipt proves its record"), "{said}");
}

/// Whoever compiles against the client would ask for what no server answers.
#[test]
fn its_types_are_those_of_the_openapi_document() {
    let shop = Workshop::new();
    let document = repository().join("api-gateway").join("openapi.json");
    let document = document.to_str().expect("UTF-8");
    shop.node("", &["types.mjs", document, "generated.ts"]);
    let read = |name| std::fs::read_to_string(shop.path(name)).expect("a file");
    assert!(
        read("generated.ts") == read("src/openapi.ts"),
        "clients/typescript/src/openapi.ts is not of openapi.json; write it anew: \
        cd clients/typescript && npm ci && npm run types"
    );
}
