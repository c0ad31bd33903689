//! One owner per folder.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::files::{Files, Lock};

/// An exclusive lock on `DIR/lock`, released when dropped. The file itself stays: removing it
/// would let a third process lock a new file while a second one waits on the old.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    _lock: Box<dyn Lock>,
}

impl LockFile {
    /// Name of the file inside the locked folder.
    pub const NAME: &'static str = "lock";

    /// Locks an existing folder. If somebody else holds it, the error has the kind
    /// `WouldBlock` and says what to do.
    pub fn acquire(files: &dyn Files, dir: &Path) -> io::Result<Self> {
        let path = dir.join(Self::NAME);
        match files.lock(&path) {
            Ok(lock) => Ok(Self { path, _lock: lock }),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(io::Error::new(
                ErrorKind::WouldBlock,
                format!(
                    "{} is in use by another throughline process (lock file {}); stop that \
                     process or choose another data directory",
                    dir.display(),
                    path.display()
                ),
            )),
            Err(error) => Err(io::Error::new(
                error.kind(),
                format!("cannot lock {}: {error}", path.display()),
            )),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder that is locked.
    pub fn dir(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }
}
