//! `agent`: relays OTLP, tails log files, reads host metrics.

use std::time::Duration;

use agent::Agent;
use env::Env;

use super::{destinations, until};
use crate::endpoints::Endpoints;
use crate::folder::{self, Part};
use crate::{cli, options};

/// How long the agent may answer and go on sending once it is asked to stop.
const DRAIN: Duration = Duration::from_secs(8);

pub(crate) async fn run(arguments: &cli::Agent) -> anyhow::Result<()> {
    let config = options::load(&arguments.role)?;
    let endpoints = destinations::endpoints(&arguments.collectors, &config)?;
    destinations::refuse_itself(&endpoints, &config.listen).await?;
    let destinations = destinations::connect(&endpoints, config.agent.compression)?;
    let env = Env::real();
    let lock = folder::claim(&env, &config.data_dir, Part::Data)?;
    let relay = options::relay(&config);
    let agent_options = options::agent(&config, Some(relay))?;
    let agent = Agent::start_locked(env, agent_options, lock, destinations).await?;
    let addresses = agent.addresses();
    let own = Endpoints {
        otlp_grpc: addresses.map(|addresses| addresses.grpc),
        otlp_http: addresses.map(|addresses| addresses.http),
        ..Endpoints::default()
    };
    folder::publish(&config.data_dir, &own)?;
    let ended = until(std::future::pending(), vec![agent.failure()]).await;
    let left = agent.shutdown(DRAIN).await;
    if left.left_in_queue > 0 {
        tracing::warn!(
            rows = left.left_in_queue,
            "rows stay in the queue for the next start"
        );
    }
    Ok(ended?)
}
