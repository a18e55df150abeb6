//! `webwallet swap`: two parties swap two units over two servers that know
//! nothing of each other. Who offers locks first and keeps a preimage of the hash
//! of both locks; showing it to take the second opens the first to the other. Whoever
//! waits in vain has their own back.
//!
//! Nothing that must not be lost is kept but the preimage, and the terms, so that
//! nobody locks twice under one hash: what has been done so far, each finds on the
//! two servers. Before anything is signed the screen says what is lost at worst.

mod terms;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use faster_hex::hex_string;
use serde::{Deserialize, Serialize};
use webwallet_ledger::draft::Draft;
use webwallet_ledger::hash::Hash;
use webwallet_ledger::lock::puzzle_of;
use webwallet_ledger::rejection::{Code, Rejection};
use webwallet_ledger::time::Time;

use self::terms::{Found, Leg, PHASE_MS, Terms};
use crate::client::{Ca, Server, Url};
use crate::home::{Holder, Home, Keys, Labels};
use crate::key::random_bytes;
use crate::output::Outcome;
use crate::post::{Sender, checked};
use crate::problem::Problem;
use crate::receipt::Proof;
use crate::{clock, file, lock, outbox, output, pay};

/// Hours that the first lock is open when nothing else is said.
const HOURS: i64 = 48;
const HOUR_MS: i64 = 3_600_000;
/// So far from this machine's clock the time of either server may be when something is locked.
/// One that is behind and one that is ahead leave six of the ten minutes of [`PHASE_MS`].
const APART_MS: i64 = 120_000;

/// `webwallet swap ...`
#[derive(Subcommand)]
pub enum Command {
    /// Lock what you give, and write the terms for the other
    Offer(Box<Offer>),
    /// Lock what the terms ask of you, if the other's lock is there
    Accept(Step),
    /// Take what the other has locked for you
    Claim(Step),
    /// Have back what you have locked and nobody took in time
    Refund(Step),
    /// How far a swap has come
    Show(Show),
}

/// `webwallet swap offer`
#[derive(Args)]
pub struct Offer {
    /// Your key that pays, or a multisig
    #[arg(long, value_name = "NAME")]
    from: String,
    /// With whom
    #[arg(long, value_name = "NAME_OR_ADDRESS")]
    to: String,
    /// What you give: a decimal
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    give: String,
    /// Unit that you give, named by its issuer [default: your own]
    #[arg(long, value_name = "NAME_OR_ADDRESS")]
    unit: Option<String>,
    /// What you get: a decimal
    #[arg(long, value_name = "AMOUNT", allow_hyphen_values = true)]
    take: String,
    /// Unit that you get, named by its issuer [default: the other's own]
    #[arg(long, value_name = "NAME_OR_ADDRESS")]
    their_unit: Option<String>,
    /// The server that clears what you get
    #[arg(long, value_name = "URL")]
    their_url: String,
    /// Until when the other can take yours; from then on you can have it back [default: in 48 hours]
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Until when you can take theirs [default: half that time]
    #[arg(long, value_name = "TIME")]
    their_until: Option<String>,
    /// Write the terms to this file, for the other
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Offer although nobody knows what became of the same offer before: that may stand as well
    #[arg(long)]
    once_more: bool,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    home: Home,
    /// The server that clears what you give
    #[command(flatten)]
    url: Url,
}

/// One step of a swap.
#[derive(Args)]
pub struct Step {
    /// The terms
    file: PathBuf,
    /// Your key, or a multisig
    #[arg(long, value_name = "NAME")]
    with: String,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    ca: Ca,
}

/// `webwallet swap show`
#[derive(Args)]
pub struct Show {
    /// The terms
    file: PathBuf,
    #[command(flatten)]
    home: Home,
    #[command(flatten)]
    ca: Ca,
}

/// What opens a lock, until it is shown.
#[derive(Serialize, Deserialize)]
struct Preimage {
    preimage: String,
}

/// Runs `webwallet swap ...`.
pub fn run(command: &Command, json: bool) -> anyhow::Result<Outcome> {
    match command {
        Command::Offer(offer) => offer.run(json),
        Command::Accept(step) => Party::new(step, Terms::read(&step.file)?, json)?.accept(),
        Command::Claim(step) => Party::new(step, Terms::read(&step.file)?, json)?.claim(),
        Command::Refund(step) => Party::new(step, Terms::load(&step.file)?, json)?.refund(),
        Command::Show(show) => show.run(json),
    }
}

impl Offer {
    fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let keys = self.home.keys()?;
        let holder = keys.holder(&self.from)?;
        let preimage = format!("0x{}", hex_string(&random_bytes::<32>()?));
        let terms = self.terms(&keys, &holder, puzzle_of(&preimage))?;
        let (ca, proof) = (self.url.ca().clone(), &self.proof);
        let party = Party { terms, keys, holder, ca, proof, json };
        let (draft, signed) = party.signed(party.terms.first.locking(party.terms.hash))?;
        if let Err(rejection) = checked(&draft, &signed) {
            return party.refused(&rejection);
        }
        if !self.once_more {
            outbox::nothing_open(&party.keys, &draft, &self.url.server()?, &proof.flags())?;
        }
        self.nothing_there(&party)?;
        party.in_step()?;
        // On disk before anything is locked: without the one nobody could ever take the
        // other's, without the other they would not know what is offered.
        let mut written = serde_json::to_vec_pretty(&party.terms)?;
        written.push(b'\n');
        let kept = party.keys.swap(&party.terms.hash);
        file::keep(&kept, &serde_json::to_vec(&Preimage { preimage })?)?;
        let terms = party.keys.terms(&party.terms.hash);
        let forget = || [&kept, &terms].into_iter().for_each(|file| remove(file));
        if let Err(error) = party.keep_terms().and_then(|_| file::create(&self.output, &written)) {
            forget();
            return Err(error);
        }
        let offered = party.offer(&draft, &signed);
        // The other needs the terms as long as the lock may stand, now or later; else
        // they are of no offer.
        let is_open = party.keys.outgoing(&draft.hash()).exists();
        if !matches!(offered, Ok(Outcome::Done)) && !is_open {
            party.remove_terms(&self.output);
            // This was not even sent. What was refused has been seen, and may clear one day, or has.
            match offered.is_err() {
                true => forget(),
                false => output::complain(format!(
                    "its terms are kept, in case it clears all the same: {}",
                    terms.display()
                )),
            }
        }
        offered
    }

    /// That no file is where the terms shall be: those of another offer may be needed.
    fn nothing_there(&self, party: &Party) -> anyhow::Result<()> {
        if fs::symlink_metadata(&self.output).is_err_and(|no| no.kind() == ErrorKind::NotFound) {
            return Ok(());
        }
        let file = self.output.display();
        let Ok(terms) = Terms::load(&self.output) else {
            bail!(
                "{file} is there already, and holds no terms of a swap: name another file, or remove it"
            )
        };
        if party.never_sent(&terms).unwrap_or(false) {
            bail!(
                "{file} is there already, of an offer that ended before anything was locked: remove it, or name another file"
            );
        }
        bail!(
            "{file} is there already, and an offer may stand by it; to see: webwallet swap show {}{}{}",
            output::path(&self.output),
            party.keys.flag(),
            self.url.ca().flag()
        )
    }

    fn terms(&self, keys: &Keys, holder: &Holder, hash: Hash) -> anyhow::Result<Terms> {
        let (source, target) = (holder.address()?, keys.address(&self.to)?);
        let now = clock::now()?.unix_ms();
        let until = match &self.until {
            Some(until) => clock::parse(until)?,
            None => Time::from_unix_ms(now + HOURS * HOUR_MS),
        };
        let (their_until, flag) = match &self.their_until {
            Some(until) => (clock::parse(until)?, "--their-until"),
            None => {
                let half = Time::from_unix_ms(now + (until.unix_ms() - now) / 2);
                (half, "--until (half of that time is theirs)")
            }
        };
        ensure!(
            their_until.unix_ms() >= now + PHASE_MS,
            "the other's lock must be open for ten minutes at least, and it is to end at {their_until}: name a later {flag}"
        );
        let unit = |unit: &Option<String>, own| match unit {
            Some(unit) => keys.address(unit),
            None => Ok(own),
        };
        let (ours, theirs) = (self.url.text(), self.their_url.as_str());
        for url in [ours, theirs] {
            ensure!(
                !url.contains('@'),
                "swap.json goes to the other party: an address in it holds no user and no password"
            );
        }
        let first = Leg {
            url: ours.to_owned(),
            domain: self.url.server()?.domain()?,
            unit: unit(&self.unit, source)?,
            amount: self.give.clone(),
            source,
            target,
            until,
        };
        let second = Leg {
            url: theirs.to_owned(),
            domain: self.url.ca().server(theirs)?.domain()?,
            unit: unit(&self.their_unit, target)?,
            amount: self.take.clone(),
            source: target,
            target: source,
            until: their_until,
        };
        // What cannot be accepted would be locked until its time is over.
        first.amount().context("--give")?;
        second.amount().context("--take")?;
        let terms = Terms { hash, first, second };
        terms.check()?;
        Ok(terms)
    }
}

/// Removes what nobody needs, if it is there.
fn remove(file: &Path) {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            output::complain(format_args!("cannot remove {}: {error}", file.display()));
        }
        _ => {}
    }
}

/// Who takes a step.
struct Party<'a> {
    terms: Terms,
    keys: Keys,
    holder: Holder,
    ca: Ca,
    proof: &'a Proof,
    json: bool,
}

impl<'a> Party<'a> {
    fn new(step: &'a Step, terms: Terms, json: bool) -> anyhow::Result<Party<'a>> {
        let keys = step.home.keys()?;
        let holder = keys.holder(&step.with)?;
        let ours = holder.address()?;
        ensure!(
            [terms.first.source, terms.second.source].contains(&ours),
            "{} is not one of the two who swap",
            step.with
        );
        Ok(Party { terms, keys, holder, ca: step.ca.clone(), proof: &step.proof, json })
    }

    fn offers(&self) -> anyhow::Result<bool> {
        Ok(self.holder.address()? == self.terms.first.source)
    }

    /// That both servers tell the time as this machine does. Each ends its lock by its own: by
    /// one that is wrong, a lock ends before the other can be taken.
    fn in_step(&self) -> anyhow::Result<()> {
        for leg in [&self.terms.first, &self.terms.second] {
            let server = leg.server(&self.ca)?;
            let before = clock::now()?;
            let theirs = clock::of(&server, &leg.domain)?;
            let ours = clock::now()?;
            // It said so at some time between the two.
            let behind = before.unix_ms() - theirs.unix_ms();
            let ahead = theirs.unix_ms() - ours.unix_ms();
            ensure!(
                behind.max(ahead) <= APART_MS,
                "by {} it is {theirs}, by this machine's clock {ours}, and for a swap the two must agree to within two minutes; nothing was sent. Set this machine's clock if it is wrong; if it is right, tell whoever runs {}, and swap when its time is",
                leg.domain,
                leg.domain
            );
        }
        Ok(())
    }

    /// Whether this is an offer of ours that was written down and never sent: what was sent is in
    /// the outbox until the server has it, or has refused it.
    fn never_sent(&self, terms: &Terms) -> anyhow::Result<bool> {
        let draft = terms.first.locking(terms.hash);
        Ok(terms.first.source == self.holder.address()?
            && self.keys.swap(&terms.hash).exists()
            && !self.keys.outgoing(&draft.hash()).exists()
            && !lock::has_cleared(&terms.first.server(&self.ca)?, &draft)?)
    }

    fn clear(
        &self,
        server: &Server,
        draft: &Draft,
        signed: &[u8],
        sentence: &str,
    ) -> anyhow::Result<Outcome> {
        let sender = Sender { server, keys: &self.keys, proof: self.proof, json: self.json };
        sender.clear(draft, signed, sentence)
    }

    /// Removes the terms from their file, if it still holds these: what has taken its place may
    /// be needed.
    fn remove_terms(&self, file: &Path) {
        if Terms::load(file).is_ok_and(|there| there.hash == self.terms.hash) {
            remove(file);
        }
    }

    fn offer(&self, draft: &Draft, signed: &[u8]) -> anyhow::Result<Outcome> {
        let (labels, Terms { first, second, .. }) = (self.keys.labels(), &self.terms);
        let sentence = format!(
            "{}\nfor      {}, when {} has locked it, before {}\nat worst you have nothing for it, and yours back, but not before {}",
            pay::sentence(draft, &labels),
            what(second, &labels),
            labels.of(second.source.as_str()),
            second.until,
            first.until
        );
        self.clear(&first.server(&self.ca)?, draft, signed, &sentence)
    }

    fn accept(&self) -> anyhow::Result<Outcome> {
        let (labels, Terms { hash, first, second }) = (self.keys.labels(), &self.terms);
        ensure!(!self.offers()?, "who offers does not accept: this is for the other to do");
        if first.open(&first.server(&self.ca)?, *hash)?.is_none() {
            return self.missing(first);
        }
        let server = second.server(&self.ca)?;
        if let Some(rejection) = lock::too_late(&server, &second.domain, second.until, false)? {
            return self.refused(&rejection);
        }
        self.in_step()?;
        let (draft, signed) = self.signed(second.locking(*hash))?;
        let is_new = self.keep_terms()?;
        let sentence = format!(
            "{}\nfor      {}, from when {} shows the preimage, before {}\nat worst {} takes yours in time and you come later than that: then you have nothing for it;\n         who does not take yours has no right to it from {} on, and you have it back",
            pay::sentence(&draft, &labels),
            what(first, &labels),
            labels.of(first.source.as_str()),
            first.until,
            labels.of(first.source.as_str()),
            second.until,
        );
        let accepted = self.clear(&server, &draft, &signed, &sentence);
        // This was not even sent.
        if is_new && accepted.is_err() && !self.keys.outgoing(&draft.hash()).exists() {
            remove(&self.keys.terms(hash));
        }
        accepted
    }

    /// Keeps the terms before anything is locked for them. Of one hash there are no others: whoever
    /// shows its preimage takes all that is locked under it, and gives once. Answers whether they
    /// are new.
    fn keep_terms(&self) -> anyhow::Result<bool> {
        let kept = self.keys.terms(&self.terms.hash);
        if !kept.exists() {
            return file::keep(&kept, &serde_json::to_vec(&self.terms)?).map(|()| true);
        }
        let before = Terms::load(&kept)?;
        let locks =
            |terms: &Terms| [&terms.first, &terms.second].map(|leg| leg.locking(terms.hash).hash());
        ensure!(
            locks(&before) == locks(&self.terms),
            "something was signed under the same hash for other terms, {}, and may be locked: whoever shows the preimage would take both, and give once; ask for terms under a hash of their own",
            kept.display()
        );
        Ok(false)
    }

    fn claim(&self) -> anyhow::Result<Outcome> {
        let Terms { hash, first, second } = &self.terms;
        let offers = self.offers()?;
        let leg = if offers { second } else { first };
        let server = leg.server(&self.ca)?;
        let pointer = match leg.find(&server, *hash)? {
            Found::Open(pointer) => pointer,
            Found::Nothing => return self.missing(leg),
            Found::Taken(hashee) => {
                if self.proof.is_asked() {
                    return self.prove(leg, &server, hashee);
                }
                Status { leg, state: "taken" }.print(self.json, &self.keys.labels())?;
                self.forget(leg, &server, hashee)?;
                return Ok(Outcome::Done);
            }
        };
        let hashee = match offers {
            true => Some(self.preimage()?),
            false => match second.find(&second.server(&self.ca)?, *hash)? {
                Found::Taken(hashee) => Some(hashee),
                _ => None,
            },
        };
        let Some(hashee) = hashee else {
            let detail = "the other has not shown the preimage yet: it can be claimed from then on";
            return self.refused(&Rejection::new(Code::LockUnsolved, "", detail));
        };
        // Who offers shows the preimage first; the other shows what is known already.
        if let Some(rejection) = lock::too_late(&server, &leg.domain, leg.until, offers)? {
            return self.refused(&rejection);
        }
        let (draft, signed) = self.signed(leg.taking(*hash, pointer, hashee))?;
        let sentence = self.claiming(&draft, leg)?;
        self.clear(&server, &draft, &signed, &sentence)
    }

    /// The receipt of what was claimed before.
    fn prove(&self, leg: &Leg, server: &Server, hashee: String) -> anyhow::Result<Outcome> {
        let hash = self.terms.hash;
        let made = leg.made(server, hash)?;
        let taken = made.map(|pointer| leg.taking(hash, pointer, hashee));
        let draft = match taken {
            Some(draft) if lock::has_cleared(server, &draft)? => draft,
            _ => bail!(
                "it was taken before, and not by this command: `webwallet history` names the record, and `webwallet receipt RECORD` brings its receipt"
            ),
        };
        // The same once more is answered with the same record.
        let (draft, signed) = self.signed(draft)?;
        let sentence = lock::sentence(&draft, &leg.lock(hash)?, &self.keys.labels());
        self.clear(server, &draft, &signed, &sentence)
    }

    /// Removes from the outbox what has taken a lock, where its answer was lost.
    fn forget(&self, leg: &Leg, server: &Server, hashee: String) -> anyhow::Result<()> {
        let hash = self.terms.hash;
        let Some(pointer) = leg.made(server, hash)? else { return Ok(()) };
        outbox::forget(&self.keys.outgoing(&leg.taking(hash, pointer, hashee).hash()))
    }

    fn claiming(&self, draft: &Draft, leg: &Leg) -> anyhow::Result<String> {
        let (labels, Terms { hash, first, .. }) = (self.keys.labels(), &self.terms);
        let takes = lock::sentence(draft, &leg.lock(*hash)?, &labels);
        let other = labels.of(leg.source.as_str());
        let worst = format!(
            "at worst {} does not clear it before {}: then {other} has both",
            leg.domain, leg.until
        );
        Ok(match self.offers()? {
            false => format!("{takes}\n{worst}"),
            true => format!(
                "{takes}\nshowing  the preimage: from now on {other} can take {}, before {}\n{worst}",
                what(first, &labels),
                first.until
            ),
        })
    }

    fn refund(&self) -> anyhow::Result<Outcome> {
        let Terms { hash, first, second } = &self.terms;
        let leg = if self.offers()? { first } else { second };
        leg.check()?;
        let server = leg.server(&self.ca)?;
        let open = leg.open(&server, *hash)?;
        let Some(pointer) = open.map_or_else(|| leg.made(&server, *hash), |open| Ok(Some(open)))?
        else {
            return self.missing(leg);
        };
        let draft = leg.returning(*hash, pointer);
        // What was refunded already is answered with the same record.
        if open.is_none() && !lock::has_cleared(&server, &draft)? {
            return self.missing(leg);
        }
        let (draft, signed) = self.signed(draft)?;
        let sentence = lock::sentence(&draft, &leg.lock(*hash)?, &self.keys.labels());
        self.clear(&server, &draft, &signed, &sentence)
    }

    fn signed(&self, draft: Draft) -> anyhow::Result<(Draft, Vec<u8>)> {
        let signed = lock::sign(&draft, &self.holder, None, &self.keys)?;
        Ok((draft, signed))
    }

    fn preimage(&self) -> anyhow::Result<String> {
        let file = self.keys.swap(&self.terms.hash);
        let read = || Ok::<_, anyhow::Error>(serde_json::from_slice(&file::read(&file)?)?);
        let Preimage { preimage } =
            read().with_context(|| format!("cannot read the preimage in {}", file.display()))?;
        ensure!(
            puzzle_of(&preimage) == self.terms.hash,
            "the preimage in {} is of another swap",
            file.display()
        );
        Ok(preimage)
    }

    fn missing(&self, leg: &Leg) -> anyhow::Result<Outcome> {
        let detail = format!(
            "no lock of {} for {} by these terms stands on {}: it is not there yet, or was used",
            leg.source, leg.target, leg.domain
        );
        self.refused(&Rejection::new(Code::LockNotFound, "", detail))
    }

    fn refused(&self, rejection: &Rejection) -> anyhow::Result<Outcome> {
        Problem::from_rejection(rejection)?.print(self.json, &self.keys.labels())
    }
}

/// A lock, and how far it has come.
#[derive(Serialize)]
struct Status<'a> {
    #[serde(flatten)]
    leg: &'a Leg,
    state: &'static str,
}

impl Status<'_> {
    fn line(&self, labels: &Labels) -> String {
        let Leg { source, target, until, .. } = self.leg;
        let (source, target) = (labels.of(source.as_str()), labels.of(target.as_str()));
        let what = what(self.leg, labels);
        format!("{what}, of {source} for {target}, before {until}: {}", self.state)
    }

    fn print(&self, json: bool, labels: &Labels) -> anyhow::Result<()> {
        Ok(output::line(if json { serde_json::to_string(self)? } else { self.line(labels) })?)
    }
}

impl Show {
    fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        #[derive(Serialize)]
        struct Whole<'a> {
            hash: String,
            first: Status<'a>,
            second: Status<'a>,
        }
        let (terms, labels) = (Terms::read(&self.file)?, self.home.keys()?.labels());
        let status = |leg| -> anyhow::Result<Status<'_>> {
            let state = match Leg::find(leg, &leg.server(&self.ca)?, terms.hash)? {
                Found::Open(_) => "open",
                Found::Taken(_) => "taken",
                Found::Nothing => "none",
            };
            Ok(Status { leg, state })
        };
        let (first, second) = (status(&terms.first)?, status(&terms.second)?);
        if json {
            let hash = terms.hash.to_string();
            output::line(serde_json::to_vec(&Whole { hash, first, second })?)?;
        } else {
            output::line(format!("first   {}", first.line(&labels)))?;
            output::line(format!("second  {}", second.line(&labels)))?;
        }
        Ok(Outcome::Done)
    }
}

/// What a lock holds, and where: also at which address, since whoever answers
/// there is believed.
fn what(leg: &Leg, labels: &Labels) -> String {
    let Leg { amount, unit, domain, url, .. } = leg;
    format!("{amount} (unit of {}) on {domain} at {url}", labels.of(unit.as_str()))
}
