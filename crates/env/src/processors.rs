//! How many threads have a processor each.

use std::sync::OnceLock;

/// How many threads this process can run at once, as the system said when it was asked first: telling takes
/// it the reading of several files, too much for each query or request.
pub fn processors() -> usize {
    static PROCESSORS: OnceLock<usize> = OnceLock::new();
    *PROCESSORS.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
