//! Faults at a chosen system call, over any other files.
//!
//! Two ways to use it. A [`Plan`] makes certain calls fail for a while: the n-th write, every
//! sync of files whose path contains a word. A crash point ends everything at the n-th call
//! that changes the disk: run once without faults, read [`FaultFiles::changes`], then run once
//! per call with [`FaultFiles::crash_at`]. [`FaultFiles::lose`] makes a part of a file unreadable. Over [`crate::MemoryFiles`], follow a crash with
//! `power_cut`; over real files the crash is that of the process alone. Where a run is too long to
//! be repeated for each call, [`FaultFiles::watch`] it once and fork the files before each.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use env::{Entry, File, Files, Lock, Space};
use parking_lot::Mutex;

/// Kinds of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Open,
    Read,
    List,
    Lock,
    Space,
    Create,
    Write,
    Resize,
    Preallocate,
    SyncData,
    SyncDir,
    Rename,
    Link,
    Remove,
    CreateDir,
}

impl Op {
    /// Whether the call changes what a restart may find.
    pub fn is_change(self) -> bool {
        !matches!(
            self,
            Self::Open | Self::Read | Self::List | Self::Lock | Self::Space
        )
    }
}

/// The error that a failing call gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// ENOSPC
    StorageFull,
    /// EIO
    Io,
    /// EACCES
    Denied,
    /// EMFILE
    TooManyFiles,
    /// EXDEV
    OtherDevice,
}

impl Failure {
    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Self::StorageFull => 28,
            Self::Io => 5,
            Self::Denied => 13,
            Self::TooManyFiles => 24,
            Self::OtherDevice => 18,
        })
    }
}

/// What happens instead of the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and has no effect.
    Error(Failure),
    /// A write leaves this many bytes and fails; other calls just fail.
    ShortWrite(usize, Failure),
    /// A sync says that it is done, and was not: as if the program had not asked for it. Any number
    /// of times; other calls are done.
    Lie,
    /// The call panics, as a defect somewhere on the path of its caller would.
    Panic,
}

/// Which calls fail, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// `None` stands for every call that changes the disk.
    pub op: Option<Op>,
    /// Only calls on paths that contain this, or end so where it ends in `$`; empty for all.
    pub path_contains: String,
    /// Calls that still succeed first.
    pub skip: u64,
    /// Calls that then fail.
    pub times: u64,
    pub fault: Fault,
}

impl Plan {
    /// Every such call fails from now on, until [`FaultFiles::heal`].
    pub fn always(op: Op, failure: Failure) -> Self {
        Self {
            op: Some(op),
            path_contains: String::new(),
            skip: 0,
            times: u64::MAX,
            fault: Fault::Error(failure),
        }
    }

    fn matches(&self, op: Op, path: &Path) -> bool {
        let path = path.to_string_lossy();
        self.op.map_or(op.is_change(), |own| own == op)
            && match self.path_contains.strip_suffix('$') {
                Some(end) => path.ends_with(end),
                None => path.contains(&self.path_contains),
            }
    }
}

/// When, relative to the chosen call, everything ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    Before,
    /// Half of a write is done; other calls as `Before`.
    During,
    /// The call takes effect, but its caller never learns.
    After,
}

/// A call that is about to change the disk.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    pub op: Op,
    pub path: &'a Path,
    /// Of a write: the offset, and the parts one after another.
    pub write: Option<(u64, &'a [&'a [u8]])>,
}

type Watch = dyn Fn(&Change<'_>) + Send + Sync;

/// Whoever is told before each change.
#[derive(Clone, Default)]
struct Watcher(Option<Arc<Watch>>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Watcher").field(&self.0.is_some()).finish()
    }
}

#[derive(Debug, Default)]
struct Control {
    plans: Vec<Plan>,
    watcher: Watcher,
    /// Parts of files, by how their paths end, that the disk does not give.
    lost: Vec<(String, Range<u64>)>,
    changes: u64,
    reads: u64,
    crash: Option<(u64, CrashPoint)>,
    crashed: bool,
}

/// What a call is to do.
enum Verdict {
    Go,
    /// Do it, then report the crash.
    GoThenCrash,
    Fail(io::Error),
    /// Write this many bytes, or half of them, then fail.
    Partial(Option<usize>, io::Error),
    Panic,
}

fn crash_error() -> io::Error {
    io::Error::other("the process has crashed")
}

impl Control {
    fn is_lost(&self, path: &Path, bytes: &Range<u64>) -> bool {
        let path = path.to_string_lossy();
        let touches = |lost: &Range<u64>| lost.start < bytes.end && bytes.start < lost.end;
        let mut lost = self.lost.iter();
        lost.any(|(end, lost)| touches(lost) && path.ends_with(end))
    }

    fn judge(&mut self, op: Op, path: &Path) -> Verdict {
        if self.crashed {
            return Verdict::Fail(crash_error());
        }
        self.reads += u64::from(op == Op::Read);
        if op.is_change() {
            let index = self.changes;
            self.changes += 1;
            if let Some((at, point)) = self.crash
                && at == index
            {
                self.crashed = true;
                return match point {
                    CrashPoint::Before => Verdict::Fail(crash_error()),
                    CrashPoint::During => Verdict::Partial(None, crash_error()),
                    CrashPoint::After => Verdict::GoThenCrash,
                };
            }
        }
        let Some(plan) = self.plans.iter_mut().find(|plan| plan.matches(op, path)) else {
            return Verdict::Go;
        };
        if plan.skip > 0 {
            plan.skip -= 1;
            return Verdict::Go;
        }
        if plan.times == 0 {
            return Verdict::Go;
        }
        plan.times -= 1;
        match plan.fault {
            Fault::Error(failure) => Verdict::Fail(failure.error()),
            Fault::ShortWrite(bytes, failure) => Verdict::Partial(Some(bytes), failure.error()),
            Fault::Lie => Verdict::Go,
            Fault::Panic => Verdict::Panic,
        }
    }
}

/// Cheap to clone; clones share their faults.
#[derive(Clone, Debug)]
pub struct FaultFiles {
    inner: Arc<dyn Files>,
    control: Arc<Mutex<Control>>,
}

impl FaultFiles {
    pub fn over(inner: Arc<dyn Files>) -> Self {
        Self {
            inner,
            control: Arc::default(),
        }
    }

    /// Adds a plan. Of several that match a call, the first added decides.
    pub fn plan(&self, plan: Plan) {
        self.control.lock().plans.push(plan);
    }

    /// The next such call fails, once.
    pub fn fail_next(&self, op: Op, failure: Failure) {
        self.plan(Plan {
            times: 1,
            ..Plan::always(op, failure)
        });
    }

    /// Reads that touch this part of files whose path ends so give EIO from now on, as a bad sector
    /// does.
    pub fn lose(&self, path_end: &str, bytes: Range<u64>) {
        self.control.lock().lost.push((path_end.to_owned(), bytes));
    }

    /// Forgets all plans, and gives back what was lost.
    pub fn heal(&self) {
        let mut control = self.control.lock();
        control.plans.clear();
        control.lost.clear();
    }

    /// Tells `watch` of each call that changes the disk, before it does.
    pub fn watch(&self, watch: impl Fn(&Change<'_>) + Send + Sync + 'static) {
        self.control.lock().watcher = Watcher(Some(Arc::new(watch)));
    }

    /// Calls so far that change the disk.
    pub fn changes(&self) -> u64 {
        self.control.lock().changes
    }

    /// Calls so far that read a file.
    pub fn reads(&self) -> u64 {
        self.control.lock().reads
    }

    /// Ends everything at the given change (counted from 0): every later call fails.
    pub fn crash_at(&self, change: u64, point: CrashPoint) {
        self.control.lock().crash = Some((change, point));
    }

    pub fn has_crashed(&self) -> bool {
        self.control.lock().crashed
    }

    fn run<T>(&self, op: Op, path: &Path, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        run(&self.control, op, path, call)
    }

    fn wrap(&self, path: &Path, file: io::Result<Box<dyn File>>) -> io::Result<Box<dyn File>> {
        Ok(Box::new(FaultFile {
            inner: file?,
            path: path.to_owned(),
            control: Arc::clone(&self.control),
        }))
    }
}

fn tell(control: &Mutex<Control>, change: Change<'_>) {
    let watcher = control.lock().watcher.clone();
    if change.op.is_change()
        && let Watcher(Some(watch)) = watcher
    {
        watch(&change);
    }
}

fn run<T>(
    control: &Mutex<Control>,
    op: Op,
    path: &Path,
    call: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let write = None;
    tell(control, Change { op, path, write });
    let verdict = control.lock().judge(op, path);
    match verdict {
        Verdict::Go => call(),
        Verdict::GoThenCrash => call().and(Err(crash_error())),
        Verdict::Fail(error) | Verdict::Partial(_, error) => Err(error),
        Verdict::Panic => panic!("a test asked {op:?} of {} to panic", path.display()),
    }
}

/// The same for a call that may be left out unnoticed.
fn run_or_lie(
    control: &Mutex<Control>,
    op: Op,
    path: &Path,
    call: impl FnOnce() -> io::Result<()>,
) -> io::Result<()> {
    let is_lie = |plan: &Plan| plan.fault == Fault::Lie && plan.matches(op, path);
    if control.lock().plans.iter().any(is_lie) {
        return Ok(());
    }
    run(control, op, path, call)
}

#[derive(Debug)]
struct FaultFile {
    inner: Box<dyn File>,
    path: PathBuf,
    control: Arc<Mutex<Control>>,
}

impl FaultFile {
    fn run<T>(&self, op: Op, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        run(&self.control, op, &self.path, call)
    }
}

impl File for FaultFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = offset..offset + buffer.len() as u64;
        if self.control.lock().is_lost(&self.path, &bytes) {
            return Err(Failure::Io.error());
        }
        self.run(Op::Read, || self.inner.read_at(buffer, offset))
    }

    fn write_vectored_at(&self, parts: &[&[u8]], offset: u64) -> io::Result<()> {
        let change = Change {
            op: Op::Write,
            path: &self.path,
            write: Some((offset, parts)),
        };
        tell(&self.control, change);
        let verdict = self.control.lock().judge(Op::Write, &self.path);
        match verdict {
            Verdict::Go => self.inner.write_vectored_at(parts, offset),
            Verdict::GoThenCrash => {
                let written = self.inner.write_vectored_at(parts, offset);
                written.and(Err(crash_error()))
            }
            Verdict::Fail(error) => Err(error),
            Verdict::Partial(bytes, error) => {
                let all = parts.concat();
                let count = bytes.unwrap_or(all.len() / 2).min(all.len());
                self.inner.write_at(&all[..count], offset)?;
                Err(error)
            }
            Verdict::Panic => panic!("a test asked a write of {} to panic", self.path.display()),
        }
    }

    fn size(&self) -> io::Result<u64> {
        self.run(Op::Read, || self.inner.size())
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        self.run(Op::Resize, || self.inner.set_size(bytes))
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.run(Op::Preallocate, || self.inner.preallocate(bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        let sync = || self.inner.sync_data();
        run_or_lie(&self.control, Op::SyncData, &self.path, sync)
    }
}

impl Files for FaultFiles {
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(path, self.run(Op::Open, path, || self.inner.open(path)))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(
            path,
            self.run(Op::Open, path, || self.inner.open_write(path)),
        )
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(path, self.run(Op::Create, path, || self.inner.create(path)))
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.wrap(
            path,
            self.run(Op::Create, path, || self.inner.create_new(path)),
        )
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.run(Op::Read, path, || self.inner.read(path))
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.run(Op::Read, path, || self.inner.map(path))
    }

    fn is_whole(&self, mapped: &[u8]) -> bool {
        self.inner.is_whole(mapped)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.run(Op::List, path, || self.inner.stat(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Entry>> {
        self.run(Op::List, dir, || self.inner.list(dir))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.run(Op::CreateDir, dir, || self.inner.create_dir(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Op::Rename, to, || self.inner.rename(from, to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.run(Op::Link, to, || self.inner.hard_link(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.run(Op::Remove, path, || self.inner.remove_file(path))
    }

    fn remove_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.run(Op::Remove, dir, || self.inner.remove_dir_all(dir))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let sync = || self.inner.sync_dir(dir);
        run_or_lie(&self.control, Op::SyncDir, dir, sync)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.run(Op::Space, path, || self.inner.space(path))
    }

    fn maps_max(&self) -> usize {
        self.inner.maps_max()
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.run(Op::Lock, path, || self.inner.lock(path))
    }
}

#[cfg(test)]
mod tests;
