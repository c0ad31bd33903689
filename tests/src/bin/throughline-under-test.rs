//! The real program as a binary of this package, so that the tests can name its path.

fn main() -> std::process::ExitCode {
    throughline::run(std::env::args_os())
}
