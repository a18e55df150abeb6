//! What must hold before anything is read or written: the server's version, the
//! constraints that forbid to spend and number twice, and whose graph it is.

use std::collections::HashSet;
use std::time::Duration;

use neo4rs::query;

use super::bolt::{Bolt, Failure, Settings, Transaction, first, get, statement};
use super::count;
use super::statements::{FORMAT, SHARD};
use crate::store::Error;

/// The first answer of all. A server that gives it is there, however busy.
const FIRST_DEADLINE: Duration = Duration::from_secs(4);
/// Oldest version whose answers these statements were tried on.
const VERSION_MIN: (u32, u32) = (5, 26);

/// Label and property of each uniqueness constraint. They are the laws: with
/// them two writers, a stale cache or a wrong plan cannot spend an output or
/// clear an IOU twice, nor give a number twice.
const UNIQUE: [(&str, &str); 12] = [
    ("Shard", "id"),
    ("Batch", "id"),
    ("Transaction", "n"),
    ("Transaction", "id"),
    ("IOU", "id"),
    ("Output", "p"),
    ("Account", "k"),
    ("Account", "no"),
    ("Block", "height"),
    ("Lock", "id"),
    ("Use", "id"),
    ("Unit", "id"),
];

/// Label and properties of each index. Without them a page of an address's
/// accounts, or of a unit's, would read all accounts, and one of its locks all locks.
const INDEXES: [(&str, [&str; 2]); 4] = [
    ("Account", ["address", "unit"]),
    ("Account", ["unit", "address"]),
    ("Open", ["unit", "address"]),
    ("Open", ["unit", "source"]),
];

fn index(label: &str, [first, second]: [&str; 2]) -> String {
    let name = format!("{label}_{first}_{second}").to_lowercase();
    format!("CREATE INDEX {name} IF NOT EXISTS FOR (x:{label}) ON (x.{first}, x.{second})")
}

fn constraint(label: &str, property: &str) -> String {
    let name = format!("{label}_{property}").to_lowercase();
    format!("CREATE CONSTRAINT {name} IF NOT EXISTS FOR (x:{label}) REQUIRE x.{property} IS UNIQUE")
}

/// What an opened graph is.
pub(super) struct Opened {
    /// The server's version.
    pub(super) version: String,
    /// Ours: whoever has an earlier one may not write any more. None of
    /// somebody who only looks.
    pub(super) epoch: Option<u64>,
}

/// Checks everything, makes what an empty graph lacks, takes the graph, and brings
/// one of an earlier format to this one. Nothing is written before all checks have
/// passed, but a constraint and an index that an earlier format has not.
pub(super) async fn open(bolt: &Bolt, settings: &Settings, domain: &str) -> Result<Opened, Error> {
    let opened = async {
        let (version, format) = check(bolt, domain).await?;
        let is_earlier = format.is_some_and(|format| format < FORMAT);
        if is_earlier {
            bolt.define(&constraint("Unit", "id")).await?;
            bolt.define(&index("Account", ["unit", "address"])).await?;
        }
        if format.is_none() {
            for (label, property) in UNIQUE {
                bolt.define(&constraint(label, property)).await?;
            }
            for (label, properties) in INDEXES {
                bolt.define(&index(label, properties)).await?;
            }
        } else {
            whole(bolt).await?;
        }
        let epoch = take(bolt, domain).await?;
        if is_earlier {
            count::units(bolt, epoch).await?;
        }
        Ok(Opened { version, epoch: Some(epoch) })
    };
    opened.await.map_err(|refusal: Refusal| refusal.into_error(settings))
}

/// The same for somebody who only looks: nothing is made or taken, and what is
/// missing is for [`missing`] to tell.
pub(super) async fn inspect(
    bolt: &Bolt,
    settings: &Settings,
    domain: &str,
) -> Result<Opened, Error> {
    match check(bolt, domain).await {
        Ok((_, Some(format))) if format < FORMAT => Err(Error::Unavailable(format!(
            "the graph at {} has data format {format}; start webwallet serve on it once, which brings it to {FORMAT}",
            settings.url
        ))),
        Ok((version, Some(_))) => Ok(Opened { version, epoch: None }),
        Ok((_, None)) => Err(Error::Unavailable(format!(
            "the database at {} is empty: no webwallet has written to it",
            settings.url
        ))),
        Err(refusal) => Err(refusal.into_error(settings)),
    }
}

/// That [`open`] would succeed, and what the server and its graph are; nothing is made or taken.
pub(super) async fn fits(bolt: &Bolt, settings: &Settings, domain: &str) -> Result<String, Error> {
    let fits = async {
        let (version, format) = check(bolt, domain).await?;
        Ok(match format {
            None => format!("Neo4j {version}, an empty database"),
            // What an earlier one lacks is made when it is opened.
            Some(format) if format < FORMAT => {
                format!("Neo4j {version}, a graph of {domain} in the earlier format {format}")
            }
            Some(_) => {
                whole(bolt).await?;
                format!("Neo4j {version}, a graph of {domain}")
            }
        })
    };
    fits.await.map_err(|refusal: Refusal| refusal.into_error(settings))
}

/// That nothing is missing.
async fn whole(bolt: &Bolt) -> Result<(), Refusal> {
    match missing(bolt).await?.into_iter().next() {
        None => Ok(()),
        Some(Missing { what, command }) => Err(Refusal::Unfit(format!(
            "{what} is missing, without which payments could clear twice or take very long; make it again with: {command}"
        ))),
    }
}

/// Why a graph is not opened.
enum Refusal {
    /// Its server failed.
    Failed(Failure),
    /// It is not one that this program may write to.
    Unfit(String),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::Failed(failure)
    }
}

impl Refusal {
    fn into_error(self, settings: &Settings) -> Error {
        match self {
            Refusal::Failed(failure) => explained(failure, settings),
            Refusal::Unfit(why) => Error::Unavailable(why),
        }
    }
}

/// What failed, and what helps.
fn explained(failure: Failure, settings: &Settings) -> Error {
    let Settings { url, user, .. } = settings;
    Error::Unavailable(match failure {
        Failure::Login(why) => format!(
            "Neo4j refuses the user {user:?} or its password ({why}); try them with: cypher-shell -a {url} -u {user} 'RETURN 1'"
        ),
        Failure::Silent(why) | Failure::Transient(why) => {
            format!(
                "Neo4j does not answer at {url} ({why}); see whether it runs with: neo4j status"
            )
        }
        Failure::Taken(why) | Failure::Unexplained(why) => {
            format!("Neo4j at {url} refuses what is needed: {why}")
        }
    })
}

/// Version, and the format of the graph, unless it is a new one.
async fn check(bolt: &Bolt, domain: &str) -> Result<(String, Option<i64>), Refusal> {
    let components = query("CALL dbms.components() YIELD versions RETURN versions[0] AS version");
    let rows = bolt.read_within(FIRST_DEADLINE, components).await?;
    let version: String = get(first(&rows)?, "version")?;
    if !is_recent(&version) {
        let (major, minor) = VERSION_MIN;
        return Err(Refusal::Unfit(format!(
            "Neo4j {version} is too old; install {major}.{minor} or later (5.26 is kept up for long)"
        )));
    }
    let found = bolt.read(query(&statement(include_str!("found.cypher")))).await?;
    let row = first(&found)?;
    let Some(owner) = get::<Option<String>>(row, "domain")? else {
        let [transactions, accounts]: [i64; 2] = [get(row, "transactions")?, get(row, "accounts")?];
        if transactions + accounts > 0 {
            return Err(Refusal::Unfit(format!(
                "this database holds {transactions} nodes labelled Transaction and {accounts} labelled Account that are not WebWallet's; use a server of its own"
            )));
        }
        return Ok((version, None));
    };
    let format = get(row, "format")?;
    is_ours(&owner, format, domain)?;
    Ok((version, Some(format)))
}

/// A constraint or an index that is not there.
pub(super) struct Missing {
    /// What it does.
    pub(super) what: String,
    /// What makes it.
    pub(super) command: String,
}

/// What a graph of ours must have, and this one has not.
pub(super) async fn missing(bolt: &Bolt) -> Result<Vec<Missing>, Failure> {
    let show = query(
        "SHOW INDEXES YIELD labelsOrTypes, properties, owningConstraint, entityType \
         WHERE entityType = 'NODE' AND size(labelsOrTypes) = 1 \
         RETURN labelsOrTypes[0] AS label, properties, owningConstraint IS NOT NULL AS unique",
    );
    let mut there = HashSet::new();
    for row in bolt.read(show).await? {
        let properties: Vec<String> = get(&row, "properties")?;
        let on = format!("{}.{}", get::<&str>(&row, "label")?, properties.join(","));
        there.insert((on, get::<bool>(&row, "unique")?));
    }
    let mut missing = Vec::new();
    for (label, property) in UNIQUE {
        let on = format!("{label}.{property}");
        if !there.contains(&(on.clone(), true)) {
            let what = format!("the constraint that makes {on} unique");
            missing.push(Missing { what, command: constraint(label, property) });
        }
    }
    for (label, properties) in INDEXES {
        let on = format!("{label}.{}", properties.join(","));
        if !there.contains(&(on, false)) {
            let what =
                format!("the index of {label}.{} and {label}.{}", properties[0], properties[1]);
            missing.push(Missing { what, command: index(label, properties) });
        }
    }
    Ok(missing)
}

fn is_ours(owner: &str, format: i64, domain: &str) -> Result<(), Refusal> {
    if owner != domain {
        return Err(Refusal::Unfit(format!(
            "this graph holds the records of another domain, {owner:?}, not of {domain:?}; use its own domain or another server"
        )));
    }
    if format > FORMAT {
        return Err(Refusal::Unfit(format!(
            "this graph has data format {format}, and this webwallet reads up to {FORMAT}; use the newer webwallet that wrote it"
        )));
    }
    Ok(())
}

fn is_recent(version: &str) -> bool {
    let mut parts = version.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= VERSION_MIN
}

/// Makes the Shard where there is none and gives this process the next epoch.
async fn take(bolt: &Bolt, domain: &str) -> Result<u64, Refusal> {
    let mut transaction = bolt.begin().await?;
    let taken = taken(&mut transaction, domain).await;
    match taken {
        // If the answer is lost, the start fails, and the next one takes the next epoch.
        Ok(epoch) => transaction.commit().await.map(|()| epoch).map_err(Refusal::Failed),
        Err(refusal) => {
            transaction.rollback().await;
            Err(refusal)
        }
    }
}

async fn taken(transaction: &mut Transaction, domain: &str) -> Result<u64, Refusal> {
    let open = query(&statement(include_str!("open.cypher")));
    let open = open.param("shard", SHARD).param("domain", domain).param("format", FORMAT);
    let rows = transaction.rows(open).await?;
    let row = first(&rows)?;
    // Another start may have made it meanwhile.
    is_ours(&get::<String>(row, "domain")?, get(row, "format")?, domain)?;
    get(row, "epoch").map_err(Refusal::Failed)
}
