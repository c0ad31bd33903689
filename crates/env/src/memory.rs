//! What the allocator keeps of what it was given back.

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

/// Gives what is free in all heaps back to the system, which the C library of GNU otherwise does
/// for the end of a heap alone: after much was allocated at once, a single small thing that lies
/// behind it keeps all of it. It takes milliseconds, and allocating waits meanwhile. Who asks while
/// another is at it does not wait: that one begins once more. Elsewhere it does nothing.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::sync::atomic::{AtomicUsize, Ordering};

        static ASKED: AtomicUsize = AtomicUsize::new(0);

        if ASKED.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        loop {
            let asked = ASKED.load(Ordering::Acquire);
            // SAFETY: `malloc_trim` takes a number alone, and locks the heaps that it changes.
            #[expect(unsafe_code, reason = "only the C library can be asked for this")]
            unsafe {
                libc::malloc_trim(0);
            }
            let done = ASKED.compare_exchange(asked, 0, Ordering::AcqRel, Ordering::Acquire);
            if done.is_ok() {
                return;
            }
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[cfg(test)]
mod tests {
    use super::*;

    fn resident_pages() -> u64 {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse().unwrap()
    }

    #[test]
    fn what_is_free_before_something_small_goes_back() {
        const PIECES: usize = 64 << 10;
        let mut pieces: Vec<Vec<u8>> = (0..PIECES).map(|_| vec![1; 1 << 10]).collect();
        let last = pieces.pop();
        let most = resident_pages();
        drop(pieces);
        give_back_memory();
        // Of 64 MiB at least the half.
        assert!(resident_pages() + (32 << 20) / 4_096 < most);
        drop(last);
    }

    #[test]
    fn many_may_ask_at_once() {
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..20).for_each(|_| give_back_memory()));
            }
        });
        give_back_memory();
    }
}
