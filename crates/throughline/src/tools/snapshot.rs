//! `throughline storage snapshot`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use env::Env;
use storage::snapshot::{Snapshot, SnapshotError, of_folder};

use super::data_dir;
use super::table::{count, size};
use crate::output::line;
use crate::{cli, folder};

pub(super) async fn run(arguments: &cli::Snapshot) -> anyhow::Result<ExitCode> {
    let dir = data_dir(&arguments.folder)?;
    let target = std::path::absolute(&arguments.target)?;
    let (at_rest, to) = (std::path::absolute(&dir)?, target.clone());
    let taken = tokio::task::spawn_blocking(move || of_folder(&Env::real(), &at_rest, &to));
    let taken = match taken.await? {
        Err(SnapshotError::InUse(_)) => ask(&dir, &target).await?,
        taken => taken?,
    };
    if arguments.json {
        line(&serde_json::to_string_pretty(&taken)?)?;
    } else {
        line(&format!(
            "{}: {} as of flush {} and {} of the log; {} files linked, {} copied ({})",
            target.display(),
            size(taken.bytes),
            taken.flush,
            size(taken.wal_bytes),
            count(taken.linked_files),
            count(taken.copied_files),
            size(taken.copied_bytes),
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Asks the process that has the folder open.
async fn ask(dir: &Path, target: &Path) -> anyhow::Result<Snapshot> {
    let address = folder::internal_address(dir).with_context(|| {
        format!(
            "{} is in use, and not by a collector that is ready",
            dir.display()
        )
    })?;
    let key = folder::read_admin_key(dir)?;
    let url = format!(
        "http://{}{}",
        reachable(address),
        collector::admin::SNAPSHOT
    );
    // An error means that the process has chosen its provider already.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build()?;
    let request = client
        .post(&url)
        .bearer_auth(key)
        .json(&serde_json::json!({"dir": target}));
    let answer = request
        .send()
        .await
        .with_context(|| format!("cannot reach the process that has {} open", dir.display()))?;
    let status = answer.status();
    let body: serde_json::Value = answer.json().await.unwrap_or_default();
    if !status.is_success() {
        let message = body["error"]["message"].as_str();
        bail!(
            "{}",
            message.unwrap_or("the collector did not take a snapshot")
        );
    }
    serde_json::from_value(body).context("the collector's answer does not read")
}

/// The address by which a listener of this machine is reached.
fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}
