//! A look at the servers behind a connection: which they are, and whether they
//! keep what they confirm.
//!
//! Redis is set up to forget: by default it syncs once a second, and evicts
//! what it likes when told to bound its memory. What a document needs is named
//! here, setting by setting, with the command that mends it.

use ::redis::{Cmd, FromRedisValue, InfoDict, RedisResult, Value, cmd};

use super::connection::Connection;

/// Before this, a replica's settings and the append-only file had other names.
const VERSION_MIN: (u32, u32) = (6, 2);

/// The settings that lose documents, and what each must be.
const SETTINGS: [(&str, &str, &str); 4] = [
    ("appendonly", "yes", "a restart loses documents"),
    ("appendfsync", "always", "a crash loses the last documents that were confirmed"),
    ("no-appendfsync-on-rewrite", "no", "a crash during a rewrite loses confirmed documents"),
    ("maxmemory-policy", "noeviction", "documents are evicted when memory runs short"),
];

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Of one of them.
    pub version: String,
    /// All of them.
    pub servers: Vec<Seen>,
    /// Why documents could be lost, each a clause with the command that mends it.
    pub faults: Vec<String>,
    /// The same in a few words.
    pub lossy: Vec<String>,
    /// Each put must ask for its sync, because the server syncs by the second.
    pub wait: bool,
}

/// Which run of which server one is, and how many keys it has; another one, or one
/// that has fewer, may have lost documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub run_id: String,
    pub keys: u64,
}

/// Asks every server that takes writes. `was_sound`: at the last look nothing was
/// wrong with them.
pub(super) async fn at(
    connection: &Connection,
    address: &str,
    was_sound: bool,
) -> RedisResult<Look> {
    let mut commands = vec![cmd("INFO"), cmd("DBSIZE"), command_info("WAITAOF")];
    commands.extend(SETTINGS.iter().map(|(name, ..)| {
        let mut get = cmd("CONFIG");
        get.arg("GET").arg(name);
        get
    }));
    let mut look = Look::default();
    for (node, answers) in connection.each(&commands).await? {
        // On a Cluster it says which node.
        let address = if node.is_empty() { address.to_owned() } else { format!("redis://{node}") };
        look.add(&address, connection.is_cluster(), was_sound, answers)?;
    }
    Ok(look)
}

fn command_info(name: &str) -> Cmd {
    let mut info = cmd("COMMAND");
    info.arg("INFO").arg(name);
    info
}

impl Look {
    fn add(
        &mut self,
        address: &str,
        cluster: bool,
        was_sound: bool,
        answers: Vec<Value>,
    ) -> RedisResult<()> {
        let mut answers = answers.into_iter();
        let mut next = || answers.next().unwrap_or(Value::Nil);
        let info = InfoDict::from_redis_value(next())?;
        let keys = u64::from_redis_value(next())?;
        let text = |key: &str| info.get::<String>(key).unwrap_or_default();
        let can_wait =
            matches!(next(), Value::Array(found) if matches!(found[..], [Value::Array(_)]));
        self.version(address, text("redis_version"));
        self.servers.push(Seen { run_id: text("run_id"), keys });
        if text("role") != "master" {
            self.fault(
                format!("role is {}", text("role")),
                format!("the server at {address} takes no writes; give the address of its primary"),
            );
        }
        // Told to keep a file while it runs, Redis writes a first one of all it holds; until
        // that is whole, a restart reads none of it. (One that began with a file writes its
        // first new one likewise, and loses nothing.)
        let count = |key: &str| info.get::<u64>(key).unwrap_or_default();
        let writes = count("aof_rewrite_in_progress") + count("aof_rewrite_scheduled") > 0;
        if writes && count("aof_base_size") == 0 && !was_sound {
            self.fault(
                "the append-only file is being begun".to_owned(),
                format!(
                    "until it is whole, a crash loses all that is put; that ends by itself: redis-cli -u {address} INFO persistence"
                ),
            );
        }
        for (name, good, danger) in SETTINGS {
            let value = <(String, String)>::from_redis_value(next());
            let value = value.map(|(_, value)| value).unwrap_or_default();
            if name == "appendfsync" && value == "everysec" && can_wait && !cluster {
                self.wait = true;
            } else if value != good {
                self.fault(
                    format!("{name} is {value}"),
                    format!(
                        "{danger}; run: redis-cli -u {address} CONFIG SET {name} {good} (and write it into its redis.conf)"
                    ),
                );
            }
        }
        Ok(())
    }

    fn version(&mut self, address: &str, version: String) {
        let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
        let parts = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        if parts < VERSION_MIN {
            let (major, minor) = VERSION_MIN;
            self.fault(
                format!("version is {version}"),
                format!("the server at {address} is too old; install {major}.{minor} or later"),
            );
        }
        if self.version.is_empty() {
            self.version = version;
        }
    }

    fn fault(&mut self, what: String, why: String) {
        self.faults.push(format!("{what}: {why}"));
        self.lossy.push(what);
    }
}
