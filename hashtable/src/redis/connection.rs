//! A connection to one server or to a Cluster, told apart by asking.
//!
//! Not the driver's connection manager: that one reconnects by itself, so a
//! document could be put into a server that came back with other settings, or
//! empty, and be answered for before anybody looked. Here whoever finds a
//! connection broken drops it, and the next one is looked at before it is used.

use std::{collections::BTreeMap, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind,
    FromRedisValue as _, InfoDict, IntoConnectionInfo as _, Pipeline, RedisError, RedisResult,
    Value,
    aio::MultiplexedConnection,
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
    cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo},
    cmd,
};
use futures::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, FuturesUnordered},
};

/// To connect and be let in. The driver's own is 1 s.
const CONNECT: Duration = Duration::from_secs(2);
/// For one pipeline, syncs included; a rewrite of the append-only file on a
/// busy disk delays them. The driver's own is 0.5 s. Twice this is still less
/// than what a gateway waits.
const RESPOND: Duration = Duration::from_secs(4);
/// A server that has not synced by then is asked to write again.
const SYNC_MS: u64 = 3_000;
/// Commands under way at once on a Cluster, whose pipelines cannot span nodes.
const CLUSTER_AT_ONCE: usize = 256;

/// Where the server is: one address, or several of a Cluster.
pub(super) fn addresses(url: &str, password: Option<&str>) -> RedisResult<Vec<ConnectionInfo>> {
    url.split(',')
        .map(|address| {
            let info = address.trim().into_connection_info()?;
            let Some(password) = password else { return Ok(info) };
            let settings = info.redis_settings().clone().set_password(password);
            Ok(info.set_redis_settings(settings))
        })
        .collect()
}

/// An address without user and password.
pub(super) fn shown(address: &ConnectionAddr) -> String {
    let scheme = if matches!(address, ConnectionAddr::TcpTls { .. }) { "rediss" } else { "redis" };
    format!("{scheme}://{address}")
}

/// Cloning shares it.
#[derive(Clone)]
pub(super) enum Connection {
    /// Two to one server: a WAITAOF holds up everything behind it.
    One {
        asking: MultiplexedConnection,
        writing: MultiplexedConnection,
    },
    Cluster(ClusterConnection),
}

impl Connection {
    /// Connects to whichever address answers first: others may be those of nodes that
    /// are away, and none waits for them.
    pub(super) async fn open(addresses: &[ConnectionInfo]) -> RedisResult<Connection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(Some(RESPOND));
        let attempts = addresses.iter().map(|address| Connection::at(address, &config));
        let mut attempts: FuturesUnordered<_> = attempts.collect();
        let mut failed = RedisError::from((ErrorKind::InvalidClientConfig, "no address"));
        while let Some(attempt) = attempts.next().await {
            match attempt {
                Ok(connection) => return Ok(connection),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn at(
        address: &ConnectionInfo,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<Connection> {
        let client = Client::open(address.clone())?;
        let mut asking = client.get_multiplexed_async_connection_with_config(config).await?;
        let info: InfoDict = cmd("INFO").arg("cluster").query_async(&mut asking).await?;
        if info.get("cluster_enabled") != Some(1) {
            let writing = client.get_multiplexed_async_connection_with_config(config).await?;
            return Ok(Connection::One { asking, writing });
        }
        // It knows all others, also those that are not among ours.
        let cluster = ClusterClientBuilder::new([address.clone()])
            .connection_timeout(CONNECT)
            .response_timeout(RESPOND)
            .overall_response_timeout(Some(RESPOND))
            .build()?;
        Ok(Connection::Cluster(cluster.get_async_connection().await?))
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Connection::Cluster(_))
    }

    /// The answers to commands that write nothing, in order; an error if any of
    /// them is one.
    pub(super) async fn ask(&self, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Connection::One { asking, .. } => {
                pipeline(commands).query_async(&mut asking.clone()).await
            }
            Connection::Cluster(cluster) => spread(cluster, commands).await,
        }
    }

    /// Writes, and answers when that is synced; with `wait`, by asking for it.
    ///
    /// What a later stage says is there only if the stages before it are. One
    /// server takes all of them in one transaction, and so syncs once: a bare
    /// pipeline is read, written and synced 16 KB at a time (at 1.4 KB a document,
    /// 1,570 syncs for 20,000 of them). A Cluster, whose nodes have no transaction
    /// among them, is sent one stage after the other.
    pub(super) async fn commit(
        &self,
        stages: Vec<Vec<Cmd>>,
        wait: bool,
    ) -> RedisResult<Vec<Value>> {
        match self {
            Connection::One { writing, .. } => {
                let mut connection = writing.clone();
                let commands = stages.into_iter().flatten().collect();
                let answers = pipeline(commands).atomic().query_async(&mut connection).await?;
                if wait {
                    let wait = cmd("WAITAOF").arg(1).arg(0).arg(SYNC_MS).take();
                    let (synced, _): (u64, u64) = wait.query_async(&mut connection).await?;
                    if synced == 0 {
                        return Err((ErrorKind::Io, "not synced in time").into());
                    }
                }
                Ok(answers)
            }
            Connection::Cluster(cluster) => {
                let mut answers = Vec::new();
                for stage in stages {
                    answers.extend(spread(cluster, stage).await?);
                }
                Ok(answers)
            }
        }
    }

    /// The answers to all commands from every server that takes writes, by its
    /// address; one server has none.
    pub(super) async fn each(&self, commands: &[Cmd]) -> RedisResult<BTreeMap<String, Vec<Value>>> {
        let Connection::Cluster(cluster) = self else {
            let answers = self.ask(commands.to_vec()).await?;
            return Ok(BTreeMap::from([(String::new(), answers)]));
        };
        let primaries = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let mut all: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for command in commands {
            let answer = cluster.clone().route_command(command.clone(), primaries.clone()).await?;
            let Value::Map(answers) = answer.extract_error()? else {
                return Err((ErrorKind::UnexpectedReturnType, "no answer of each node").into());
            };
            for (node, answer) in answers {
                all.entry(String::from_redis_value(node)?).or_default().push(answer);
            }
        }
        Ok(all)
    }
}

fn pipeline(commands: Vec<Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}

/// Each command to the node that has its key.
async fn spread(cluster: &ClusterConnection, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
    let answers = stream::iter(commands).map(|command| {
        let mut cluster = cluster.clone();
        async move { command.query_async::<Value>(&mut cluster).await }
    });
    answers.buffered(CLUSTER_AT_ONCE).try_collect().await
}
