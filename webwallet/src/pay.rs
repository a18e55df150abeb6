//! Paying: an IOU is drafted and signed here, kept, and then posted.
//!
//! An IOU has random bits in it, so paying again is paying twice, while
//! posting the same IOU again is safe for ever. Therefore what was signed is
//! written to the outbox of the home directory before it is sent, and removed
//! only when it is cleared or never will be; `webwallet post FILE` sends it again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use faster_hex::hex_string;
use serde_json::Value;
use webwallet_ledger::address::Address;
use webwallet_ledger::draft::Draft;
use webwallet_ledger::lock::Locker;
use webwallet_ledger::rejection::{Code, Rejection};
use webwallet_ledger::request::{Request, body_of};
use webwallet_ledger::time::Time;
use webwallet_ledger::{Amount, Record};

use crate::client::{Answer, Server, Url, data};
use crate::key::{Holder, Home, Keys, Labels, random_bytes};
use crate::output::Outcome;
use crate::problem::Problem;
use crate::{clock, config, file, iou, output, transaction};

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
    #[arg(long, value_name = "AMOUNT")]
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
    /// Domain of the server that may clear it [default: what the server says]
    #[arg(long, required_if_eq("offline", "true"))]
    domain: Option<String>,
    /// Sign only; print the IOU and send nothing
    #[arg(long)]
    offline: bool,
    /// Ask what would become of it, and pay nothing. The server sees the signed IOU
    #[arg(long, conflicts_with = "offline")]
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

/// `webwallet post`
#[derive(Args)]
pub struct Post {
    /// Files with IOUs or a request; all IOUs together are one request. `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Ask what would become of it, and pay nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    url: Url,
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
            Problem::from_rejection(&rejection)?.print(json, &labels)?;
            return Ok(Outcome::Refused);
        }
        let holder = keys.holder(&self.from)?;
        let signed = match &holder {
            Holder::Key(key) => draft.sign(&key.secret()?),
            // Who signs offline says so, one after the other.
            Holder::Multisig(multisig) if self.offline => multisig.unsigned(&draft),
            Holder::Multisig(multisig) => multisig.sign(&draft, &keys)?,
        };
        // Nothing nonsensical is kept or sent.
        match (checked(&draft, &signed), &holder) {
            (Err(unsigned), Holder::Multisig(_))
                if self.offline && unsigned.code == Code::SignatureMissing =>
            {
                self.write(&signed)
            }
            (Err(rejection), _) => {
                Problem::from_rejection(&rejection)?.print(json, &labels)?;
                if let Holder::Multisig(_) = holder
                    && [Code::SignatureMissing, Code::PuzzleUnsolved].contains(&rejection.code)
                {
                    output::complain(
                        "not all who must sign have their keys here; pay with --offline -o FILE, let each run webwallet iou sign FILE --with NAME, and webwallet post FILE",
                    );
                }
                Ok(Outcome::Refused)
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
                    nothing_open(&keys, &draft, &server)?;
                }
                clear(&server, &keys, &draft, &signed, &sentence(&draft, &labels), json)
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
            random: random()?,
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

impl Post {
    /// Posts what stands in the files as one request.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let mut inputs = Vec::new();
        for file in &self.files {
            let text = file::read(file)?;
            let found = iou::split(&text)
                .with_context(|| format!("no IOUs can be read from {}", file.display()))?;
            inputs.extend(found.into_iter().map(|iou| iou.get().to_owned()));
        }
        ensure!(!inputs.is_empty(), "there is no IOU in what was given");
        // The text goes out as it came: the server judges what was signed.
        let request = body_of(inputs.iter().map(String::as_bytes));
        let keys = self.home.keys()?;
        if self.dry_run {
            return rehearse(&self.url.server()?, &request, json, &keys.labels());
        }
        send(&self.url.server()?, &request, &self.files, &keys, json)
    }
}

/// Why nobody could ever have what is drafted: a time of it is over.
fn over(draft: &Draft, now: Time) -> Option<Rejection> {
    if now > draft.expiry {
        let rejection = Rejection::new(Code::Expired, "/data/expiry", "nothing was signed");
        return Some(rejection.measured(draft.expiry, now));
    }
    let end = draft.locker.as_ref()?.expiry;
    let detail = "the lock would be over before it is made; nothing was signed";
    let rejection = Rejection::new(Code::LockClosed, "/data/locker/timers/expiry", detail);
    (now >= end).then(|| rejection.measured(end, now))
}

/// That no IOU like this one waits in the outbox: paying anew would pay twice if
/// that one has cleared, or still will.
pub fn nothing_open(keys: &Keys, draft: &Draft, server: &Server) -> anyhow::Result<()> {
    let entries = match fs::read_dir(keys.outbox()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).context("cannot list the outbox"),
    };
    for entry in entries {
        let file = entry?.path();
        // What a crash has left half written was never sent.
        if file.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let Some(open) = kept(&file).with_context(|| {
            format!(
                "nobody can tell whether this was paid before: {} is in the outbox and no IOU; look at it and move it away, or pay all the same: --once-more",
                file.display()
            )
        })?
        else {
            continue;
        };
        if !is_like(&open, draft)? {
            continue;
        }
        let posting = posting(&[file], keys, server);
        // No server has cleared that one yet, whatever it has answered.
        if let Some(active) = draft.active
            && active > clock::now()?
        {
            bail!(
                "the same payment was signed before, and waits: it clears from {active} on; to pay it once more: --once-more; to post it then (it is never paid twice): {posting}"
            );
        }
        bail!(
            "the same payment was signed before, and nobody knows what became of it; to pay it once more: --once-more; to ask (it is never paid twice): {posting}"
        );
    }
    Ok(())
}

/// An IOU in the outbox; none if somebody has posted it meanwhile.
fn kept(file: &Path) -> anyhow::Result<Option<Value>> {
    let there = match fs::metadata(file) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Whoever opens a pipe waits, perhaps for ever.
    ensure!(there.is_file(), "it is no regular file");
    let iou: Value = serde_json::from_slice(&file::read(file)?)?;
    ensure!(iou["data"].is_object(), "it has no data");
    Ok(Some(iou))
}

/// Whether an IOU pays the same. One that has expired may have cleared before.
fn is_like(iou: &Value, draft: &Draft) -> anyhow::Result<bool> {
    let draft: Value = serde_json::from_slice(&draft.unsigned())?;
    let (kept, new) = (&iou["data"], &draft["data"]);
    let equal = |key: &str| kept[key] == new[key];
    // `7` and `7.0` are the same money.
    let amount = |data: &Value, key: &str| data[key].as_str().map(Amount::parse_signed);
    // Each offer of a swap has a hash and times of its own.
    Ok(["domain", "source", "target", "symbol", "active", "solver"].into_iter().all(equal)
        && ["amount", "credit"].into_iter().all(|key| amount(kept, key) == amount(new, key))
        && (equal("locker") || locks_for_a_swap(kept) && locks_for_a_swap(new)))
}

/// Whether an IOU of this data locks for a swap: then its random is the hash of the lock.
fn locks_for_a_swap(data: &Value) -> bool {
    data["locker"]["puzzle"].is_string() && data["locker"]["puzzle"] == data["random"]
}

fn is_in(file: &Path, folder: &Path) -> bool {
    match (file.canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.parent() == Some(&folder),
        _ => false,
    }
}

/// Checks what was signed as a server will, says what it is, keeps it and posts it.
pub fn clear(
    server: &Server,
    keys: &Keys,
    draft: &Draft,
    signed: &[u8],
    sentence: &str,
    json: bool,
) -> anyhow::Result<Outcome> {
    let labels = keys.labels();
    let request = match checked(draft, signed) {
        Ok(request) => request,
        Err(rejection) => {
            Problem::from_rejection(&rejection)?.print(json, &labels)?;
            return Ok(Outcome::Refused);
        }
    };
    if !json {
        output::line(format!("signing  {sentence}"))?;
    }
    let file = keys.outgoing(&draft.hash());
    // What has the same name was signed and kept before, and nobody knows what became of it.
    if !file.exists() {
        file::keep(&file, signed)?;
    }
    send(server, &request.to_bytes(), &[file], keys, json)
}

/// What the server will say first of what was signed.
pub fn checked(draft: &Draft, signed: &[u8]) -> Result<Request, Rejection> {
    let request = Request::from_inputs(&[signed], &draft.domain);
    let request = request.map_err(|refusal| refusal.rejection)?;
    iou::verified(&request).map(|()| request)
}

/// The command that posts what is kept in files, as a shell reads it.
fn posting(files: &[PathBuf], keys: &Keys, server: &Server) -> String {
    let files = files.iter().map(|file| match file.as_os_str() == "-" {
        true => "-".to_owned(),
        false => output::path(file),
    });
    let files: Vec<String> = files.collect();
    format!("webwallet post {} {}{}", files.join(" "), server.flags(), keys.flag())
}

/// Posts a request from these files and prints what became of it. Those in the outbox are
/// removed once that is certain, and all are pointed at while it is not.
pub fn send(
    server: &Server,
    request: &[u8],
    files: &[PathBuf],
    keys: &Keys,
    json: bool,
) -> anyhow::Result<Outcome> {
    let labels = &keys.labels();
    let outbox = keys.outbox();
    let kept: Vec<&PathBuf> = files.iter().filter(|file| is_in(file, &outbox)).collect();
    let again = || match kept.is_empty() {
        false => format!(
            "nobody knows yet whether this was cleared; to ask again (it is never paid twice): {}",
            posting(files, keys, server)
        ),
        true => {
            "nobody knows yet whether this was cleared; post the same again: it is never paid twice"
                .to_owned()
        }
    };
    // On a line of its own: it is there to be run.
    let unknown = |error: anyhow::Error| {
        output::complain(again());
        error
    };
    let answer = server.post(request).map_err(unknown)?;
    let outcome = match answer {
        Answer::Problem(problem) if problem.is_unknown_outcome() => {
            problem.print(json, labels)?;
            output::complain(again());
            return Ok(Outcome::Refused);
        }
        Answer::Problem(problem) if !problem.is_final() => {
            problem.print(json, labels)?;
            if !kept.is_empty() {
                output::complain(match problem.code == Code::WrongDomain.as_str() {
                    true => "it is kept; only the server that it was written for says whether it cleared: post it there (--url)".to_owned(),
                    false => format!(
                        "it is kept; to post it again later: {}",
                        posting(files, keys, server)
                    ),
                });
            }
            return Ok(Outcome::Refused);
        }
        Answer::Problem(problem) => {
            problem.print(json, labels)?;
            // What was refused is all of them together: others of them may clear.
            if files.len() > 1 && !kept.is_empty() {
                output::complain("they are kept: post each on its own");
                return Ok(Outcome::Refused);
            }
            if problem.may_change()
                && let Some(warning) = stays_good(request)
            {
                output::complain(warning);
            }
            Outcome::Refused
        }
        Answer::Done { body, replayed, .. } => {
            let record = data(&body).map_err(unknown)?;
            check_record(record.get(), request).map_err(unknown)?;
            let printed = if json {
                output::line(record.get())
            } else {
                let first = if replayed { "cleared before  " } else { "cleared  " };
                let cleared = transaction::sentence(record.get(), labels).map_err(unknown)?;
                output::line(format!("{first}{cleared}"))
            };
            printed.context("it has cleared, and only saying so has failed")?;
            Outcome::Done
        }
    };
    for file in kept {
        forget(file)?;
    }
    Ok(outcome)
}

/// Removes an IOU from the outbox, of which it is certain what became.
pub fn forget(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        // Somebody else has posted it as well, and had the same answer.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.with_context(|| format!("cannot remove {}", file.display())),
    }
}

/// Until when what was refused stays good, and what ends that sooner: each IOU of a request
/// may clear without the others.
fn stays_good(request: &[u8]) -> Option<String> {
    let request: Value = serde_json::from_slice(request).ok()?;
    let ious = request["data"]["inputs"].as_array()?;
    let expiry = ious.iter().filter_map(|iou| iou["data"]["expiry"].as_str()).max()?;
    // That of a swap's IOUs follows from its terms.
    let sooner = match ious.iter().any(|iou| locks_for_a_swap(&iou["data"])) {
        true => "",
        false => "; --expiry TIME ends that sooner",
    };
    Some(format!(
        "what was signed stays good until {expiry}: who has seen it can have it cleared once the balances allow it{sooner}"
    ))
}

/// That a record is of this request: its name is that of its data, its IOUs are
/// exactly those that were sent, and they were written for its domain. Whoever
/// believed another would take for cleared what is not, and pay again.
pub fn check_record(record: &str, request: &[u8]) -> anyhow::Result<()> {
    let is_of = || {
        let record = Record::parse(record.as_bytes()).ok()?;
        let request = Request::parse(request, record.domain()).ok()?;
        // A repeat in another order is answered with the record of the first.
        let (mut sent, mut cleared) = (request.ious(), record.inputs);
        sent.sort();
        cleared.sort();
        (sent == cleared).then_some(())
    };
    is_of().context("what the server answered is not the record of this payment")
}

/// What makes an IOU another than all others.
pub fn random() -> anyhow::Result<String> {
    Ok(hex_string(&random_bytes::<16>()?))
}

/// Prints what a request would leave.
fn rehearse(
    server: &Server,
    request: &[u8],
    json: bool,
    labels: &Labels,
) -> anyhow::Result<Outcome> {
    match server.rehearse(request)? {
        Answer::Problem(problem) => {
            problem.print(json, labels)?;
            Ok(Outcome::Refused)
        }
        Answer::Done { body, replayed, .. } => {
            let outputs = data(&body)?;
            if json {
                output::line(outputs.get())?;
            } else {
                let first = if replayed { "cleared before  " } else { "would clear  " };
                output::line(format!("{first}{}", transaction::left(outputs.get(), labels)?))?;
            }
            Ok(Outcome::Done)
        }
    }
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

#[cfg(test)]
mod tests {
    use webwallet_ledger::Pointer;
    use webwallet_ledger::hash::Hash;
    use webwallet_ledger::lock::Solver;
    use webwallet_ledger::signature::public_of;

    use super::*;

    fn draft() -> Draft {
        let [source, target] = [[1; 32], [2; 32]].map(|key| Address::of_public(&public_of(&key)));
        Draft {
            domain: "localhost".to_owned(),
            source,
            target,
            symbol: source,
            amount: "0".to_owned(),
            random: "one of many".to_owned(),
            expiry: Time::from_unix_ms(1_000_000),
            active: None,
            credit: None,
            locker: None,
            solver: None,
        }
    }

    fn swapping(hash: Hash, until: i64) -> Draft {
        let until = Time::from_unix_ms(until);
        let locker = Locker { active: None, expiry: until, puzzle: Some(hash), script: None };
        Draft { random: hash.to_string(), expiry: until, locker: Some(locker), ..draft() }
    }

    /// What is taken for another payment is paid twice; what is taken for the same one
    /// stands in the way of money that its owner never had.
    #[test]
    fn an_iou_is_like_another_that_does_the_same() {
        let hash = Hash::sha3(b"");
        let solver = Solver { output: Pointer { record: hash, index: 1 }, hashee: None };
        let plain_lock = Draft { random: "another".to_owned(), ..swapping(hash, 7_000) };
        let granted = |credit: &str| Draft { credit: Some(credit.to_owned()), ..draft() };
        let same = [
            (draft(), Draft { amount: "0.0".to_owned(), random: "another".to_owned(), ..draft() }),
            (draft(), Draft { expiry: Time::from_unix_ms(7), ..draft() }),
            (granted("-5"), granted("-5.0")),
            // Offered once more, a swap has another hash, and ends later.
            (swapping(hash, 7_000), swapping(Hash::sha3(b"another"), 8_000)),
            (plain_lock.clone(), Draft { random: "a third".to_owned(), ..plain_lock.clone() }),
        ];
        let other = [
            (Draft { solver: Some(solver), ..draft() }, granted("-5")),
            (draft(), granted("-5")),
            (granted("5"), granted("-5")),
            (draft(), Draft { active: Some(Time::from_unix_ms(7)), ..draft() }),
            (draft(), swapping(hash, 7_000)),
            (plain_lock, Draft { random: "a third".to_owned(), ..swapping(hash, 8_000) }),
        ];
        let cases = same.map(|(kept, new)| (kept, new, true));
        for (kept, new, expected) in
            cases.into_iter().chain(other.map(|(kept, new)| (kept, new, false)))
        {
            let iou = serde_json::from_slice(&kept.unsigned()).expect("JSON");
            assert_eq!(is_like(&iou, &new).expect("a draft"), expected, "{kept:?} {new:?}");
        }
    }
}
