//! The `system.*` metrics.

use std::collections::HashMap;
use std::path::Path;

use procfs::FromRead;

use crate::encode::{Kind, Number, Point, put_metric};

/// The kernel counts disk sectors of this size, whatever the disk has.
const SECTOR_BYTES: u64 = 512;
/// File systems that hold nothing.
const VIRTUAL: [&str; 22] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "procfs",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tracefs",
];
/// Mounts are many in some containers; more than these are left out.
const MOUNTS_MAX: usize = 256;

/// What the last reading left behind.
#[derive(Debug, Default)]
pub(super) struct System {
    /// Seconds per (cpu, mode) at the last reading, for the utilization in between.
    cpu: HashMap<(usize, &'static str), f64>,
    boot_unix_nano: u64,
}

fn integer(value: u64) -> Number {
    Number::Int(i64::try_from(value).unwrap_or(i64::MAX))
}

fn point(attributes: &[(&'static str, &str)], value: Number) -> Point {
    let attributes = attributes
        .iter()
        .map(|(key, value)| (*key, (*value).to_owned()));
    (attributes.collect(), value)
}

/// A file of `/proc`, parsed; nothing if it cannot be read.
fn read<T: FromRead>(path: &Path) -> Option<T> {
    T::from_file(path).ok()
}

impl System {
    /// Appends every metric that can be read.
    pub(super) fn read(&mut self, proc_dir: &Path, now: u64, out: &mut Vec<u8>) {
        self.uptime(proc_dir, now, out);
        self.cpu(proc_dir, now, out);
        self.load(proc_dir, now, out);
        self.memory(proc_dir, now, out);
        self.disks(proc_dir, now, out);
        self.network(proc_dir, now, out);
        self.filesystems(proc_dir, now, out);
    }

    fn since_boot(&self) -> Kind {
        Kind::Counter {
            start_unix_nano: self.boot_unix_nano,
        }
    }

    fn level(&self) -> Kind {
        Kind::UpDownCounter {
            start_unix_nano: self.boot_unix_nano,
        }
    }

    fn uptime(&mut self, proc_dir: &Path, now: u64, out: &mut Vec<u8>) {
        let Some(uptime) = read::<procfs::Uptime>(&proc_dir.join("uptime")) else {
            return;
        };
        // Once is enough: a later reading would move the start by a rounding error.
        if self.boot_unix_nano == 0 {
            let nanos = uptime.uptime_duration().as_nanos();
            self.boot_unix_nano = now.saturating_sub(u64::try_from(nanos).unwrap_or(0));
        }
        let points = [point(&[], Number::Double(uptime.uptime))];
        let about = ("system.uptime", "s", "time since the system was started");
        put_metric(out, about, Kind::Gauge, now, &points);
    }

    fn cpu(&mut self, proc_dir: &Path, now: u64, out: &mut Vec<u8>) {
        let Ok(stat) = std::fs::read_to_string(proc_dir.join("stat")) else {
            return;
        };
        let ticks = procfs::ticks_per_second() as f64;
        let mut times = Vec::new();
        let mut shares = Vec::new();
        let mut latest = HashMap::new();
        for line in stat.lines() {
            let Some((cpu, modes)) = cpu_line(line) else {
                continue;
            };
            let name = cpu.to_string();
            let seconds = modes.map(|(mode, value)| (mode, value as f64 / ticks));
            let spent = |(mode, value): &(&'static str, f64)| {
                self.cpu
                    .get(&(cpu, *mode))
                    .map(|before| (value - before).max(0.0))
            };
            let total: f64 = seconds.iter().filter_map(spent).sum();
            for part in &seconds {
                let attributes = [("cpu.logical_number", name.as_str()), ("cpu.mode", part.0)];
                times.push(point(&attributes, Number::Double(part.1)));
                if let Some(spent) = spent(part).filter(|_| total > 0.0) {
                    shares.push(point(&attributes, Number::Double(spent / total)));
                }
                latest.insert((cpu, part.0), part.1);
            }
        }
        self.cpu = latest;
        let about = (
            "system.cpu.time",
            "s",
            "seconds each logical CPU spent in each mode",
        );
        put_metric(out, about, self.since_boot(), now, &times);
        if !shares.is_empty() {
            let about = (
                "system.cpu.utilization",
                "1",
                "share of each mode since the last reading",
            );
            put_metric(out, about, Kind::Gauge, now, &shares);
        }
    }

    fn load(&self, proc_dir: &Path, now: u64, out: &mut Vec<u8>) {
        let Some(load) = read::<procfs::LoadAverage>(&proc_dir.join("loadavg")) else {
            return;
        };
        for (name, value) in [
            ("system.cpu.load_average.1m", load.one),
            ("system.cpu.load_average.5m", load.five),
            ("system.cpu.load_average.15m", load.fifteen),
        ] {
            let points = [point(&[], Number::Double(f64::from(value)))];
            let about = (name, "{thread}", "runnable and uninterruptible threads");
            put_metric(out, about, Kind::Gauge, now, &points);
        }
    }

    fn memory(&self, proc_dir: &Path, now: u64, out: &mut Vec<u8>) {
        let Some(memory) = read::<procfs::Meminfo>(&proc_dir.join("meminfo")) else {
            return;
        };
        let slab = memory.s_reclaimable.unwrap_or(0);
        let cached = memory.cached + slab;
        let used = memory
            .mem_total
            .saturating_sub(memory.mem_free + memory.buffers + cached);
        let states = [
            ("used", used),
            ("free", memory.mem_free),
            ("cached", cached),
            ("buffers", memory.buffers),
        ];
        let points =
            states.map(|(state, bytes)| point(&[("system.memory.state", state)], integer(bytes)));
        let about = ("system.memory.usage", "By", "memory in use by state");
        put_metric(out, about, self.level(), now, &points);
        let total = memory.mem_total.max(1) as f64;
        let shares = states.map(|(state, bytes)| {
            let share = Number::Double(bytes as f64 / total);
            point(&[("system.memory.state", state)], share)
        });
        let about = ("system.memory.utilization", "1", "share of memory by state");
        put_metric(out, about, Kind::Gauge, now, &shares);
        let about = ("system.memory.limit", "By", "memory in all");
        let limit = [point(&[], integer(memory.mem_total))];
        put_metric(out, about, self.level(), now, &limit);
        let swap_used = memory.swap_total.saturating_sub(memory.swap_free);
        let swap = [
            point(&[("system.paging.state", "used")], integer(swap_used)),
            point(
                &[("system.paging.state", "free")],
                integer(memory.swap_free),
            ),
        ];
        let about = ("system.paging.usage", "By", "swap in use by state");
        put_metric(out, about, self.level(), now, &swap);
    }

    fn disks(&self, proc_dir: &Path, now: u64, out: &mut Vec<u8>) {
        let Ok(text) = std::fs::read_to_string(proc_dir.join("diskstats")) else {
            return;
        };
        let (mut io, mut operations) = (Vec::new(), Vec::new());
        let disks = text
            .lines()
            .filter_map(|line| procfs::DiskStat::from_line(line).ok());
        for disk in disks {
            // Disks that were never used are mostly loop and RAM devices.
            if disk.reads == 0 && disk.writes == 0 {
                continue;
            }
            let both = [
                ("read", disk.reads, disk.sectors_read),
                ("write", disk.writes, disk.sectors_written),
            ];
            for (direction, count, sectors) in both {
                let attributes = [
                    ("system.device", disk.name.as_str()),
                    ("disk.io.direction", direction),
                ];
                io.push(point(
                    &attributes,
                    integer(sectors.saturating_mul(SECTOR_BYTES)),
                ));
                operations.push(point(&attributes, integer(count)));
            }
        }
        if !io.is_empty() {
            let about = ("system.disk.io", "By", "bytes read and written");
            put_metric(out, about, self.since_boot(), now, &io);
            let about = ("system.disk.operations", "{operation}", "reads and writes");
            put_metric(out, about, self.since_boot(), now, &operations);
        }
    }

    fn network(&self, proc_dir: &Path, now: u64, out: &mut Vec<u8>) {
        // `net` leads to the network namespace of whoever reads it.
        let path = proc_dir.join("net/dev");
        let Some(procfs::net::InterfaceDeviceStatus(devices)) = read(&path) else {
            return;
        };
        let mut devices: Vec<_> = devices.into_values().collect();
        devices.sort_by(|a, b| a.name.cmp(&b.name));
        let collect = |pick: fn(&procfs::net::DeviceStatus) -> [u64; 2]| -> Vec<Point> {
            let points = devices.iter().flat_map(|device| {
                let [received, sent] = pick(device);
                [("receive", received), ("transmit", sent)].map(|(direction, value)| {
                    let attributes = [
                        ("network.interface.name", device.name.as_str()),
                        ("network.io.direction", direction),
                    ];
                    point(&attributes, integer(value))
                })
            });
            points.collect()
        };
        for (about, points) in [
            (
                ("system.network.io", "By", "bytes received and sent"),
                collect(|device| [device.recv_bytes, device.sent_bytes]),
            ),
            (
                (
                    "system.network.packet.count",
                    "{packet}",
                    "packets received and sent",
                ),
                collect(|device| [device.recv_packets, device.sent_packets]),
            ),
            (
                (
                    "system.network.errors",
                    "{error}",
                    "receive and transmit errors",
                ),
                collect(|device| [device.recv_errs, device.sent_errs]),
            ),
            (
                (
                    "system.network.packet.dropped",
                    "{packet}",
                    "packets dropped",
                ),
                collect(|device| [device.recv_drop, device.sent_drop]),
            ),
        ] {
            put_metric(out, about, self.since_boot(), now, &points);
        }
    }

    fn filesystems(&self, proc_dir: &Path, now: u64, out: &mut Vec<u8>) {
        let mounts = std::fs::read_to_string(proc_dir.join("self/mounts"))
            .or_else(|_| std::fs::read_to_string(proc_dir.join("mounts")));
        let Ok(mounts) = mounts else {
            return;
        };
        let (mut usage, mut shares) = (Vec::new(), Vec::new());
        let mut seen = Vec::new();
        for line in mounts.lines() {
            let Some((device, mountpoint, kind)) = mount_line(line) else {
                continue;
            };
            // A device that is mounted in several places is one file system.
            if seen.len() >= MOUNTS_MAX || seen.contains(&device) && device.starts_with('/') {
                continue;
            }
            let Ok(stat) = rustix::fs::statvfs(mountpoint.as_str()) else {
                continue;
            };
            if stat.f_blocks == 0 {
                continue;
            }
            let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
            let states = [
                ("used", bytes(stat.f_blocks.saturating_sub(stat.f_bfree))),
                ("free", bytes(stat.f_bavail)),
                (
                    "reserved",
                    bytes(stat.f_bfree.saturating_sub(stat.f_bavail)),
                ),
            ];
            for (state, value) in states {
                let attributes = [
                    ("system.device", device.as_str()),
                    ("system.filesystem.mountpoint", mountpoint.as_str()),
                    ("system.filesystem.type", kind.as_str()),
                    ("system.filesystem.state", state),
                ];
                usage.push(point(&attributes, integer(value)));
                let share = value as f64 / bytes(stat.f_blocks).max(1) as f64;
                shares.push(point(&attributes, Number::Double(share)));
            }
            seen.push(device);
        }
        if !usage.is_empty() {
            let about = ("system.filesystem.usage", "By", "space by state");
            put_metric(out, about, self.level(), now, &usage);
            let about = (
                "system.filesystem.utilization",
                "1",
                "share of space by state",
            );
            put_metric(out, about, Kind::Gauge, now, &shares);
        }
    }
}

type Modes = [(&'static str, u64); 7];

/// `cpu3 user nice system idle iowait irq softirq steal ...`; not the line that sums them up.
fn cpu_line(line: &str) -> Option<(usize, Modes)> {
    let mut fields = line.split_ascii_whitespace();
    let cpu = fields.next()?.strip_prefix("cpu")?.parse().ok()?;
    let mut next = || {
        fields
            .next()
            .and_then(|field| field.parse().ok())
            .unwrap_or(0)
    };
    let [user, nice, system, idle, iowait] = [next(), next(), next(), next(), next()];
    let (irq, softirq, steal): (u64, u64, u64) = (next(), next(), next());
    Some((
        cpu,
        [
            ("user", user),
            ("nice", nice),
            ("system", system),
            ("idle", idle),
            ("iowait", iowait),
            ("interrupt", irq + softirq),
            ("steal", steal),
        ],
    ))
}

/// `device mountpoint type options 0 0`, with spaces written as `\040`.
fn mount_line(line: &str) -> Option<(String, String, String)> {
    let mut fields = line.split(' ');
    let plain = |field: &str| {
        field
            .replace("\\040", " ")
            .replace("\\011", "\t")
            .replace("\\134", "\\")
    };
    let (device, mountpoint, kind) = (fields.next()?, fields.next()?, fields.next()?);
    let holds_something = !VIRTUAL.contains(&kind) && kind != "overlay" || mountpoint == "/";
    holds_something.then(|| (plain(device), plain(mountpoint), kind.to_owned()))
}
