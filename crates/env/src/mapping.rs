//! Mapped files whose pages the disk may not give.
//!
//! When a mapped page cannot be read, because its sector is bad or the file was cut short since it
//! was mapped, the kernel has no answer to give but a signal (SIGBUS), which ends the process.
//! Here its handler puts a page of zeroes in the place of the lost one and marks the mapping.
//! Whoever reads from a mapping therefore looks afterwards whether it is still whole
//! ([`is_whole`]), and takes what was read for damage where it is not. What is lost stays lost for
//! as long as the mapping lives; a new one reads the disk again.
//!
//! A page that is there in part, the last one of a file that was cut short, reads as zeroes from
//! its cut on without a signal: what has no checksum cannot tell.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use memmap2::Mmap;

/// Where a mapping lies. Slots are never freed, but used again: the handler walks them without a
/// lock.
struct Slot {
    start: AtomicUsize,
    end: AtomicUsize,
    /// Whether a page of it is lost.
    lost: AtomicBool,
    next: AtomicPtr<Slot>,
}

/// No address is as high, so that a slot of nothing contains none.
const NOWHERE: usize = usize::MAX;

/// All slots, the one that was made last first.
static SLOTS: AtomicPtr<Slot> = AtomicPtr::new(std::ptr::null_mut());
/// Those of nothing.
static FREE: Mutex<Vec<&'static Slot>> = Mutex::new(Vec::new());
/// Those of something, by where it begins.
static LIVE: RwLock<BTreeMap<usize, &'static Slot>> = RwLock::new(BTreeMap::new());
/// Pages that were lost since the process began.
static LOST: AtomicUsize = AtomicUsize::new(0);

impl Slot {
    fn take() -> &'static Self {
        let free = FREE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(slot) = free {
            return slot;
        }
        let slot = Box::leak(Box::new(Self {
            start: AtomicUsize::new(NOWHERE),
            end: AtomicUsize::new(0),
            lost: AtomicBool::new(false),
            next: AtomicPtr::new(std::ptr::null_mut()),
        }));
        let at: *mut Self = slot;
        let mut first = SLOTS.load(Ordering::Acquire);
        loop {
            slot.next.store(first, Ordering::Relaxed);
            let pushed = SLOTS.compare_exchange(first, at, Ordering::AcqRel, Ordering::Acquire);
            match pushed {
                Ok(_) => return slot,
                Err(other) => first = other,
            }
        }
    }

    fn contains(&self, address: usize) -> bool {
        let start = self.start.load(Ordering::SeqCst);
        start <= address && address < self.end.load(Ordering::SeqCst)
    }
}

/// A file in memory.
pub(crate) struct Mapping {
    map: Mmap,
    slot: &'static Slot,
}

impl Mapping {
    /// Maps a file, which is not empty.
    pub(crate) fn new(file: &File) -> io::Result<Self> {
        signal::handle();
        // SAFETY: the contract of `Files::map` is that the file is neither shortened nor
        // overwritten while the bytes live, so the mapped memory does not change under the
        // shared slice; a deleted file keeps its pages until it is unmapped. Where the contract is
        // broken, or the disk is, a page becomes zeroes once: no reader of ours relies on more than
        // that bytes are bytes.
        #[expect(unsafe_code, reason = "a mapping is only as immutable as its file")]
        let map = unsafe { Mmap::map(file)? };
        let slot = Slot::take();
        let start = map.as_ptr().addr();
        slot.lost.store(false, Ordering::SeqCst);
        slot.end.store(start + map.len(), Ordering::SeqCst);
        slot.start.store(start, Ordering::SeqCst);
        let mut live = LIVE.write().unwrap_or_else(PoisonError::into_inner);
        live.insert(start, slot);
        Ok(Self { map, slot })
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let mut live = LIVE.write().unwrap_or_else(PoisonError::into_inner);
        live.remove(&self.map.as_ptr().addr());
        self.slot.start.store(NOWHERE, Ordering::SeqCst);
        self.slot.end.store(0, Ordering::SeqCst);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(self.slot);
        // What follows in the order of members is that the map goes, which nobody reads any more.
    }
}

/// Whether no page of the mapping that has these bytes was lost. Bytes that are not mapped are
/// always whole.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    if LOST.load(Ordering::SeqCst) == 0 {
        return true;
    }
    let address = bytes.as_ptr().addr();
    let live = LIVE.read().unwrap_or_else(PoisonError::into_inner);
    let before = live.range(..=address).next_back();
    let slot = before.filter(|(_, slot)| slot.contains(address));
    slot.is_none_or(|(_, slot)| !slot.lost.load(Ordering::SeqCst))
}

/// The signal, where a lost page is one.
#[cfg(target_os = "linux")]
#[expect(
    unsafe_code,
    reason = "the handler of a signal is the C library's to set, and a page the kernel's to replace"
)]
mod signal {
    use std::mem::MaybeUninit;
    use std::ptr;
    use std::sync::OnceLock;
    use std::sync::atomic::Ordering;

    use libc::{c_int, c_void, sigaction, siginfo_t};

    use super::{LOST, SLOTS};

    /// What handled the signal before, and how long a page is.
    static BEFORE: OnceLock<(sigaction, usize)> = OnceLock::new();

    /// Sets the handler, once.
    pub(super) fn handle() {
        BEFORE.get_or_init(|| {
            let mut before = MaybeUninit::<sigaction>::zeroed();
            // SAFETY: a zeroed `sigaction` is one without flags and with an empty mask; both
            // pointers are to such values, and the function has the signature that SA_SIGINFO asks
            // for. `sysconf` takes a number alone.
            unsafe {
                let mut action = MaybeUninit::<sigaction>::zeroed().assume_init();
                action.sa_sigaction = on_signal as extern "C" fn(_, _, _) as usize;
                // On the stack that the runtime keeps for signals, since the thread's may be full.
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigaction(libc::SIGBUS, &raw const action, before.as_mut_ptr());
                let page = libc::sysconf(libc::_SC_PAGESIZE);
                (before.assume_init(), usize::try_from(page).unwrap_or(4_096))
            }
        });
    }

    extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel passes a valid `siginfo_t`; a code above 0 says that it sent the signal
        // itself, and then `si_addr` is where memory could not be read. `errno` is this thread's own.
        let (is_fault, address) = unsafe { ((*info).si_code > 0, (*info).si_addr().addr()) };
        let errno = unsafe { *libc::__errno_location() };
        if !(is_fault && replace(address)) {
            pass_on(signal, info, context);
        }
        unsafe { *libc::__errno_location() = errno };
    }

    /// Puts zeroes in the place of a page that is lost; false where it is not of a mapping of ours.
    /// Nothing here waits or allocates.
    fn replace(address: usize) -> bool {
        let Some((_, page)) = BEFORE.get() else {
            return false;
        };
        let mut found = false;
        let mut at = SLOTS.load(Ordering::Acquire);
        // SAFETY: slots are leaked, and their links do not change once they are among the others.
        while let Some(slot) = unsafe { at.as_ref() } {
            // A slot that is being taken or left may be marked without need, which costs a new
            // mapping. That of the thread at hand is neither: it is reading.
            if slot.contains(address) {
                slot.lost.store(true, Ordering::SeqCst);
                found = true;
            }
            at = slot.next.load(Ordering::Relaxed);
        }
        found && put_zeroes(address - address % page, *page)
    }

    fn put_zeroes(start: usize, bytes: usize) -> bool {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        // SAFETY: the page lies in a mapping that lives, since it is being read, and is ours alone
        // to replace; whoever reads it sees zeroes from now on.
        let placed = unsafe {
            let start = ptr::with_exposed_provenance_mut(start);
            libc::mmap(start, bytes, libc::PROT_READ, flags, -1, 0)
        };
        LOST.fetch_add(1, Ordering::SeqCst);
        placed != libc::MAP_FAILED
    }

    /// Has done what would have been done without this handler.
    fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
        let before = BEFORE.get().map(|(before, _)| before);
        let Some(before) = before.filter(|before| {
            before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN
        }) else {
            // SAFETY: the default for this signal is the end of the process, which comes when the
            // instruction is tried again.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
            return;
        };
        // SAFETY: it is what was set as a handler, with the signature that its flags name.
        unsafe {
            if before.sa_flags & libc::SA_SIGINFO == 0 {
                let handler: extern "C" fn(c_int) = std::mem::transmute(before.sa_sigaction);
                handler(signal);
            } else {
                let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                    std::mem::transmute(before.sa_sigaction);
                handler(signal, info, context);
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod signal {
    pub(super) fn handle() {}
}

#[cfg(test)]
mod tests;
