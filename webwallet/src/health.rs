//! Whether a server is ready: what supervisors and containers ask.
//!
//! It reads the settings that `serve` reads, so that inside a container, where
//! they are variables, `webwallet health` needs no argument. A gateway is asked
//! over REST, as clients ask it; the other roles by gRPC health.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use webwallet_audit::url::with_user;
use webwallet_proto::tls::Tls;
use webwallet_proto::{blockstack, graphstore, hashtable, serve};

use crate::client::{Answer, Server};
use crate::config::{self, Config, Role};
use crate::output::{self, Outcome};
use crate::serve::Ours;

/// Longer than a server takes that is ready; shorter than a supervisor waits.
const PATIENCE: Duration = Duration::from_secs(4);

/// `webwallet health`.
#[derive(Args)]
pub struct Health {
    /// Ask here, not where the settings say that this server listens
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    flags: config::Flags,
}

impl Health {
    /// Runs the command: refused if the server is not ready or not there.
    pub fn run(&self, json: bool) -> anyhow::Result<Outcome> {
        let config = config::load(&self.flags)?;
        let url = self.url.clone().unwrap_or_else(|| address(&config));
        let found = ready(&config, &url);
        // A password that was given with it is not shown, whatever went wrong with it.
        let (whole, url) = (&url, with_user(&url, ""));
        match found {
            Ok(()) if json => output::line(json!({ "url": url, "ready": true }).to_string())?,
            Ok(()) => output::line(format!("{url} is ready"))?,
            Err(why) => {
                let why = format!("{why:#}").replace(whole, &url);
                output::line(match json {
                    true => json!({ "url": url, "ready": false, "why": why }).to_string(),
                    false => output::harmless(&format!("{url} is not ready: {why}")).into_owned(),
                })?;
                return Ok(Outcome::Refused);
            }
        }
        Ok(Outcome::Done)
    }
}

/// That a server of this role is ready at a URL.
///
/// # Errors
/// It is not there, is something else, or says why it is not ready.
pub fn ready(config: &Config, url: &str) -> anyhow::Result<()> {
    let ours = Ours::read(config)?;
    let service = match config.role {
        Role::All | Role::Gateway => return rest(url, &ours.tls),
        Role::Hashtable => hashtable::v1::hashtable_server::SERVICE_NAME,
        Role::Graphstore => graphstore::v1::graphstore_server::SERVICE_NAME,
        Role::Blockstack => blockstack::v1::blockstack_server::SERVICE_NAME,
    };
    grpc(url, &ours, service)
}

/// Where a server with these settings is found on its own machine.
pub fn address(config: &Config) -> String {
    let scheme = if config.tls_cert_file.is_some() { "https" } else { "http" };
    let port = config.listen.port();
    let own = match config.listen {
        SocketAddr::V4(at) if at.ip().is_unspecified() => (Ipv4Addr::LOCALHOST, port).into(),
        SocketAddr::V6(at) if at.ip().is_unspecified() => (Ipv6Addr::LOCALHOST, port).into(),
        other => other,
    };
    format!("{scheme}://{own}")
}

fn rest(url: &str, tls: &Tls) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Ready {
        status: String,
    }
    match Server::within(url, PATIENCE, tls.ca())?.get_directly("/readyz")? {
        Answer::Done { body, .. } => {
            let ready = serde_json::from_str(&body).is_ok_and(|Ready { status }| status == "ready");
            ensure!(ready, "what answers there is no WebWallet server");
            Ok(())
        }
        Answer::Problem(problem) => anyhow::bail!("{}", problem.sentence()),
    }
}

fn grpc(url: &str, ours: &Ours, service: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let serving = serve::is_serving(ours.link_without_token(url, PATIENCE)?, service).await;
        let serving = serving.map_err(|status| anyhow::anyhow!("{}", status.message()));
        ensure!(serving.context("no answer")?, "its store does not answer; its log says why");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A container that asks the wrong address is restarted for ever.
    #[test]
    fn it_asks_where_the_server_listens() {
        let at = |listen: &str, tls: bool| {
            address(&Config {
                listen: listen.parse().expect("an address"),
                tls_cert_file: tls.then(|| "x".into()),
                ..Config::default()
            })
        };
        assert_eq!(at("127.0.0.1:8080", false), "http://127.0.0.1:8080");
        assert_eq!(at("0.0.0.0:7001", true), "https://127.0.0.1:7001");
        assert_eq!(at("[::]:7001", false), "http://[::1]:7001");
        assert_eq!(at("10.0.0.7:1", false), "http://10.0.0.7:1");
    }
}
