//! The `throughline` program.

/// Of what is larger than a kilobyte, the C library of GNU keeps nothing for the thread that frees
/// it: threads that make the samples of a question wait for each other at its heap, or have heaps
/// of their own, which then take twice the memory (docs/benchmarks.md).
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// How it behaves: rows are made by the threads that decode and freed by the one that writes files,
/// so all share a few heaps, and what is free goes back to the system after a second. What
/// the environment says in `MALLOC_CONF` comes first.
#[cfg(not(target_env = "msvc"))]
#[expect(unsafe_code, reason = "it is found under this name")]
#[unsafe(export_name = "malloc_conf")]
static ALLOCATOR_OPTIONS: &[u8; 70] =
    b"narenas:4,background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0\0";

fn main() -> std::process::ExitCode {
    throughline::run(std::env::args_os())
}
