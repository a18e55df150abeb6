//! The configuration of `serve`: defaults, under a TOML file, under
//! `WEBWALLET_*` variables, under flags.
//!
//! An unknown key is refused wherever it stands: a misspelt setting must not
//! be silently the default one. Passwords and tokens are named by file only,
//! so a configuration holds no secret and may be shown to anybody.

mod layers;
pub mod show;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use figment::Figment;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use webwallet_api_gateway::Limits;
use webwallet_ledger::limits::DOMAIN_BYTES_MAX;

use self::layers::layers;

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
    #[serde(deserialize_with = "set_address")]
    pub listen: SocketAddr,
    /// Metrics and everything that changes the server.
    #[serde(deserialize_with = "set_address")]
    pub admin: SocketAddr,
    /// Metrics of a role without REST.
    #[serde(deserialize_with = "maybe_set_address")]
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
    role: Option<Role>,
    /// Address to serve on; port 0 picks one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    listen: Option<SocketAddr>,
    /// Address for metrics and administration [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    admin: Option<SocketAddr>,
    /// For --role hashtable, graphstore and blockstack: address for metrics [default: none]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    metrics: Option<SocketAddr>,
    /// Domain that IOUs must name [default: localhost]
    #[arg(long)]
    domain: Option<String>,
    /// Data directory [default: ./webwallet-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// For --role graphstore, blockstack and gateway: the Hashtable, http(s)://HOST:PORT
    #[arg(long, value_name = "URI")]
    hashtable: Option<String>,
    /// For --role blockstack and gateway, or hashtable on a Redis: the Graphstore, http(s)://HOST:PORT
    #[arg(long, value_name = "URI")]
    graphstore: Option<String>,
    /// For --role gateway, or hashtable on a Redis: the Blockstack, http(s)://HOST:PORT
    #[arg(long, value_name = "URI")]
    blockstack: Option<String>,
    /// Keep the documents in this Redis, redis://HOST:PORT; rediss:// is TLS, and SSL_CERT_FILE
    /// names a CA of your own
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// For experiments: take a Redis that may lose documents
    #[arg(long)]
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    allow_lossy_redis: bool,
    /// Clear in this Neo4j, bolt://HOST:PORT
    #[arg(long, value_name = "URL")]
    neo4j: Option<String>,
    /// Certificate of this process, PEM: it then serves TLS
    #[arg(long = "tls-cert", value_name = "FILE", requires = "tls_key_file")]
    tls_cert_file: Option<PathBuf>,
    /// Key of that certificate, PEM
    #[arg(long = "tls-key", value_name = "FILE", requires = "tls_cert_file")]
    tls_key_file: Option<PathBuf>,
    /// CA of our services, PEM: gRPC takes only its certificates
    #[arg(long = "tls-ca", value_name = "FILE")]
    tls_ca_file: Option<PathBuf>,
    /// For tests, on loopback only: read the time (RFC 3339) from a file at every use
    #[arg(long, value_name = "FILE")]
    test_clock: Option<PathBuf>,
    /// For tests, on loopback only: `manual` makes blocks by `webwallet seal` alone
    #[arg(long, value_enum)]
    seal: Option<Sealing>,
    /// For tests, on loopback only: sign the log with the key in this file
    #[arg(long, value_name = "FILE")]
    log_key: Option<PathBuf>,
    /// What to log: error, warn, info, debug, or MODULE=LEVEL,... [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
}

/// Where a listener is to be. A name could stand for several, or for another one tomorrow.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no IP address with a port, like 127.0.0.1:8080 or [::1]:8080")
    })
}

fn set_address<'de, D: Deserializer<'de>>(value: D) -> Result<SocketAddr, D::Error> {
    address(&String::deserialize(value)?).map_err(D::Error::custom)
}

fn maybe_set_address<'de, D: Deserializer<'de>>(value: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(value)?;
    text.as_deref().map(address).transpose().map_err(D::Error::custom)
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

/// Why a setting is none, by the name that it has in a file.
fn refused(error: &figment::Error) -> anyhow::Error {
    let setting = match &error.path[..] {
        [] => String::new(),
        path => format!("the setting {}: ", path.join(".")),
    };
    let from = error.metadata.as_ref().map_or_else(String::new, |from| match &from.source {
        Some(file) => format!(", in {file}"),
        None => format!(", in the {}", from.name),
    });
    anyhow!("{setting}{}{from}", error.kind)
}

/// The settings, if they make sense together.
fn extract(figment: &Figment) -> anyhow::Result<Config> {
    let config: Config = figment.extract().map_err(|error| refused(&error))?;
    check_domain(&config.domain)?;
    let role = config.role;
    // Graphstore asks it for its newest record, which an older copy that was put back lacks.
    let hashtable = matches!(role, Role::Graphstore | Role::Blockstack | Role::Gateway);
    let graphstore = matches!(role, Role::Blockstack | Role::Gateway);
    let blockstack = role == Role::Gateway;
    // A Redis is given back what it lost, from what Graphstore and the log have.
    let asks = role == Role::Hashtable && config.redis.is_some();
    let needed = [hashtable, graphstore, blockstack];
    for ((name, uri), needed) in config.services().into_iter().zip(needed) {
        match uri {
            None if needed => {
                bail!("role {} needs {name}: --{name} http://HOST:PORT", role.name())
            }
            Some(uri) if uri.contains('@') => {
                bail!("{name} must not hold a password; name a file with WEBWALLET_TOKEN_FILE")
            }
            _ => {}
        }
    }
    for (name, given, used) in [
        ("hashtable", config.hashtable.is_some(), hashtable),
        ("graphstore", config.graphstore.is_some(), graphstore || asks),
        ("blockstack", config.blockstack.is_some(), blockstack || asks),
        ("metrics", config.metrics.is_some(), !role.is_gateway()),
        ("test_clock", config.test_clock.is_some(), role.clears()),
        ("seal", config.seal == Sealing::Manual, role.seals()),
        ("log_key", config.log_key.is_some(), role.seals()),
        ("redis", config.redis.is_some(), role.keeps()),
        ("redis_password_file", config.redis_password_file.is_some(), config.redis.is_some()),
        ("allow_lossy_redis", config.allow_lossy_redis, config.redis.is_some()),
        ("neo4j", config.neo4j.is_some(), role.clears()),
        ("neo4j_password_file", config.neo4j_password_file.is_some(), config.neo4j.is_some()),
    ] {
        ensure!(
            used || !given,
            "{name} is set, and has no use in role {} with the other settings; see webwallet serve --help",
            role.name()
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

    /// Our services, and where in other processes they are.
    pub fn services(&self) -> [(&'static str, &Option<String>); 3] {
        [
            ("hashtable", &self.hashtable),
            ("graphstore", &self.graphstore),
            ("blockstack", &self.blockstack),
        ]
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

/// The settings as `serve` uses them.
///
/// # Errors
/// A file that cannot be read, an unknown key, or a value that makes no sense.
pub fn load(flags: &Flags) -> anyhow::Result<Config> {
    extract(&layers(flags, std::env::vars_os())?)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;

    use super::layers::source;
    use super::*;

    fn vars(list: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        list.iter().map(|(name, value)| (name.into(), value.into())).collect()
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
        let book = include_str!("../../../deploy/README.md");
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

    /// Who writes a name where an address belongs must read which setting it was, and what to write.
    #[test]
    fn what_is_no_address_is_named() {
        let set = vars(&[("WEBWALLET_LISTEN", "localhost:8080")]);
        let refused = extract(&layers(&Flags::default(), set).expect("layers"));
        let why = refused.expect_err("no address").to_string();
        for part in
            ["the setting listen: \"localhost:8080\" is no IP address with a port", "environment"]
        {
            assert!(why.contains(part), "{why}");
        }
        let (_dir, path) = file("metrics = '[::1]:7'");
        let flags = Flags { config: Some(path), role: Some(Role::Hashtable), ..Flags::default() };
        let config = extract(&layers(&flags, vars(&[])).expect("layers")).expect("config");
        assert_eq!(config.metrics.map(|metrics| metrics.port()), Some(7));
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
