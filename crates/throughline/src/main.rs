//! The `throughline` program.

fn main() -> std::process::ExitCode {
    throughline::run(std::env::args_os())
}
