//! `throughline storage`: looks at, checks, exports and copies a data folder. One file per command.

mod export;
#[cfg(feature = "parquet")]
mod parquet;
mod snapshot;
mod stat;
mod table;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{DataFolder, Storage};
use crate::options;

pub(crate) async fn run(command: Storage) -> anyhow::Result<ExitCode> {
    match command {
        Storage::Stat(arguments) => blocking(move || stat::run(&arguments)).await,
        Storage::Verify(arguments) => blocking(move || verify::run(&arguments)).await,
        Storage::Export(arguments) => blocking(move || export::run(&arguments)).await,
        Storage::Snapshot(arguments) => snapshot::run(&arguments).await,
    }
}

/// Reading a folder takes as long as it is large.
async fn blocking(
    work: impl FnOnce() -> anyhow::Result<ExitCode> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    tokio::task::spawn_blocking(work).await?
}

/// The data folder that the arguments or the configuration name.
fn data_dir(folder: &DataFolder) -> anyhow::Result<PathBuf> {
    Ok(options::load(&folder.role())?.data_dir)
}
