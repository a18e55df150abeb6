//! Paying: an IOU is drafted and signed here, and then kept and posted.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use clap::builder::UnknownArgumentValueParser;
use faster_hex::hex_string;
use webwallet_ledger::address::Address;
use webwallet_ledger::draft::Draft;
use webwallet_ledger::limits::EXPIRY_DAYS_MAX;
use webwallet_ledger::lock::Locker;
use webwallet_ledger::rejection::{Code, Rejection};
use webwallet_ledger::time::Time;

use crate::client::{Server, Url};
use crate::home::{Holder, Home, Keys, Labels};
use crate::key::random_bytes;
use crate::output::Outcome;
use crate::post::{Sender, checked, rehearse};
use crate::problem::Problem;
use crate::receipt::Proof;
use crate::{clock, config, file, outbox, output};

/// Days an IOU may be cleared for when nothing else is said.
pub const EXPIRY_DAYS: i64 = 365;

/// What `pay` and `issue` share.
#[derive(Args)]
pub struct Payment {
    /// Your key that pays, or a multisig
    #[arg(long, value_name = "NAME")]
    from: String,
    /// Who is paid
    #[arg(long, value_name = "NAME_OR_ADDRESS")]
    to: String,
    /// How much: a decimal
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    amount: String,
    /// Credit given with it: `-` and a decimal grants, a decimal withdraws
    #[arg(long, value_name = "CREDIT", allow_hyphen_values = true)]
    credit: Option<String>,
    /// Not to be cleared before this time
    #[arg(long, value_name = "TIME")]
    active: Option<String>,
    /// Not to be cleared after this time [default: in 365 days]
    #[arg(long, value_name = "TIME")]
    expiry: Option<String>,
    #[command(flatten)]
    lock: Lock,
    #[command(flatten)]
    proof: Proof,
    /// Domain of the server that may clear it [default: what the server says]
    #[arg(long, required_if_eq("offline", "true"))]
    domain: Option<String>,
    /// Sign only; print the IOU and send nothing
    #[arg(long, conflicts_with = "receipt")]
    offline: bool,
    /// Ask what would become of it, and pay nothing. The server sees the signed IOU
    #[arg(long, conflicts_with_all = ["offline", "receipt"])]
    dry_run: bool,
    /// Pay although nobody knows what became of the same payment before: that may clear as well
    #[arg(long)]
    once_more: bool,
    /// With --offline: write the IOU to a file
    #[arg(short, long, value_name = "FILE", requires = "offline")]
    output: Option<PathBuf>,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
}

/// Conditions under which the amount is paid.
#[derive(Args)]
struct Lock {
    /// Lock the amount: the payee may have it before this time, and from then on it goes back
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// With --until: only for whoever shows what this is the SHA-256 of
    #[arg(long, value_name = "HASH", requires = "until")]
    hash_lock: Option<String>,
    /// With --until: not before this time
    #[arg(long, value_name = "TIME", requires = "until")]
    not_before: Option<String>,
    /// With --until: only if enough of this multisig sign
    #[arg(long, value_name = "NAME", requires = "until")]
    agreed_by: Option<String>,
}

impl Lock {
    fn locker(&self, keys: &Keys) -> anyhow::Result<Option<Locker>> {
        let Some(until) = &self.until else { return Ok(None) };
        let puzzle = self.hash_lock.as_deref().map(|hash| {
            let hash = hash.strip_prefix("0x").unwrap_or(hash).to_lowercase();
            hash.parse().context("a hash lock is the SHA-256 of a preimage, in 64 hex digits")
        });
        let script = self.agreed_by.as_deref().map(|name| match keys.holder(name)? {
            Holder::Multisig(multisig) => Ok(multisig.puzzle.hash),
            Holder::Key(_) => bail!("{name} is a key, and no multisig"),
        });
        Ok(Some(Locker {
            active: self.not_before.as_deref().map(clock::parse).transpose()?,
            expiry: clock::parse(until)?,
            puzzle: puzzle.transpose()?,
            script: script.transpose()?,
        }))
    }
}

/// `webwallet pay`
#[derive(Args)]
pub struct Pay {
    #[command(flatten)]
    payment: Payment,
    /// Unit to pay in, named by its issuer [default: your own]
    #[arg(long, value_name = "NAME_OR_ADDRESS")]
    unit: Option<String>,
}

impl Pay {
    /// Pays, in any unit.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        self.payment.run(self.unit.as_deref(), json)
    }
}

/// `webwallet issue`
#[derive(Args)]
pub struct Issue {
    #[command(flatten)]
    payment: Payment,
    /// Never taken: whoever asks for it would be sent to `--until`, which is near by its letters
    /// only.
    #[arg(
        long = "unit",
        hide = true,
        value_parser = UnknownArgumentValueParser::suggest(
            "`issue` pays in your own unit; to pay in another: webwallet pay --unit"
        )
    )]
    _unit: Option<String>,
}

impl Issue {
    /// Pays, in the payer's own unit.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        self.payment.run(None, json)
    }
}

impl Payment {
    /// Pays in the unit of somebody, or in the payer's own.
    pub fn run(&self, unit: Option<&str>, json: bool) -> anyhow::Result<Outcome> {
        let keys = self.home.keys()?;
        let labels = keys.labels();
        let server = self.url.server()?;
        let draft = self.draft(&keys, &server, unit)?;
        // Where there is no server, there may be no clock that is right.
        if !self.offline
            && let Some(rejection) = over(&draft, clock::now()?)
        {
            return Problem::from_rejection(&rejection)?.print(json, &labels);
        }
        let holder = keys.holder(&self.from)?;
        let signed = match &holder {
            Holder::Key(key) => draft.sign(&key.secret()?),
            // Who signs offline says so, one after the other.
            Holder::Multisig(multisig) if self.offline => multisig.unsigned(&draft),
            Holder::Multisig(multisig) => keys.sign(multisig.unsigned(&draft), multisig)?,
        };
        // Nothing nonsensical is kept or sent.
        match (checked(&draft, &signed), &holder) {
            (Err(unsigned), Holder::Multisig(_))
                if self.offline && unsigned.code == Code::SignatureMissing =>
            {
                self.write(&signed)
            }
            (Err(rejection), _) => {
                let refused = Problem::from_rejection(&rejection)?.print(json, &labels)?;
                if let Holder::Multisig(_) = holder
                    && [Code::SignatureMissing, Code::PuzzleUnsolved].contains(&rejection.code)
                {
                    output::complain(format_args!(
                        "not all who must sign have their keys here: pay the same with --offline --domain {} -o iou.json; each who signs makes a new file of the one before, the first: webwallet iou sign iou.json --with NAME > iou-1.json, the second: webwallet iou sign iou-1.json --with NAME > iou-2.json; and the last file is posted: webwallet post iou-2.json",
                        draft.domain
                    ));
                }
                Ok(refused)
            }
            (Ok(_), _) if self.offline => self.write(&signed),
            (Ok(request), _) if self.dry_run => {
                if !json {
                    output::line(format!("signing  {}", sentence(&draft, &labels)))?;
                }
                rehearse(&server, &request.to_bytes(), json, &labels)
            }
            (Ok(_), _) => {
                if !self.once_more {
                    outbox::nothing_open(&keys, &draft, &server, &self.proof.flags())?;
                }
                let sentence = sentence(&draft, &labels);
                let sender = Sender { server: &server, keys: &keys, proof: &self.proof, json };
                sender.clear(&draft, &signed, &sentence)
            }
        }
    }

    fn draft(&self, keys: &Keys, server: &Server, unit: Option<&str>) -> anyhow::Result<Draft> {
        let source = keys.holder(&self.from)?.address()?;
        Ok(Draft {
            domain: match &self.domain {
                Some(domain) => {
                    config::check_domain(domain)?;
                    domain.clone()
                }
                None => server.domain()?,
            },
            target: keys.address(&self.to)?,
            symbol: unit.map_or_else(|| Ok(source), |unit| keys.address(unit))?,
            source,
            amount: self.amount.clone(),
            random: hex_string(&random_bytes::<16>()?),
            expiry: match &self.expiry {
                Some(expiry) => clock::parse(expiry)?,
                None => clock::now()?.plus_days(EXPIRY_DAYS),
            },
            active: self.active.as_deref().map(clock::parse).transpose()?,
            credit: self.credit.clone(),
            locker: self.lock.locker(keys)?,
            solver: None,
        })
    }

    fn write(&self, signed: &[u8]) -> anyhow::Result<Outcome> {
        match &self.output {
            Some(file) => {
                let mut text = signed.to_vec();
                text.push(b'\n');
                file::write_new(file, &text)?;
            }
            None => output::line(signed)?,
        }
        Ok(Outcome::Done)
    }
}

/// Why nobody could have what is drafted, ever or for now: a time of it is over, or too far.
fn over(draft: &Draft, now: Time) -> Option<Rejection> {
    if now > draft.expiry {
        let rejection = Rejection::new(Code::Expired, "/data/expiry", "nothing was signed");
        return Some(rejection.measured(draft.expiry, now));
    }
    let made = draft.active.map_or(now, |active| active.max(now));
    let latest = made.plus_days(EXPIRY_DAYS_MAX);
    if draft.expiry > latest {
        // It would be refused, and clear for whoever has seen it once the expiry is near enough.
        let detail = format!(
            "an IOU expires at most {EXPIRY_DAYS_MAX} days after it is cleared; nothing was signed"
        );
        let rejection = Rejection::new(Code::ExpiryTooFar, "/data/expiry", detail);
        return Some(rejection.measured(latest, draft.expiry));
    }
    let end = draft.locker.as_ref()?.expiry;
    let detail = "the lock would be over before it is made; nothing was signed";
    let rejection = Rejection::new(Code::LockClosed, "/data/locker/timers/expiry", detail);
    (made >= end).then(|| rejection.measured(end, made))
}

/// What is about to be signed, in one line, or two if it locks.
pub fn sentence(draft: &Draft, labels: &Labels) -> String {
    let name = |address: &Address| labels.of(address.as_str()).to_owned();
    let unit = if draft.symbol == draft.source {
        "own unit".to_owned()
    } else {
        format!("unit of {}", name(&draft.symbol))
    };
    let credit =
        draft.credit.as_deref().map(|credit| format!(", credit {credit}")).unwrap_or_default();
    let pays = format!(
        "{} pays {} {} ({unit}{credit}) on {}, until {}",
        name(&draft.source),
        name(&draft.target),
        draft.amount,
        draft.domain,
        draft.expiry
    );
    let Some(Locker { active, expiry, puzzle, script }) = &draft.locker else { return pays };
    let from = active.map(|active| format!("from {active} ")).unwrap_or_default();
    let shown = puzzle.map(|hash| format!(" to whoever shows the preimage of {hash}"));
    let agreed = script.map(|script| format!(" with the signatures of {script}"));
    format!(
        "{pays}\nlocked   {from}before {expiry}{}{}; from {expiry} on {} can have it back",
        shown.unwrap_or_default(),
        agreed.unwrap_or_default(),
        name(&draft.source)
    )
}
