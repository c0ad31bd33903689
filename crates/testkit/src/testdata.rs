//! Test material of others, which is not part of this repository.
//!
//! Its folder is `THROUGHLINE_TESTDATA`, or `../shared/data` beside the workspace. Where it is
//! absent, what needs it is skipped with a message, unless `THROUGHLINE_REQUIRE_TESTDATA=1`.

use std::path::PathBuf;

/// A file or folder of the material; nothing if it is to be skipped.
///
/// # Panics
/// If it is absent and required.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
pub fn testdata(name: &str) -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let root = std::env::var_os("THROUGHLINE_TESTDATA").map_or(beside, PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    let required = std::env::var("THROUGHLINE_REQUIRE_TESTDATA").is_ok_and(|value| value == "1");
    assert!(
        !required,
        "test data {} is required and absent",
        path.display()
    );
    eprintln!("skipped: there is no test data {}", path.display());
    None
}
