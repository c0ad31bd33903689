//! How the allocator keeps what was given back.

/// Has threads share their heaps, one for every other processor.
///
/// The C library of GNU otherwise makes up to eight for each processor, and what one of them has
/// free is of no use to another: rows are allocated by whichever thread decodes them and freed by
/// the one that writes files, so that each heap stays as large as its share of the rows ever was.
/// To be called before there are threads. Elsewhere, and where the operator has chosen the number,
/// it does nothing.
pub fn share_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let heaps = libc::c_int::try_from(processors / 2).unwrap_or(libc::c_int::MAX);
        // SAFETY: `mallopt` takes numbers alone, and the allocator locks what it changes.
        #[expect(unsafe_code, reason = "only the C library can be asked for this")]
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, heaps.max(1));
        }
    }
}
