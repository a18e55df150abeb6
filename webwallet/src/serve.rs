//! The page where a server is put together: which services this process has,
//! and whether a link to another is a function call or a socket.
//!
//! Everything a role needs is named here and nowhere else: listeners, data
//! directory, clock, randomness, tokens. The services themselves cannot tell
//! in which deployment they run.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use rand::RngExt as _;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use webwallet_api_gateway::{self as gateway, Gateway, admin::Access};
use webwallet_blockstack::{self as blockstack, Blockstack, Folder, LogKey, Seal};
use webwallet_proto::blockstack::v1::blockstack_server::{self as v1_blockstack, BlockstackServer};
use webwallet_proto::graphstore::{
    self,
    v1::graphstore_server::{Graphstore, GraphstoreServer},
};
use webwallet_proto::hashtable::{
    self,
    v1::hashtable_server::{Hashtable, HashtableServer},
};
use webwallet_proto::link::Link;
use webwallet_proto::serve::Services;
use webwallet_proto::token::{Guarded, Token};

use crate::clock::Clock;
use crate::command::Outcome;
use crate::config::{self, Config, Flags, Role, Sealing};
use crate::data::{self, Data};
use crate::{clock, logs, output};

/// How long a service may take to answer a gateway.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Without records, an empty block this often shows that the log is alive.
const QUIET: Duration = Duration::from_secs(600);
/// How often metrics are tidied; histograms grow in between.
const UPKEEP: Duration = Duration::from_secs(5);

/// Why a configuration that can be read is not served.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(
        "the {listener} listener {address} is outside loopback and has no token; name a file with one: {variable}"
    )]
    Open { listener: &'static str, address: SocketAddr, variable: &'static str },
    #[error("{0} is for tests, on loopback only, and {1} is not")]
    ForTests(&'static str, SocketAddr),
    #[error("the {0} in {1} cannot be used: {2}")]
    Store(&'static str, PathBuf, String),
}

/// Runs `webwallet serve` until a signal ends it.
pub fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    let config = config::load(flags)?;
    logs::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the start, so that no signal finds the default answer to it.
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let server = match Server::start(&config).await {
            Ok(server) => server,
            Err(why) => return refused(why),
        };
        output::line(server.first_line()?)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        server.stop().await;
        Ok(Outcome::Done)
    })
}

/// Exit 1 for what this program will not do, 2 for what it could not.
pub fn refused(why: anyhow::Error) -> anyhow::Result<Outcome> {
    if why.is::<Refused>() || why.is::<data::Refused>() {
        eprintln!("webwallet: {why:#}");
        return Ok(Outcome::Refused);
    }
    Err(why)
}

/// A running server, or one role of it.
pub struct Server {
    /// Where it serves.
    pub listen: SocketAddr,
    admin: Option<SocketAddr>,
    domain: String,
    /// Its data directory, locked while this lives.
    data: Option<Data>,
    gateway: Option<Gateway>,
    blockstack: Option<Blockstack<Folder>>,
    /// Verifier key of the log, where this process signs it.
    key: Option<String>,
    stop: CancellationToken,
    listeners: JoinSet<()>,
}

impl Server {
    /// Starts the role that the configuration names; ready when it returns.
    pub async fn start(config: &Config) -> anyhow::Result<Server> {
        check(config)?;
        let token = config.token_file.as_deref().map(Token::read).transpose()?;
        let admin_token = config.admin_token_file.as_deref().map(Token::read).transpose()?;
        let listener = bind("listen", config.listen).await?;
        let admin = match config.role.is_gateway() {
            true => Some(bind("admin", config.admin).await?),
            false => None,
        };
        let mut server = Server {
            listen: listener.local_addr()?,
            admin: admin.as_ref().map(TcpListener::local_addr).transpose()?,
            domain: config.domain.clone(),
            data: match config.role {
                Role::Gateway => None,
                _ => Some(Data::open(&config.data, &config.domain)?),
            },
            gateway: None,
            blockstack: None,
            key: None,
            stop: CancellationToken::new(),
            listeners: JoinSet::new(),
        };
        // Before the services: they look up what they count when they start.
        let access = Access { metrics: metrics()?, token: admin_token.map(Token::reveal) };
        match config.role {
            Role::All => {
                let hashtable = Link::embedded(server.hashtable()?, DEADLINE);
                let graphstore = Link::embedded(server.graphstore(config).await?, DEADLINE);
                let sealing = server.blockstack(config, &graphstore, &hashtable).await?;
                let links = [graphstore, hashtable, Link::embedded(sealing, DEADLINE)];
                server.gateway(config, listener, admin, access, links)?;
            }
            Role::Gateway | Role::Blockstack => {
                let link = |uri: &Option<String>| -> anyhow::Result<Link> {
                    let link = Link::remote(uri.as_deref().unwrap_or_default(), DEADLINE)?;
                    Ok(match &token {
                        Some(token) => link.with_token(token),
                        None => link,
                    })
                };
                let (graphstore, hashtable) = (link(&config.graphstore)?, link(&config.hashtable)?);
                if config.role == Role::Gateway {
                    let links = [graphstore, hashtable, link(&config.blockstack)?];
                    server.gateway(config, listener, admin, access, links)?;
                } else {
                    let sealing = server.blockstack(config, &graphstore, &hashtable).await?;
                    server.grpc(config, sealing, token, listener).await;
                }
            }
            Role::Hashtable => {
                let hashtable = server.hashtable()?;
                server.grpc(config, hashtable, token, listener).await;
            }
            Role::Graphstore => {
                let graphstore = server.graphstore(config).await?;
                server.grpc(config, graphstore, token, listener).await;
            }
        }
        tracing::info!(role = config.role.name(), listen = %server.listen, domain = server.domain, "serving");
        Ok(server)
    }

    fn hashtable(&self) -> anyhow::Result<HashtableServer<impl Hashtable>> {
        let folder = self.folder(Data::hashtable)?;
        let store = webwallet_hashtable::Embedded::open(&folder);
        let store = store.map_err(|why| Refused::Store("Hashtable", folder, why.to_string()))?;
        Ok(webwallet_hashtable::server(store))
    }

    async fn graphstore(
        &self,
        config: &Config,
    ) -> anyhow::Result<GraphstoreServer<impl Graphstore>> {
        let folder = self.folder(Data::graphstore)?;
        let start = async {
            let store = webwallet_graphstore::Embedded::open(&folder)?;
            webwallet_graphstore::Graphstore::start(store, &config.domain, clock_of(config)).await
        };
        let graphstore =
            start.await.map_err(|why| Refused::Store("Graphstore", folder, why.to_string()))?;
        Ok(graphstore.server())
    }

    async fn blockstack(
        &mut self,
        config: &Config,
        graphstore: &Link,
        hashtable: &Link,
    ) -> anyhow::Result<BlockstackServer<impl v1_blockstack::Blockstack + use<>>> {
        let data = self.data.as_ref().context("this role has no data directory")?;
        let LogParts { config: sealing, folder, key } = log_parts(config, data)?;
        let graphstore = graphstore::client(graphstore.clone());
        let hashtable = hashtable::client(hashtable.clone());
        let started = Blockstack::start(sealing, folder, key, graphstore, hashtable).await;
        let started = started.map_err(|why| Refused::Store("log", data.log(), why.to_string()))?;
        if let Some(why) = started.read_only() {
            tracing::error!(why, "nothing clears and nothing is sealed until this is mended");
        }
        self.key = started.verifier().map(|key| key.to_string());
        let server = started.server();
        self.blockstack = Some(started);
        Ok(server)
    }

    fn folder(&self, of: fn(&Data) -> PathBuf) -> anyhow::Result<PathBuf> {
        self.data.as_ref().map(of).context("this role has no data directory")
    }

    fn gateway(
        &mut self,
        config: &Config,
        listener: TcpListener,
        admin: Option<TcpListener>,
        access: Access,
        [graphstore, hashtable, blockstack]: [Link; 3],
    ) -> anyhow::Result<()> {
        let gateway = Gateway::start(
            gateway::Config {
                domain: config.domain.clone(),
                limits: config.limits.clone(),
                // A gateway apart has no clock: its Graphstore has.
                test_clock: config.role == Role::All && config.test_clock.is_some(),
                // Seeded by the system, one for each thread that verifies.
                randomness: Arc::new(rand::make_rng),
            },
            graphstore::client(graphstore),
            hashtable::client(hashtable),
            webwallet_proto::blockstack::client(blockstack),
        )?;
        let public = gateway.router();
        let admin_router = gateway.admin_router(access);
        for (listener, router) in [(Some(listener), public), (admin, admin_router)] {
            let Some(listener) = listener else { continue };
            let (limits, stop) = (config.limits.clone(), self.stop.clone());
            self.listeners
                .spawn(async move { gateway::serve(listener, router, &limits, stop).await });
        }
        self.gateway = Some(gateway);
        Ok(())
    }

    async fn grpc<S>(
        &mut self,
        config: &Config,
        server: S,
        token: Option<Token>,
        listener: TcpListener,
    ) where
        S: NamedService
            + tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let mut services = Services::new();
        services.add(Guarded::new(server, token)).await;
        let (stop, drain) = (self.stop.clone(), config.limits.drain_timeout());
        self.listeners.spawn(async move {
            let stopped = stop.clone().cancelled_owned();
            let served = services.serve(listener, stopped);
            // The drain time runs from the stop, not from the start.
            let too_late = async {
                stop.cancelled().await;
                tokio::time::sleep(drain).await;
            };
            tokio::select! {
                served = served => if let Err(error) = served {
                    tracing::error!(%error, "the listener failed");
                },
                () = too_late => tracing::warn!("some calls did not end within the drain time"),
            }
        });
    }

    /// What a script reads to find the server.
    fn first_line(&self) -> anyhow::Result<Vec<u8>> {
        #[derive(Serialize)]
        struct FirstLine<'a> {
            listen: SocketAddr,
            admin: Option<SocketAddr>,
            domain: &'a str,
            data: Option<&'a Path>,
            key: Option<&'a str>,
        }
        Ok(serde_json::to_vec(&FirstLine {
            listen: self.listen,
            admin: self.admin,
            domain: &self.domain,
            data: self.data.as_ref().map(Data::path),
            key: self.key.as_deref(),
        })?)
    }

    /// Says that it is not ready any more, lets requests in flight end, and
    /// stops. The process is to end now; until then the data stays locked.
    pub async fn stop(mut self) {
        if let Some(gateway) = &self.gateway {
            gateway.drain();
        }
        self.stop.cancel();
        while self.listeners.join_next().await.is_some() {}
        if let Some(blockstack) = self.blockstack {
            blockstack.stop().await;
        }
        if let Some(data) = self.data {
            data.keep_locked();
        }
    }
}

/// What a Blockstack is made of.
pub struct LogParts {
    /// Its settings.
    pub config: blockstack::Config,
    /// The log's files.
    pub folder: Folder,
    /// What signs it.
    pub key: LogKey,
}

/// The log of a data directory, with its key.
pub fn log_parts(config: &Config, data: &Data) -> anyhow::Result<LogParts> {
    let refused = |why: String| Refused::Store("log", data.log(), why);
    let folder = Folder::open(&data.log()).map_err(|why| refused(why.to_string()))?;
    let file = config.log_key.clone().unwrap_or_else(|| data.log_key());
    // Of the system, as every secret of ours.
    let randomness = Arc::new(|| rand::rng().random());
    let key = LogKey::create_or_read(&file, &config.domain, randomness);
    let key = key.map_err(|why| refused(why.to_string()))?;
    let mut settings = blockstack::Config::new(&config.domain, data.state());
    settings.seal = match config.seal {
        Sealing::Manual => Seal::Manual,
        Sealing::Interval => {
            Seal::Interval { records: Duration::from_millis(config.seal_interval_ms), quiet: QUIET }
        }
    };
    Ok(LogParts { config: settings, folder, key })
}

/// Refuses what would be dangerous, before anything is opened.
fn check(config: &Config) -> Result<(), Refused> {
    let open = |address: SocketAddr, token: &Option<PathBuf>| {
        !address.ip().is_loopback() && token.is_none()
    };
    let admin = config.role.is_gateway().then_some(config.admin);
    if let Some(address) = admin
        && open(address, &config.admin_token_file)
    {
        return Err(Refused::Open {
            listener: "admin",
            address,
            variable: "WEBWALLET_ADMIN_TOKEN_FILE",
        });
    }
    if !config.role.is_gateway() && open(config.listen, &config.token_file) {
        return Err(Refused::Open {
            listener: "gRPC",
            address: config.listen,
            variable: "WEBWALLET_TOKEN_FILE",
        });
    }
    let outside = [Some(config.listen), admin]
        .into_iter()
        .flatten()
        .find(|address| !address.ip().is_loopback());
    for (control, set) in [
        ("the test clock", config.test_clock.is_some()),
        ("sealing by hand", config.seal == Sealing::Manual),
        ("a log key of one's own", config.log_key.is_some()),
    ] {
        if let (true, Some(address)) = (set, outside) {
            return Err(Refused::ForTests(control, address));
        }
    }
    Ok(())
}

async fn bind(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} ({what})"))
}

/// Where time comes from.
pub fn clock_of(config: &Config) -> Clock {
    match &config.test_clock {
        Some(file) => {
            tracing::warn!(file = %file.display(), "the time is read from a file; this is a server for tests");
            clock::file(file)
        }
        None => clock::system(),
    }
}

/// Where the services of this process count, with somebody who tidies up.
fn metrics() -> anyhow::Result<PrometheusHandle> {
    let seconds = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];
    let counts = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)
        .and_then(|builder| builder.set_buckets(&counts))
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot count")?;
    let tidied = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            tidied.run_upkeep();
        }
    });
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever reaches Graphstore clears without a signature; whoever sets the
    /// time clears what has expired.
    #[test]
    fn nothing_dangerous_is_open_to_strangers() {
        let outside = SocketAddr::from(([0, 0, 0, 0], 1));
        let file = Some(PathBuf::from("x"));
        let safe = Config::default();
        assert!(check(&safe).is_ok());
        assert!(check(&Config { listen: outside, ..safe.clone() }).is_ok());
        assert!(check(&Config { admin: outside, ..safe.clone() }).is_err());
        assert!(
            check(&Config { admin: outside, admin_token_file: file.clone(), ..safe.clone() })
                .is_ok()
        );
        assert!(check(&Config { test_clock: file.clone(), ..safe.clone() }).is_ok());
        assert!(
            check(&Config { test_clock: file.clone(), listen: outside, ..safe.clone() }).is_err()
        );
        let by_hand = Config { seal: Sealing::Manual, ..safe.clone() };
        assert!(check(&by_hand).is_ok());
        assert!(check(&Config { listen: outside, ..by_hand }).is_err());
        let own_key = Config { log_key: file.clone(), listen: outside, ..safe.clone() };
        assert!(check(&own_key).is_err());
        for role in [Role::Graphstore, Role::Hashtable, Role::Blockstack] {
            let apart = Config { role, ..safe.clone() };
            assert!(check(&apart).is_ok());
            assert!(check(&Config { listen: outside, ..apart.clone() }).is_err());
            assert!(
                check(&Config { listen: outside, admin_token_file: file.clone(), ..apart.clone() })
                    .is_err()
            );
            assert!(
                check(&Config { listen: outside, token_file: file.clone(), ..apart.clone() })
                    .is_ok()
            );
            let clocked = Config { test_clock: file.clone(), token_file: file.clone(), ..apart };
            assert!(check(&Config { listen: outside, ..clocked }).is_err());
        }
        let gateway = Config { role: Role::Gateway, listen: outside, ..safe };
        assert!(check(&gateway).is_ok());
        assert!(check(&Config { admin: outside, ..gateway }).is_err());
    }
}
