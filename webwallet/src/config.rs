//! The configuration of `serve`: defaults, under a TOML file, under
//! `WEBWALLET_*` variables, under flags.
//!
//! An unknown key is refused wherever it stands: a misspelt setting must not
//! be silently the default one. Passwords and tokens are named by file only,
//! so a configuration holds no secret and may be shown to anybody.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use figment::providers::{Format as _, Toml};
use figment::value::{Dict, Map, Tag, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::{Deserialize, Serialize};
use webwallet_api_gateway::Limits;
use webwallet_ledger::limits::DOMAIN_BYTES_MAX;

use crate::output::{self, Outcome};
use crate::safety;

/// Variables of other commands, which `serve` passes over.
const OTHER_VARIABLES: [&str; 4] = ["ca", "config", "home", "url"];
const PREFIX: &str = "WEBWALLET_";

/// Which part of the server this process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything, in this process
    All,
    /// Keeps documents; gRPC
    Hashtable,
    /// Clears requests; gRPC
    Graphstore,
    /// Seals blocks of a Graphstore and a Hashtable elsewhere; gRPC
    Blockstack,
    /// Speaks REST for services elsewhere
    Gateway,
}

/// When blocks are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sealing {
    /// Soon after records have cleared
    #[default]
    Interval,
    /// By `webwallet seal` only; for tests
    Manual,
}

/// Every setting of `serve`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Which part of the server this process is.
    pub role: Role,
    /// REST of roles `all` and `gateway`, gRPC of the others; port 0 picks one.
    pub listen: SocketAddr,
    /// Metrics and everything that changes the server.
    pub admin: SocketAddr,
    /// Metrics of a role without REST.
    pub metrics: Option<SocketAddr>,
    /// The domain IOUs must name.
    pub domain: String,
    /// The data directory.
    pub data: PathBuf,
    /// Where roles `blockstack` and `gateway` find the Hashtable; and role `graphstore`,
    /// which looks for its newest record before anything clears.
    pub hashtable: Option<String>,
    /// Where roles `blockstack` and `gateway` find the Graphstore; and role
    /// `hashtable` on a Redis, to fetch from it what that Redis lost.
    pub graphstore: Option<String>,
    /// Where role `gateway` finds the Blockstack; and role `hashtable` on a Redis,
    /// to fetch from its log what that Redis lost.
    pub blockstack: Option<String>,
    /// The Redis that keeps the documents; without it, the data directory does.
    pub redis: Option<String>,
    /// File with the password of that Redis.
    pub redis_password_file: Option<PathBuf>,
    /// Whether that Redis may be one that loses documents; for experiments.
    pub allow_lossy_redis: bool,
    /// The Neo4j that clears; without it, the data directory does.
    pub neo4j: Option<String>,
    /// File with the password of that Neo4j.
    pub neo4j_password_file: Option<PathBuf>,
    /// Certificate of this process, in PEM: for whom it serves, and for the
    /// services it calls.
    pub tls_cert_file: Option<PathBuf>,
    /// The key of that certificate, in PEM.
    pub tls_key_file: Option<PathBuf>,
    /// The CA of our services, in PEM: gRPC asks callers for its certificates,
    /// and calls to `https://` believe no other.
    pub tls_ca_file: Option<PathBuf>,
    /// File with the token of calls between our services.
    pub token_file: Option<PathBuf>,
    /// File with the token of the admin listener.
    pub admin_token_file: Option<PathBuf>,
    /// File to read the time from; for tests.
    pub test_clock: Option<PathBuf>,
    /// When blocks are made.
    pub seal: Sealing,
    /// How long a block waits for more records after its first one.
    pub seal_interval_ms: u64,
    /// File with the log key; for tests.
    pub log_key: Option<PathBuf>,
    /// What is logged.
    pub log: String,
    /// How much of this machine clients may hold.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            role: Role::All,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            metrics: None,
            domain: "localhost".to_owned(),
            data: PathBuf::from("./webwallet-data"),
            hashtable: None,
            graphstore: None,
            blockstack: None,
            redis: None,
            redis_password_file: None,
            allow_lossy_redis: false,
            neo4j: None,
            neo4j_password_file: None,
            tls_cert_file: None,
            tls_key_file: None,
            tls_ca_file: None,
            token_file: None,
            admin_token_file: None,
            test_clock: None,
            seal: Sealing::default(),
            seal_interval_ms: 200,
            log_key: None,
            log: "info".to_owned(),
            limits: Limits::default(),
        }
    }
}

/// The flags of `serve`; what is not given is left to the layers below.
#[derive(Args, Serialize, Default)]
pub struct Flags {
    /// TOML file with settings
    #[arg(long, env = "WEBWALLET_CONFIG", hide_env_values = true, value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Which part of the server to run [default: all]
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    /// Address to serve on; port 0 picks one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    /// Address for metrics and administration [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<SocketAddr>,
    /// For --role hashtable, graphstore and blockstack: address for metrics [default: none]
    #[arg(long, value_name = "ADDRESS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<SocketAddr>,
    /// Domain that IOUs must name [default: localhost]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<String>,
    /// Data directory [default: ./webwallet-data]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<PathBuf>,
    /// For --role graphstore, blockstack and gateway: the Hashtable, http(s)://HOST:PORT
    #[arg(long, value_name = "URI")]
    #[serde(skip_serializing_if = "Option::is_none")]
    hashtable: Option<String>,
    /// For --role blockstack and gateway, or hashtable on a Redis: the Graphstore, http(s)://HOST:PORT
    #[arg(long, value_name = "URI")]
    #[serde(skip_serializing_if = "Option::is_none")]
    graphstore: Option<String>,
    /// For --role gateway, or hashtable on a Redis: the Blockstack, http(s)://HOST:PORT
    #[arg(long, value_name = "URI")]
    #[serde(skip_serializing_if = "Option::is_none")]
    blockstack: Option<String>,
    /// Keep the documents in this Redis, redis://HOST:PORT; rediss:// is TLS, and SSL_CERT_FILE
    /// names a CA of your own
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    redis: Option<String>,
    /// For experiments: take a Redis that may lose documents
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    allow_lossy_redis: bool,
    /// Clear in this Neo4j, bolt://HOST:PORT
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    neo4j: Option<String>,
    /// Certificate of this process, PEM: it then serves TLS
    #[arg(long = "tls-cert", value_name = "FILE", requires = "tls_key_file")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_cert_file: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long = "tls-key", value_name = "FILE", requires = "tls_cert_file")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_key_file: Option<PathBuf>,
    /// CA of our services, PEM: gRPC takes only its certificates
    #[arg(long = "tls-ca", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_ca_file: Option<PathBuf>,
    /// For tests, on loopback only: read the time (RFC 3339) from a file at every use
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    test_clock: Option<PathBuf>,
    /// For tests, on loopback only: `manual` makes blocks by `webwallet seal` alone
    #[arg(long, value_enum)]
    #[serde(skip_serializing_if = "Option::is_none")]
    seal: Option<Sealing>,
    /// For tests, on loopback only: sign the log with the key in this file
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log_key: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or MODULE=LEVEL,... [default: info]
    #[arg(long, value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
}

/// One layer of settings, with a name that people understand.
struct Layer {
    name: &'static str,
    values: Dict,
}

impl Layer {
    fn of(name: &'static str, values: &impl Serialize) -> figment::error::Result<Layer> {
        let values = Value::serialize(values)?.into_dict().unwrap_or_default();
        Ok(Layer { name, values })
    }

    /// `WEBWALLET_DATA=...`, and `WEBWALLET_LIMITS_CONNECTIONS_MAX=...` for the
    /// keys of a table. Variables for tests and other commands are passed over.
    fn variables(
        variables: impl Iterator<Item = (String, String)>,
        known: &Dict,
    ) -> anyhow::Result<Layer> {
        let tables =
            known.iter().filter_map(|(key, value)| value.as_dict().map(|table| (key, table)));
        let tables = tables.collect::<Vec<_>>();
        let mut values = Dict::new();
        for (variable, text) in variables {
            let Some(key) = variable.strip_prefix(PREFIX).map(str::to_ascii_lowercase) else {
                continue;
            };
            let inner = tables.iter().find_map(|(table, keys)| {
                let inner = key.strip_prefix(table.as_str())?.strip_prefix('_')?;
                keys.contains_key(inner).then(|| ((*table).clone(), inner.to_owned()))
            });
            if let Some((table, inner)) = inner {
                let number = text.parse::<u64>();
                let Ok(number) = number else {
                    bail!("the variable {variable} is `{text}`, not a whole number")
                };
                let entry = values.entry(table).or_insert_with(|| Value::from(Dict::new()));
                if let Value::Dict(_, table) = entry {
                    table.insert(inner, Value::from(number));
                }
            } else if known.get(&key).is_some_and(|value| value.to_num().is_some()) {
                let Ok(number) = text.parse::<u64>() else {
                    bail!("the variable {variable} is `{text}`, not a whole number")
                };
                values.insert(key, Value::from(number));
            } else if known.get(&key).is_some_and(|value| value.to_bool().is_some()) {
                let Ok(yes) = text.parse::<bool>() else {
                    bail!("the variable {variable} is `{text}`, not true or false")
                };
                values.insert(key, Value::from(yes));
            } else if known.get(&key).is_some_and(|value| value.as_dict().is_none()) {
                values.insert(key, Value::from(text));
            } else if !is_of_others(&key) {
                bail!(
                    "there is no setting for the variable {variable}; `webwallet config show` lists all"
                );
            }
        }
        Ok(Layer { name: "environment", values })
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> figment::error::Result<Map<Profile, Dict>> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// All layers, lowest first.
fn layers(
    flags: &Flags,
    variables: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<Figment> {
    let defaults = Layer::of("default", &Config::default())?;
    let variables = Layer::variables(variables, &defaults.values)?;
    let mut figment = Figment::from(defaults);
    if let Some(file) = &flags.config {
        // To figment a file that is not there is an empty one.
        fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?;
        figment = figment.merge(Toml::file_exact(file));
    }
    Ok(figment.merge(variables).merge(Layer::of("flag", flags)?))
}

/// Is it a domain that IOUs may name?
pub fn check_domain(domain: &str) -> anyhow::Result<()> {
    let letter = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-:".contains(b);
    ensure!(
        (1..=DOMAIN_BYTES_MAX).contains(&domain.len()) && domain.as_bytes().iter().all(letter),
        "{domain:?} is no domain: 1 to {DOMAIN_BYTES_MAX} lower-case letters, digits, `.`, `-`, `:`"
    );
    Ok(())
}

fn extract(figment: &Figment) -> anyhow::Result<Config> {
    let config: Config = figment.extract()?;
    check_domain(&config.domain)?;
    let (gateway, blockstack) = (config.role == Role::Gateway, config.role == Role::Blockstack);
    // A Redis is given back what it lost, from what Graphstore and the log have.
    let asks = config.role == Role::Hashtable && config.redis.is_some();
    let (keeps, clears) = (config.role.keeps(), config.role.clears());
    // Graphstore asks it for its newest record, which an older copy that was put back lacks.
    let compares = config.role == Role::Graphstore;
    for (name, uri, needed) in [
        ("hashtable", &config.hashtable, gateway || blockstack || compares),
        ("graphstore", &config.graphstore, gateway || blockstack),
        ("blockstack", &config.blockstack, gateway),
    ] {
        match uri {
            None if needed => {
                bail!("role {} needs {name}: --{name} http://HOST:PORT", config.role.name())
            }
            Some(uri) if uri.contains('@') => {
                bail!("{name} must not hold a password; name a file with WEBWALLET_TOKEN_FILE")
            }
            _ => {}
        }
    }
    for (name, given, used) in [
        ("hashtable", config.hashtable.is_some(), gateway || blockstack || compares),
        ("graphstore", config.graphstore.is_some(), gateway || blockstack || asks),
        ("blockstack", config.blockstack.is_some(), gateway || asks),
        ("metrics", config.metrics.is_some(), !config.role.is_gateway()),
        ("test_clock", config.test_clock.is_some(), clears),
        ("seal", config.seal == Sealing::Manual, config.role.seals()),
        ("log_key", config.log_key.is_some(), config.role.seals()),
        ("redis", config.redis.is_some(), keeps),
        ("redis_password_file", config.redis_password_file.is_some(), config.redis.is_some()),
        ("allow_lossy_redis", config.allow_lossy_redis, config.redis.is_some()),
        ("neo4j", config.neo4j.is_some(), clears),
        ("neo4j_password_file", config.neo4j_password_file.is_some(), config.neo4j.is_some()),
    ] {
        ensure!(
            used || !given,
            "{name} is set, and has no use in role {} with the other settings; see webwallet serve --help",
            config.role.name()
        );
    }
    let (cert, key) = (config.tls_cert_file.is_some(), config.tls_key_file.is_some());
    ensure!(key || !cert, "tls_cert_file is set, and needs its key: set tls_key_file too");
    ensure!(cert || !key, "tls_key_file is set, and needs its certificate: set tls_cert_file too");
    ensure!(
        (1..=60_000).contains(&config.seal_interval_ms),
        "seal_interval_ms is {}; it must be from 1 to 60000",
        config.seal_interval_ms
    );
    for (name, value, range) in config.limits.ranges() {
        ensure!(
            range.contains(&value),
            "limits.{name} is {value}; it must be from {} to {}",
            range.start(),
            range.end()
        );
    }
    Ok(config)
}

impl Config {
    /// The files with secrets that it names. Whoever opens the log looks at its key.
    pub fn secrets(&self) -> impl Iterator<Item = &Path> {
        let files = [
            &self.token_file,
            &self.admin_token_file,
            &self.redis_password_file,
            &self.neo4j_password_file,
            &self.tls_key_file,
        ];
        files.into_iter().flatten().map(PathBuf::as_path)
    }

    /// Whether something of this role stands in the data directory.
    pub fn has_data(&self) -> bool {
        let keeps = self.role.keeps() && self.redis.is_none();
        let clears = self.role.clears() && self.neo4j.is_none();
        self.role.seals() || keeps || clears
    }

    /// Where only the operator is to come.
    pub fn operators(&self) -> Option<SocketAddr> {
        if self.role.is_gateway() { Some(self.admin) } else { self.metrics }
    }
}

impl Role {
    /// Does it speak REST, and so has an admin listener?
    pub fn is_gateway(self) -> bool {
        matches!(self, Role::All | Role::Gateway)
    }

    /// Does it keep documents itself?
    pub fn keeps(self) -> bool {
        matches!(self, Role::All | Role::Hashtable)
    }

    /// Does it seal, and so has the log?
    pub fn seals(self) -> bool {
        matches!(self, Role::All | Role::Blockstack)
    }

    /// Does it clear requests itself?
    pub fn clears(self) -> bool {
        matches!(self, Role::All | Role::Graphstore)
    }

    /// As written on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Role::All => "all",
            Role::Hashtable => "hashtable",
            Role::Graphstore => "graphstore",
            Role::Blockstack => "blockstack",
            Role::Gateway => "gateway",
        }
    }
}

fn is_of_others(key: &str) -> bool {
    // What our tests are told begins so, and one setting does as well.
    let of_tests = key.starts_with("test_") && key != "test_clock";
    // Kubernetes tells every container so where a Service of the name `webwallet` is.
    let of_service = ["port", "service_host", "service_port"].contains(&key)
        || ["port_", "service_port_"].iter().any(|begin| key.starts_with(begin));
    of_tests || of_service || OTHER_VARIABLES.contains(&key)
}

/// Our variables: those whose text cannot be read are not passed over.
fn variables() -> anyhow::Result<impl Iterator<Item = (String, String)>> {
    let ours = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| {
            let key = name.strip_prefix(PREFIX).map(str::to_ascii_lowercase);
            key.is_some_and(|key| !is_of_others(&key))
        })?;
        Some(match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(value) => Err(anyhow::anyhow!("{name} is not UTF-8: {}", value.display())),
        })
    });
    Ok(ours.collect::<anyhow::Result<Vec<_>>>()?.into_iter())
}

/// The settings as `serve` uses them.
///
/// # Errors
/// A file that cannot be read, an unknown key, or a value that makes no sense.
pub fn load(flags: &Flags) -> anyhow::Result<Config> {
    extract(&layers(flags, variables()?)?)
}

/// Runs `webwallet config show`.
pub fn show(flags: &Flags, json: bool) -> anyhow::Result<Outcome> {
    #[derive(Serialize)]
    struct Setting {
        value: serde_json::Value,
        from: String,
    }
    let text = |value: &serde_json::Value| match value.is_null() {
        true => "(not set)".to_owned(),
        false => value.to_string(),
    };
    let figment = layers(flags, variables()?)?;
    safety::passwords(&extract(&figment)?)?;
    let mut settings = BTreeMap::new();
    let all = figment.data()?.remove(&Profile::Default).unwrap_or_default();
    flatten("", &all, &mut |key, value| {
        let setting =
            Setting { value: serde_json::to_value(value)?, from: source(&figment, value.tag()) };
        settings.insert(key, setting);
        Ok(())
    })?;
    if json {
        output::line(serde_json::to_vec(&settings)?)?;
    } else {
        let rows = settings
            .into_iter()
            .map(|(key, setting)| vec![key, text(&setting.value), setting.from]);
        output::line(output::table(&["setting", "value", "from"], &rows.collect::<Vec<_>>()))?;
    }
    Ok(Outcome::Done)
}

fn flatten(
    prefix: &str,
    values: &Dict,
    visit: &mut impl FnMut(String, &Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for (key, value) in values {
        match value.as_dict() {
            Some(table) => flatten(&format!("{prefix}{key}."), table, visit)?,
            None => visit(format!("{prefix}{key}"), value)?,
        }
    }
    Ok(())
}

fn source(figment: &Figment, tag: Tag) -> String {
    match figment.get_metadata(tag) {
        Some(Metadata { source: Some(source), .. }) => source.to_string(),
        Some(metadata) => metadata.name.to_string(),
        None => "default".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vars(list: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        list.iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect::<Vec<_>>()
            .into_iter()
    }

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("webwallet.toml");
        fs::write(&path, text).expect("written");
        (dir, path)
    }

    /// An operator who sets a flag must not be overruled by a forgotten file.
    #[test]
    fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
        let (_dir, path) =
            file("domain = 'file'\nlog = 'file'\ndata = 'file'\n[limits]\nheaders_max = 7\n");
        let flags =
            Flags { config: Some(path.clone()), domain: Some("flag".into()), ..Flags::default() };
        let set =
            vars(&[("WEBWALLET_DOMAIN", "variable"), ("WEBWALLET_LOG", "variable"), ("HOME", "/")]);
        let figment = layers(&flags, set).expect("layers");
        let config = extract(&figment).expect("config");
        assert_eq!(config.domain, "flag");
        assert_eq!(config.log, "variable");
        assert_eq!(config.data, PathBuf::from("file"));
        assert_eq!(config.limits.headers_max, 7);
        assert_eq!(config.limits.connections_max, Limits::default().connections_max);
        assert_eq!(config.listen.port(), 8080);
        let from = |key| source(&figment, figment.find_value(key).expect("value").tag());
        assert_eq!(
            [from("domain"), from("log"), from("admin")],
            ["flag", "environment", "default"]
        );
        assert!(
            from("limits.headers_max").contains("webwallet.toml"),
            "{}",
            from("limits.headers_max")
        );
    }

    /// Who opens a server to the world copies this.
    #[test]
    fn the_configuration_in_the_book_is_one() {
        let book = include_str!("../../deploy/README.md");
        let example = book.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
        let (_dir, path) = file(example.expect("an example"));
        let flags = Flags { config: Some(path), ..Flags::default() };
        let limits = extract(&layers(&flags, vars(&[])).expect("layers")).expect("config").limits;
        let set = [
            limits.requests_per_second_per_client_max,
            limits.ious_per_second_per_source_max,
            limits.ious_per_second_per_issuer_max,
        ];
        assert_eq!((limits.connections_per_client_max, set), (32, [100, 50, 500]));
    }

    /// Variables are text; a number-like domain stays text, a limit is a number.
    #[test]
    fn variables_reach_into_tables() {
        let set = vars(&[("WEBWALLET_LIMITS_CONNECTIONS_MAX", "12"), ("WEBWALLET_DOMAIN", "127")]);
        let config = extract(&layers(&Flags::default(), set).expect("layers")).expect("config");
        assert_eq!((config.limits.connections_max, config.domain.as_str()), (12, "127"));
        assert!(
            layers(&Flags::default(), vars(&[("WEBWALLET_LIMITS_CONNECTIONS_MAX", "many")]))
                .is_err()
        );
    }

    /// A misspelt setting would silently be the default.
    #[test]
    fn unknown_keys_are_refused_everywhere() {
        for text in [
            "domian = 'x'",
            "[limits]\nconections_max = 1",
            "[limit]\nx = 1",
            "domain = 7",
            "domain =",
        ] {
            let (_dir, path) = file(text);
            let flags = Flags { config: Some(path), ..Flags::default() };
            assert!(
                layers(&flags, vars(&[])).and_then(|figment| extract(&figment)).is_err(),
                "{text}"
            );
        }
        assert!(layers(&Flags::default(), vars(&[("WEBWALLET_DOMIAN", "x")])).is_err());
        let missing = Flags { config: Some("/nonexistent.toml".into()), ..Flags::default() };
        assert!(layers(&missing, vars(&[])).and_then(|figment| extract(&figment)).is_err());
        let others = vars(&[("WEBWALLET_HOME", "x"), ("WEBWALLET_TEST_ENGINE", "auto")]);
        assert!(layers(&Flags::default(), others).is_ok());
        let clock = layers(&Flags::default(), vars(&[("WEBWALLET_TEST_CLOCK", "x")]));
        let config = clock.and_then(|figment| extract(&figment)).expect("config");
        assert_eq!(config.test_clock, Some(PathBuf::from("x")));
    }

    /// A limit that no machine can keep stops the server later, under its clients.
    #[test]
    fn limits_are_held_to_their_ranges_at_the_start() {
        let set = |limit: &str, value: &str| {
            let variable = format!("WEBWALLET_LIMITS_{}", limit.to_ascii_uppercase());
            let figment =
                layers(&Flags::default(), vars(&[(variable.as_str(), value)])).expect("layers");
            extract(&figment).map_err(|refused| refused.to_string())
        };
        for (limit, value) in [
            ("headers_max", "18446744073709551615"),
            ("headers_max", "4294967295"),
            ("verify_threads", "4294967295"),
            ("request_timeout_ms", "0"),
            ("idle_timeout_ms", "18446744073709551615"),
        ] {
            let refused = set(limit, value).expect_err(limit);
            let told = format!("limits.{limit} is {value}; it must be from ");
            assert!(refused.starts_with(&told), "{refused}");
        }
        let defaults = serde_json::to_value(Limits::default()).expect("JSON");
        let mut names = Vec::new();
        for (name, value, range) in Limits::default().ranges() {
            assert_eq!(defaults[name], value, "{name}");
            for end in [range.start(), range.end()] {
                assert!(set(name, &end.to_string()).is_ok(), "{name} {end}");
            }
            names.push(name);
        }
        assert_eq!(defaults.as_object().expect("a table").len(), names.len(), "{names:?}");
    }

    /// Beside a Service of our name every server would refuse to start, with a variable that
    /// nobody has set.
    #[test]
    fn variables_of_kubernetes_are_passed_over() {
        let service = vars(&[
            ("WEBWALLET_PORT", "tcp://10.0.0.1:8080"),
            ("WEBWALLET_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("WEBWALLET_SERVICE_HOST", "10.0.0.1"),
            ("WEBWALLET_SERVICE_PORT", "8080"),
            ("WEBWALLET_SERVICE_PORT_HTTP", "8080"),
        ]);
        layers(&Flags::default(), service).expect("passed over");
        for misspelt in ["WEBWALLET_PORTS", "WEBWALLET_SERVICE", "WEBWALLET_SERVICE_HOSTS"] {
            assert!(layers(&Flags::default(), vars(&[(misspelt, "1")])).is_err(), "{misspelt}");
        }
    }

    /// Whoever forgets half of a pair is told which half.
    #[test]
    fn a_certificate_and_its_key_need_one_another() {
        for (set, missing) in [
            ("WEBWALLET_TLS_CERT_FILE", "tls_key_file"),
            ("WEBWALLET_TLS_KEY_FILE", "tls_cert_file"),
        ] {
            let figment = layers(&Flags::default(), vars(&[(set, "x.pem")])).expect("layers");
            let refused = extract(&figment).expect_err(set).to_string();
            assert!(refused.ends_with(&format!("set {missing} too")), "{refused}");
        }
    }

    /// A domain outside the grammar would refuse every IOU.
    #[test]
    fn domains_and_roles_make_sense() {
        let try_with =
            |flags: &Flags| layers(flags, vars(&[])).and_then(|figment| extract(&figment));
        for domain in ["", "Example.net", "a b", &"a".repeat(101)] {
            assert!(
                try_with(&Flags { domain: Some(domain.into()), ..Flags::default() }).is_err(),
                "{domain}"
            );
        }
        let gateway = || Flags { role: Some(Role::Gateway), ..Flags::default() };
        assert!(try_with(&gateway()).is_err());
        let linked = Flags {
            hashtable: Some("http://127.0.0.1:1".into()),
            graphstore: Some("http://127.0.0.1:2".into()),
            blockstack: Some("http://127.0.0.1:3".into()),
            ..gateway()
        };
        assert!(try_with(&linked).is_ok());
        let sealing = Flags { role: Some(Role::Blockstack), blockstack: None, ..linked };
        assert!(try_with(&sealing).is_ok());
        assert!(try_with(&Flags { role: Some(Role::All), ..sealing }).is_err());
    }
}
