//! The one binary: parse, build, run, drain.
//!
//! Everything here composes: the roles come from `agent`, `collector`, `query` and `tui`, and
//! only this crate knows more than one of them.

mod ask;
mod bridge;
mod check;
mod cli;
pub mod demo;
mod endpoints;
mod folder;
pub mod load;
mod options;
mod output;
mod roles;
mod stop;
mod test_rules;
mod tools;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// Runs the program with these arguments, the program's name first.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no failure; clap knows which is which.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    output::start_logging(&cli.command);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return output::failed(&anyhow::anyhow!("no runtime: {error}")),
    };
    let result = runtime.block_on(dispatch(cli.command));
    // A blocking read on standard input must not hold the process.
    runtime.shutdown_background();
    match result {
        Ok(code) => code,
        Err(error) => output::failed(&error),
    }
}

async fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(role) => roles::up(&role).await?,
        Command::Demo(arguments) => roles::demo(&arguments).await?,
        Command::Collector(role) => roles::collector(&role).await?,
        Command::Query(arguments) => match &arguments.promql {
            Some(promql) => ask::promql(&arguments, promql).await?,
            None => roles::query(&arguments).await?,
        },
        Command::Agent(arguments) => roles::agent(&arguments).await?,
        Command::Tui(arguments) => ask::tui(arguments).await?,
        Command::Story(arguments) => return ask::story(&arguments).await,
        Command::Trace(arguments) => return ask::trace(&arguments).await,
        Command::Logs(arguments) => return ask::logs(&arguments).await,
        Command::Cardinality(arguments) => return ask::cardinality(&arguments).await,
        Command::Check(arguments) => return Ok(check::check(&arguments.files)),
        Command::TestRules(arguments) => return test_rules::run(&arguments).await,
        Command::Load(arguments) => ask::load(&arguments).await?,
        Command::Storage { command } => return tools::run(command).await,
    }
    Ok(ExitCode::SUCCESS)
}
