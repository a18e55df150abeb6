//! `webwallet demo`: everything once, in a few seconds, with nothing to prepare.
//!
//! A real server runs in this process on a free port; every step is what a
//! wallet would send, beside the curl line that does the same.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args;
use faster_hex::hex_string;
use rand::RngExt as _;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use webwallet_api_gateway::problem::Kind;
use webwallet_audit::{Audit, Source};
use webwallet_ledger::amount::Amount;
use webwallet_ledger::draft::Draft;
use webwallet_ledger::note::VerifierKey;
use webwallet_ledger::receipt::Receipt;
use webwallet_ledger::request::body_of;
use webwallet_ledger::time::Time;

use crate::client::{Answer, Server, data};
use crate::config::Config;
use crate::home::{Keys, Labels};
use crate::key::Scheme;
use crate::output::Outcome;
use crate::{clock, interrupt, logging, output, serve, transaction};

/// `webwallet demo`
#[derive(Args)]
pub struct Demo {
    /// Keep data, keys and requests in this folder
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

/// How often the log is asked whether it has sealed, and until when.
const AGAIN: Duration = Duration::from_millis(20);
const SEALED_WITHIN: Duration = Duration::from_secs(10);

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];

impl Demo {
    /// Runs all steps.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let temporary;
        let dir = match &self.keep {
            Some(dir) => {
                std::fs::create_dir_all(dir)
                    .with_context(|| format!("cannot make {}", dir.display()))?;
                let empty = std::fs::read_dir(dir)?.next().is_none();
                ensure!(empty, "{} is not empty; name a new folder", dir.display());
                dir.canonicalize()?
            }
            None => {
                temporary = TempDir::with_prefix("webwallet-demo-")?;
                interrupt::leaves_nothing(temporary.path())?;
                temporary.path().to_owned()
            }
        };
        // The stores end in the background, and would tell of a folder that is gone.
        let _logs = logging::start("warn,fjall=off,lsm_tree=off")?;
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            admin: ([127, 0, 0, 1], 0).into(),
            data: dir.join("data"),
            ..Config::default()
        };
        let runtime = Runtime::new()?;
        let server = runtime.block_on(serve::Server::start(&config))?;
        let keys = Keys::at(&dir);
        let mut stage = Stage {
            api: Server::at(&format!("http://{}", server.listen)),
            domain: config.domain,
            expiry: clock::now()?.plus_days(30),
            labels: Labels::default(),
            keys,
            dir,
            json,
            step: 0,
        };
        let played = stage.play();
        if played.is_ok() && !json {
            stage.next(server.listen.port(), self.keep.is_some())?;
        }
        runtime.block_on(server.stop());
        played?;
        Ok(Outcome::Done)
    }
}

/// The demo while it is played.
struct Stage {
    api: Server,
    domain: String,
    expiry: Time,
    keys: Keys,
    labels: Labels,
    dir: PathBuf,
    json: bool,
    step: u32,
}

impl Stage {
    fn play(&mut self) -> anyhow::Result<()> {
        self.tell(
            &format!("A server for the domain {} runs at {}", self.domain, self.api.url()),
            None,
            &[],
        )?;
        let people = PEOPLE.iter().map(|name| self.keys.create(name, Scheme::EddsaEd25519));
        let people = people.collect::<anyhow::Result<Vec<_>>>()?;
        self.labels = self.keys.labels();
        let lines =
            PEOPLE.iter().zip(&people).map(|(name, shown)| format!("{name:6} {}", shown.address));
        self.tell(
            "Three people make keys. Nobody registers anywhere",
            None,
            &lines.collect::<Vec<_>>(),
        )?;

        let issue = self.request("1-alice-issues", "alice", "bob", "10")?;
        self.post("alice issues 10 of her own unit to bob: she owes, he holds", &issue)?;
        let pay = self.request("2-bob-pays", "bob", "carol", "4")?;
        self.post("bob pays carol 4 of alice's unit", &pay)?;
        let overdraft = self.request("3-bob-overdraws", "bob", "carol", "7")?;
        self.post("bob pays carol 7 more, and has only 6", &overdraft)?;
        self.post(
            "bob's first payment is sent again: the same record, and nobody pays twice",
            &pay,
        )?;
        self.balances()?;
        self.history()?;
        self.block()?;
        self.receipt()?;
        self.audit()
    }

    /// Signs an IOU in alice's unit and keeps it as the body of a request.
    fn request(&self, name: &str, from: &str, to: &str, amount: &str) -> anyhow::Result<PathBuf> {
        let draft = Draft {
            domain: self.domain.clone(),
            source: self.keys.address(from)?,
            target: self.keys.address(to)?,
            symbol: self.keys.address("alice")?,
            amount: amount.to_owned(),
            random: hex_string(&rand::rng().random::<[u8; 16]>()),
            expiry: self.expiry,
            active: None,
            credit: None,
            locker: None,
            solver: None,
        };
        let file = self.dir.join(format!("{name}.json"));
        let signed = draft.sign(&self.keys.find(from)?.secret()?);
        std::fs::write(&file, body_of([signed.as_slice()]))?;
        Ok(file)
    }

    fn post(&mut self, title: &str, file: &Path) -> anyhow::Result<()> {
        let curl = format!(
            "curl -s {}/transaction -H 'content-type: application/json' -d {}",
            self.api.url(),
            output::word(&format!("@{}", file.display()))
        );
        let lines = match self.api.post(&std::fs::read(file)?)? {
            Answer::Done { body, replayed, .. } => {
                let first = if replayed { "200, replayed" } else { "201" };
                vec![format!(
                    "{first}: {}",
                    transaction::sentence(data(&body)?.get(), &self.labels)?
                )]
            }
            Answer::Problem(problem) => {
                let kind = Kind::named(&problem.code).context("a refusal without a known code")?;
                let meaning = kind.meaning();
                vec![
                    format!("{} {}: {}", meaning.status, meaning.code, meaning.title),
                    format!("more: webwallet explain {}", meaning.code),
                ]
            }
        };
        self.tell(title, Some(&curl), &lines)
    }

    fn balances(&mut self) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Units {
            units: Vec<Unit>,
        }
        #[derive(Deserialize)]
        struct Unit {
            balance: transaction::Balance,
        }
        let (mut sum, mut lines) = (Amount::zero(), Vec::new());
        let unit = self.keys.address("alice")?;
        for name in PEOPLE {
            let path = format!("/address/{}?counter={unit}", self.keys.address(name)?);
            let Units { units } = serde_json::from_str(&self.get(&path)?)?;
            let net = units.first().map_or("0", |unit| unit.balance.net.as_str());
            sum = sum.plus(&Amount::parse_signed(net)?);
            lines.push(format!("{name:6} {net:>4}"));
        }
        ensure!(sum.is_zero(), "the balances do not sum to zero");
        lines.push(format!("{:6} {sum:>4}", "sum"));
        let curl = format!("curl -s {}/address/{}", self.api.url(), self.keys.address("bob")?);
        self.tell("Balances in alice's unit", Some(&curl), &lines)
    }

    fn history(&mut self) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Outputs {
            outputs: Vec<Placed>,
        }
        #[derive(Deserialize)]
        struct Placed {
            pointer: String,
            content: transaction::Output,
        }
        let (bob, alice) = (self.keys.address("bob")?, self.keys.address("alice")?);
        let path = format!("/address/{bob}/outputs/history?counter={alice}");
        let Outputs { outputs } = serde_json::from_str(&self.get(&path)?)?;
        let lines =
            outputs.iter().map(|o| format!("{:>4} after {}", o.content.balance.net, o.pointer));
        let curl = format!("curl -s {}", output::word(&format!("{}{path}", self.api.url())));
        self.tell(
            "bob's history in alice's unit, newest first",
            Some(&curl),
            &lines.collect::<Vec<_>>(),
        )
    }

    /// The log's first block with records, sealed a moment after they cleared.
    fn block(&mut self) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Block {
            data: BlockData,
            hash: Name,
        }
        #[derive(Deserialize)]
        struct BlockData {
            height: String,
            records: String,
            state: String,
        }
        #[derive(Deserialize)]
        struct Name {
            value: String,
        }
        // Sealed from now on: the receipt of the newest record is there.
        self.wait_for("/transaction/2/receipt")?;
        let path = "/block/latest";
        let Block { data, hash } = serde_json::from_str(&self.get(path)?)?;
        let lines = [
            format!("block {} {}", data.height, hash.value),
            format!("{} records, and the state of all accounts: {}", data.records, data.state),
        ];
        let curl = format!("curl -s {}{path}", self.api.url());
        self.tell(
            "What has cleared is sealed into a block, under a signed head",
            Some(&curl),
            &lines,
        )
    }

    /// The proof that bob's payment is in the log, verified without the server.
    fn receipt(&mut self) -> anyhow::Result<()> {
        let path = "/transaction/2/receipt";
        let text = self.wait_for(path)?;
        let file = self.dir.join("receipt-2.tlog-proof");
        std::fs::write(&file, &text)?;
        let proven = Receipt::parse(text.as_bytes())?.verify(&[self.key()?])?;
        let lines = [
            format!("verified: record {} of {}", proven.record.number, proven.record.time),
            format!(
                "under the signed head of {} with {} leaves; {} bytes, good for ever",
                proven.checkpoint.origin,
                proven.checkpoint.size,
                text.len()
            ),
        ];
        let curl = format!("curl -s {}{path} -o receipt-2.tlog-proof", self.api.url());
        self.tell(
            "bob keeps the receipt of his payment: a proof, not a promise",
            Some(&curl),
            &lines,
        )
    }

    /// Everything once more, by somebody who trusts nothing but the key.
    fn audit(&mut self) -> anyhow::Result<()> {
        let audit = Audit {
            key: self.key()?,
            domain: self.domain.clone(),
            from: None,
            structure: false,
            max_age_ms: None,
            now: clock::now()?,
        };
        let report = audit.run(&Source::open(self.api.url(), None)?, &mut |_| ())?;
        ensure!(report.is_accepted(), "the audit found {:?}", report.findings);
        let lines = [format!(
            "accepted: {} blocks, {} records; every signature and every balance came out the same",
            report.blocks, report.records
        )];
        let command = format!("webwallet-audit {} --key {}", self.api.url(), audit.key);
        self.tell(
            "A stranger audits the whole server, with nothing but its key",
            Some(&command),
            &lines,
        )
    }

    /// The key of the log. A real auditor has it from elsewhere.
    fn key(&self) -> anyhow::Result<VerifierKey> {
        #[derive(Deserialize)]
        struct Card {
            keys: Vec<String>,
        }
        let Answer::Done { body, .. } = self.api.get("/.well-known/webwallet")? else {
            anyhow::bail!("the server does not say its key");
        };
        let card: Card = serde_json::from_str(&body)?;
        let key = card.keys.first().context("the log has no key")?;
        Ok(key.parse()?)
    }

    /// A receipt, as soon as its record is sealed.
    fn wait_for(&self, path: &str) -> anyhow::Result<String> {
        let until = Instant::now() + SEALED_WITHIN;
        loop {
            match self.api.get_as(path, "text/plain")? {
                Answer::Done { body, later: false, .. } => return Ok(body),
                Answer::Done { .. } if Instant::now() < until => thread::sleep(AGAIN),
                Answer::Done { .. } => anyhow::bail!("no block within {SEALED_WITHIN:?}"),
                Answer::Problem(problem) => anyhow::bail!("{path}: {}", problem.sentence()),
            }
        }
    }

    /// The `data` of an answer.
    fn get(&self, path: &str) -> anyhow::Result<String> {
        match self.api.get(path)? {
            Answer::Done { body, .. } => Ok(data(&body)?.get().to_owned()),
            Answer::Problem(problem) => anyhow::bail!("{path}: {}", problem.sentence()),
        }
    }

    /// One step: a title, the curl line that does it, and what came of it.
    fn tell(&mut self, title: &str, curl: Option<&str>, lines: &[String]) -> anyhow::Result<()> {
        if self.json {
            let step = json!({ "step": self.step, "title": title, "curl": curl, "result": lines });
            output::line(step.to_string())?;
        } else {
            let curl = curl.map(|curl| format!("\n   $ {curl}")).unwrap_or_default();
            let lines = lines.iter().map(|line| format!("\n   {line}")).collect::<String>();
            let start = if self.step == 0 { String::new() } else { format!("{}  ", self.step) };
            output::line(format!("{start}{title}{curl}{lines}\n"))?;
        }
        self.step += 1;
        Ok(())
    }

    /// What to type next.
    fn next(&self, port: u16, kept: bool) -> anyhow::Result<()> {
        // As this program was called: it may not be on the path.
        let me = std::env::args().next().filter(|me| me.contains('/'));
        let me = output::word(me.as_deref().unwrap_or("webwallet"));
        let dir = output::word(&self.dir.display().to_string());
        let lines = if kept {
            vec![
                format!("Kept in {dir}. Start this server again, and every curl line above works:"),
                format!("   {me} serve --listen 127.0.0.1:{port} --data {dir}/data"),
                "Then, in another terminal:".to_owned(),
                format!("   export WEBWALLET_HOME={dir} WEBWALLET_URL={}", self.api.url()),
                format!("   {me} pay --from carol --to alice --amount 4 --unit alice"),
                format!("   {me} balance carol"),
            ]
        } else {
            vec![
                "This server is gone now. To keep one, and try the curl lines yourself:".to_owned(),
                format!("   {me} demo --keep demo"),
                "To begin for real:".to_owned(),
                format!("   {me} serve"),
                format!("   {me} key new me"),
                format!("   {me} issue --from me --to ADDRESS --amount 10"),
            ]
        };
        Ok(output::line(lines.join("\n"))?)
    }
}
