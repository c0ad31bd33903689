//! How much of the processors a thread gets.

/// How far background work stands back: about a tenth of a processor that others want too.
#[cfg(target_os = "linux")]
const BACKGROUND: i32 = 10;

/// Has this thread stand back where others have work. On systems where that would be for the whole
/// process it does nothing.
pub fn yield_to_other_threads() {
    #[cfg(target_os = "linux")]
    {
        // Linux keeps the value per thread; without the right to change it nothing is lost.
        let _ = rustix::process::setpriority_process(None, BACKGROUND);
    }
}
