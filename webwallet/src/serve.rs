//! The page where a server is put together: which services this process has,
//! and whether a link to another is a function call or a socket.
//!
//! Everything a role needs is named here and nowhere else: listeners, engines,
//! data directory, clock, randomness, tokens, certificates. The services
//! themselves cannot tell in which deployment they run.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use futures::future::BoxFuture;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::server::NamedService;
use webwallet_api_gateway::{self as gateway, Gateway, Limits, admin::Access};
use webwallet_blockstack::{Blockstack, Folder};
use webwallet_hashtable::Redis;
use webwallet_proto::blockstack::v1::blockstack_server::{self, BlockstackServer};
use webwallet_proto::link::{BadAddress, Link};
use webwallet_proto::serve::Services;
use webwallet_proto::tls::Tls;
use webwallet_proto::token::{Guarded, Token};
use webwallet_proto::{blockstack, graphstore, hashtable};

use crate::config::{self, Config, Flags, Role};
use crate::data::{self, Data};
use crate::output::Outcome;
use crate::safety::{self, Unsafe};
use crate::signals::Signals;
use crate::{certificate, clock, counts, descriptors, engine, logging, output, refill};

/// How long a service may take to answer a gateway.
pub const DEADLINE: Duration = Duration::from_secs(10);
const _: () = assert!(DEADLINE.as_secs() > blockstack::WAIT_MAX.as_secs());
/// How often a role apart looks whether its store works, for its gRPC health.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs `webwallet serve` until a signal ends it: SIGTERM, SIGINT, or SIGHUP. Nothing is read
/// anew while it runs; a new certificate is used from the next start on.
pub fn run(flags: &Flags) -> anyhow::Result<Outcome> {
    let mut config = config::load(flags)?;
    let _logs = logging::start(&config.log)?;
    let asked = config.limits.connections_max;
    config.limits.connections_max = descriptors::room_for(asked, config.has_data())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("no threads can be had")?;
    let outcome = runtime.block_on(async {
        // Before the start, so that no signal finds the default answer to it.
        let mut signals = Signals::new()?;
        // A task of its own: what is opened may be long, and wait for a disk.
        let starting = tokio::spawn(async move { Server::start(&config).await });
        let server = tokio::select! {
            started = starting => match started? {
                Ok(server) => server,
                Err(why) => return refused(why),
            },
            () = signals.first() => {
                tracing::info!("stopped before it was ready");
                return Ok(Outcome::Done);
            }
        };
        let line = server.first_line()?;
        // Aside, as nobody may read it.
        let told = tokio::task::spawn_blocking(move || output::line(line));
        tokio::select! {
            told = told => {
                told??;
                signals.first().await;
            }
            () = signals.first() => {}
        }
        tracing::info!("stopping");
        tokio::select! {
            () = server.stop() => {}
            () = signals.second() => tracing::warn!("stopped at once, by a second signal"),
        }
        Ok(Outcome::Done)
    });
    // Nobody waits for what is still being opened or read.
    runtime.shutdown_background();
    outcome
}

/// Exit 1 for what this program will not do, 2 for what it could not.
pub fn refused(why: anyhow::Error) -> anyhow::Result<Outcome> {
    let ours = why.is::<Unsafe>() || why.is::<data::Refused>() || why.is::<engine::Refused>();
    if !ours {
        return Err(why);
    }
    output::complain(format_args!("webwallet: {why:#}"));
    Ok(Outcome::Refused)
}

/// The limits of a listener of operators: what it holds is not of their clients' share.
fn operators(limits: &Limits) -> Limits {
    let connections_max = limits.connections_max.min(descriptors::OPERATORS_MAX);
    Limits { connections_max, ..limits.clone() }
}

/// A running server, or one role of it.
pub struct Server {
    /// Where it serves.
    pub listen: SocketAddr,
    admin: Option<SocketAddr>,
    domain: String,
    /// Its data directory, if anything of it is there; locked while this lives.
    data: Option<Data>,
    gateway: Option<Gateway>,
    blockstack: Option<Blockstack<Folder>>,
    /// Verifier key of the log, where this process signs it.
    key: Option<String>,
    stop: CancellationToken,
    drain_timeout: Duration,
    listeners: JoinSet<()>,
}

impl Server {
    /// Starts the role that the configuration names; ready when it returns.
    pub async fn start(config: &Config) -> anyhow::Result<Server> {
        safety::check(config)?;
        safety::warn_of_readers(config.secrets());
        let ours = Ours::read(config)?;
        if let Some(file) = &config.tls_cert_file {
            certificate::warn(file, clock::now()?);
        }
        let admin_token = config.admin_token_file.as_deref().map(Token::read).transpose()?;
        let listener = bind("listen", config.listen).await?;
        let admin = match config.operators() {
            Some(address) => Some(bind("admin", address).await?),
            None => None,
        };
        let mut server = Server {
            listen: listener.local_addr()?,
            admin: admin.as_ref().map(TcpListener::local_addr).transpose()?,
            domain: config.domain.clone(),
            // Its lock comes first: opening a Neo4j deposes whoever cleared there.
            data: config
                .has_data()
                .then(|| Data::open(&config.data, &config.domain))
                .transpose()?,
            gateway: None,
            blockstack: None,
            key: None,
            stop: CancellationToken::new(),
            drain_timeout: config.limits.drain_timeout(),
            listeners: JoinSet::new(),
        };
        // Refused before an engine or the directory is bound to a domain.
        engine::named_key(config)?;
        engine::named_clock(config)?;
        // Before the services: they look up what they count when they start.
        let access = Access { metrics: counts::record()?, token: admin_token };
        let admin = match admin {
            Some(listener) if !config.role.is_gateway() => {
                let router = gateway::metrics_router(&config.limits, access.clone());
                server.rest(operators(&config.limits), &ours, listener, router);
                None
            }
            admin => admin,
        };
        server.begin(config, ours, listener, admin, access).await?;
        tracing::info!(role = config.role.name(), listen = %server.listen, domain = server.domain, "serving");
        Ok(server)
    }

    /// The services of a role, over its engines or over links to the others.
    async fn begin(
        &mut self,
        config: &Config,
        ours: Ours,
        listener: TcpListener,
        admin: Option<TcpListener>,
        access: Access,
    ) -> anyhow::Result<()> {
        match config.role {
            Role::All => {
                let redis = engine::redis(config).await?;
                let data = self.data.as_ref();
                let seen = engine::seen_neo4j(config).await;
                // Before whoever clears there is deposed.
                if let (Some(data), Some(seen)) = (data, &seen) {
                    engine::nothing_is_left_behind(data, Some(seen), redis.as_ref()).await?;
                    engine::is_of_this_log(config, data.path(), seen, true).await?;
                }
                let neo4j = engine::neo4j(config).await?;
                if let (Some(data), None) = (data, seen) {
                    let (neo4j, redis) = (neo4j.as_ref(), redis.as_ref());
                    engine::nothing_is_left_behind(data, neo4j, redis).await?;
                }
                let hashtable = match redis.clone() {
                    None => embedded(webwallet_hashtable::server(self.hashtable()?)),
                    Some(redis) => embedded(webwallet_hashtable::server(redis)),
                };
                let kept = hashtable.clone();
                let graphstore = match neo4j {
                    None => embedded(engine::clearing(self.graphstore()?, config, kept).await?),
                    Some(neo4j) => embedded(engine::clearing(neo4j, config, kept).await?),
                };
                let sealing = self.blockstack(config, &graphstore, &hashtable).await?;
                let sealing = embedded(sealing);
                if let Some(redis) = redis {
                    self.refill(redis, graphstore.clone(), Some(sealing.clone()));
                }
                let links = [graphstore, hashtable, sealing];
                self.gateway(config, ours, listener, admin, access, links)?;
            }
            Role::Gateway => {
                let services = [&config.graphstore, &config.hashtable, &config.blockstack];
                let [graphstore, hashtable, blockstack] = services.map(|uri| ours.link(uri));
                let links = [graphstore?, hashtable?, blockstack?];
                self.gateway(config, ours, listener, admin, access, links)?;
            }
            Role::Blockstack => {
                let (graphstore, hashtable) =
                    (ours.link(&config.graphstore)?, ours.link(&config.hashtable)?);
                let service = self.blockstack(config, &graphstore, &hashtable).await?;
                self.grpc(config, ours, listener, service, blockstack_works).await;
            }
            Role::Hashtable => match engine::redis(config).await? {
                None => {
                    let service = webwallet_hashtable::server(self.hashtable()?);
                    self.grpc(config, ours, listener, service, hashtable_works).await;
                }
                Some(redis) => {
                    if config.graphstore.is_none() {
                        tracing::warn!(
                            "nothing gives this Redis back what it may lose: name the Graphstore that has it, `--graphstore`"
                        );
                    } else {
                        let graphstore = ours.link(&config.graphstore)?;
                        let blockstack = config.blockstack.is_some();
                        let blockstack = blockstack.then(|| ours.link(&config.blockstack));
                        self.refill(redis.clone(), graphstore, blockstack.transpose()?);
                    }
                    let service = webwallet_hashtable::server(redis);
                    self.grpc(config, ours, listener, service, hashtable_works).await;
                }
            },
            Role::Graphstore => {
                let kept = ours.link(&config.hashtable)?;
                match engine::neo4j(config).await? {
                    None => {
                        let service = engine::clearing(self.graphstore()?, config, kept).await?;
                        self.grpc(config, ours, listener, service, graphstore_works).await;
                    }
                    Some(neo4j) => {
                        let service = engine::clearing(neo4j, config, kept).await?;
                        self.grpc(config, ours, listener, service, graphstore_works).await;
                    }
                }
            }
        }
        Ok(())
    }

    fn hashtable(&self) -> anyhow::Result<webwallet_hashtable::Embedded> {
        engine::hashtable(self.settled()?)
    }

    fn graphstore(&self) -> anyhow::Result<webwallet_graphstore::Embedded> {
        engine::graphstore(self.settled()?)
    }

    /// The data directory, for what is put into it. By then the engines of others are open:
    /// what would refuse the start has done so.
    fn settled(&self) -> anyhow::Result<&Data> {
        let data = self.data.as_ref().context("this role has no data directory")?;
        data.settle()?;
        Ok(data)
    }

    /// The log of this process, sealed from now on.
    async fn blockstack(
        &mut self,
        config: &Config,
        graphstore: &Link,
        hashtable: &Link,
    ) -> anyhow::Result<BlockstackServer<impl blockstack_server::Blockstack + use<>>> {
        let data = self.settled()?;
        let parts = engine::log(config, data)?;
        let graphstore = graphstore::client(graphstore.clone());
        let hashtable = hashtable::client(hashtable.clone());
        let started =
            Blockstack::start(parts.config, parts.folder, parts.key, graphstore, hashtable).await;
        let started = started.map_err(|why| engine::refused_log(data, why))?;
        if let Some(why) = started.read_only() {
            tracing::error!(why, "nothing clears and nothing is sealed until this is mended");
        }
        self.key = started.verifier().map(|key| key.to_string());
        let server = started.server();
        self.blockstack = Some(started);
        Ok(server)
    }

    /// Gives a Redis back what it lost, from what the others have, until the stop.
    fn refill(&mut self, redis: Redis, graphstore: Link, blockstack: Option<Link>) {
        let sources = refill::Sources {
            graphstore: graphstore::client(graphstore),
            blockstack: blockstack.map(blockstack::client),
            domain: self.domain.clone(),
        };
        let stop = self.stop.clone();
        self.listeners.spawn(async move {
            stop.run_until_cancelled(sources.keep(redis)).await;
        });
    }

    fn gateway(
        &mut self,
        config: &Config,
        ours: Ours,
        listener: TcpListener,
        admin: Option<TcpListener>,
        access: Access,
        [graphstore, hashtable, blockstack]: [Link; 3],
    ) -> anyhow::Result<()> {
        let gateway = Gateway::start(
            gateway::Config {
                domain: config.domain.clone(),
                limits: config.limits.clone(),
                // Seeded by the system, one for each thread that verifies.
                randomness: Arc::new(rand::make_rng),
            },
            graphstore::client(graphstore),
            hashtable::client(hashtable),
            blockstack::client(blockstack),
        )?;
        let public = gateway.router();
        let admin_router = gateway.admin_router(access);
        self.rest(config.limits.clone(), &ours, listener, public);
        if let Some(admin) = admin {
            self.rest(operators(&config.limits), &ours, admin, admin_router);
        }
        self.gateway = Some(gateway);
        Ok(())
    }

    fn rest(&mut self, limits: Limits, ours: &Ours, listener: TcpListener, router: Router) {
        let (stop, tls) = (self.stop.clone(), ours.tls.acceptor());
        self.listeners
            .spawn(async move { gateway::serve(listener, tls, router, &limits, stop).await });
    }

    async fn grpc<S>(
        &mut self,
        config: &Config,
        ours: Ours,
        listener: TcpListener,
        server: S,
        works: Works,
    ) where
        S: NamedService
            + tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        let mut services = Services::new().with_tls(ours.tls);
        services.add(Guarded::new(server.clone(), ours.token)).await;
        let health = services.health();
        let watched = self.stop.clone();
        self.listeners.spawn(async move {
            let watching = async {
                loop {
                    match works(embedded(server.clone())).await {
                        Ok(()) => health.set_serving::<S>().await,
                        Err(_) => health.set_not_serving::<S>().await,
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            };
            watched.run_until_cancelled(watching).await;
            health.set_not_serving::<S>().await;
        });
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
        if let Some(blockstack) = self.blockstack
            && timeout(self.drain_timeout, blockstack.stop()).await.is_err()
        {
            tracing::warn!("a block was not sealed within the drain time; the next start goes on");
        }
        if let Some(data) = self.data {
            data.keep_locked();
        }
    }
}

/// How our services know one another.
pub struct Ours {
    token: Option<Token>,
    /// Certificates.
    pub tls: Tls,
}

impl Ours {
    /// From the files that the settings name.
    ///
    /// # Errors
    /// One cannot be read, or makes no sense.
    pub fn read(config: &Config) -> anyhow::Result<Ours> {
        let token = config.token_file.as_deref().map(Token::read).transpose()?;
        let own = config.tls_cert_file.as_deref().zip(config.tls_key_file.as_deref());
        Ok(Ours { token, tls: Tls::read(own, config.tls_ca_file.as_deref())? })
    }

    /// A link to a service in another process.
    ///
    /// # Errors
    /// `uri` is no address of one.
    pub fn link(&self, uri: &Option<String>) -> anyhow::Result<Link> {
        let link = self.link_without_token(uri.as_deref().unwrap_or_default(), DEADLINE)?;
        Ok(match &self.token {
            Some(token) => link.with_token(token),
            None => link,
        })
    }

    /// The same to whoever is only asked whether it serves: an address that was mistyped is
    /// not told our token.
    ///
    /// # Errors
    /// `uri` is no address of a service.
    pub fn link_without_token(&self, uri: &str, deadline: Duration) -> Result<Link, BadAddress> {
        match uri.starts_with("https://") {
            true => Link::remote_tls(uri, &self.tls, deadline),
            false => Link::remote(uri, deadline),
        }
    }
}

/// A link to a service of this process.
fn embedded<S>(server: S) -> Link
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>
        + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send + 'static,
{
    Link::embedded(server, DEADLINE)
}

/// Asks a service for what it answers only while it does its work.
type Works = fn(Link) -> BoxFuture<'static, Result<(), Status>>;

/// Would a put be taken?
pub fn hashtable_works(link: Link) -> BoxFuture<'static, Result<(), Status>> {
    let nothing = hashtable::v1::GetRequest { hashes: Vec::new() };
    Box::pin(async move { hashtable::client(link).get(nothing).await.map(drop) })
}

/// Is the log served? Where it is read-only, gateways read on: that they clear nothing,
/// `/readyz` says.
fn blockstack_works(link: Link) -> BoxFuture<'static, Result<(), Status>> {
    let status = blockstack::v1::StatusRequest {};
    Box::pin(async move { blockstack::client(link).status(status).await.map(drop) })
}

/// Does the engine answer? Where nothing may clear over it, likewise.
fn graphstore_works(link: Link) -> BoxFuture<'static, Result<(), Status>> {
    let status = graphstore::v1::StatusRequest {};
    Box::pin(async move { graphstore::client(link).status(status).await.map(drop) })
}

async fn bind(what: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} ({what})"))
}
