//! `agent`: relays OTLP, tails log files, reads host metrics.

use std::sync::Arc;

use agent::options::RelayOptions;
use agent::{Agent, exporters::Destination};
use anyhow::{Context, bail};
use config::Compression;
use env::Env;
use otlp::client::{Client, ClientLimits, Protocol};
use otlp::inflate::Encoding;

use super::{AGENT_DRAIN, until};
use crate::endpoints::Endpoints;
use crate::{cli, options};

pub(crate) async fn run(arguments: &cli::Agent) -> anyhow::Result<()> {
    let config = options::load(&arguments.role)?;
    let endpoint = match &arguments.collector {
        Some(address) => config::Endpoint::parse(address)
            .with_context(|| format!("--collector {address}: write HOST:PORT or a URL"))?,
        None => match config.agent.collector.clone() {
            Some(endpoint) => endpoint,
            None => bail!("an agent needs --collector ADDR or agent.collector in the config"),
        },
    };
    for own in [config.listen.otlp_grpc, config.listen.otlp_http] {
        let same_host = endpoint.host == own.ip().to_string() || endpoint.host == "localhost";
        if own.port() != 0 && endpoint.port == own.port() && same_host {
            bail!(
                "the agent would send to itself: --collector {endpoint} is its own listener; \
                 give it other ports with --otlp-grpc and --otlp-http"
            );
        }
    }
    let compression = match config.agent.compression {
        Compression::None => Encoding::Identity,
        Compression::Gzip => Encoding::Gzip,
        Compression::Zstd => Encoding::Zstd,
    };
    let limits = ClientLimits::default();
    let client = Client::new(&endpoint.url(), Protocol::Grpc, compression, limits)?;
    let env = Env::real();
    Endpoints::clear(&config.data_dir)?;
    let relay = RelayOptions::new(config.listen.otlp_grpc, config.listen.otlp_http);
    let destination: Arc<dyn Destination> = Arc::new(client);
    let agent = Agent::start(
        env,
        options::agent(&config, Some(relay))?,
        &config.data_dir,
        vec![("collector".to_owned(), destination)],
    )
    .await?;
    let addresses = agent.addresses();
    Endpoints {
        otlp_grpc: addresses.map(|addresses| addresses.grpc),
        otlp_http: addresses.map(|addresses| addresses.http),
        ..Endpoints::default()
    }
    .publish(&config.data_dir)?;
    until(std::future::pending()).await;
    let left = agent.shutdown(AGENT_DRAIN * 2).await;
    if left.left_in_queue > 0 {
        tracing::warn!(
            rows = left.left_in_queue,
            "rows stay in the queue for the next start"
        );
    }
    Ok(())
}
