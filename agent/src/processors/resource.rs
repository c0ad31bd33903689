//! Resource detection: what machine, operating system, process and container this is.
//!
//! Follows the OpenTelemetry semantic conventions for `host.*`, `os.*`, `process.*` and
//! `container.id`. What cannot be found out is left out.

use std::path::Path;

use model::KeyValue;

/// Attributes of the machine; they go on everything that the agent reads itself.
pub fn host(root: &Path) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    let read = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    };
    let mut put = |key: &str, value: Option<String>| {
        if let Some(value) = value {
            attributes.push(KeyValue::new(key, value));
        }
    };
    put("host.name", read("proc/sys/kernel/hostname"));
    put("host.id", read("etc/machine-id"));
    put("host.arch", Some(architecture().to_owned()));
    put("os.type", Some(std::env::consts::OS.to_owned()));
    let release = read("etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let value = release.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key == name).then(|| value.trim_matches(['"', '\'']).to_owned())
        });
        value.filter(|value| !value.is_empty())
    };
    put("os.name", field("NAME"));
    put("os.version", field("VERSION_ID"));
    put("os.description", field("PRETTY_NAME"));
    attributes
}

/// Attributes of the agent's own process, for what it says about itself. The container is the
/// agent's: log files that it reads may be another's.
pub fn process(root: &Path) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("service.name", "throughline-agent"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("process.pid", i64::from(std::process::id())),
        KeyValue::new("process.runtime.name", "rust"),
    ];
    if let Ok(path) = std::env::current_exe() {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        attributes.push(KeyValue::new("process.executable.name", name));
        let path = path.to_string_lossy().into_owned();
        attributes.push(KeyValue::new("process.executable.path", path));
    }
    if let Some(id) = container_id(root) {
        attributes.push(KeyValue::new("container.id", id));
    }
    attributes
}

/// OpenTelemetry's name of the processor architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "x86",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        other => other,
    }
}

/// The container that this process runs in: from its control group where that names it
/// (cgroup v1), else from what is mounted into it (cgroup v2).
fn container_id(root: &Path) -> Option<String> {
    let cgroup = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    if let Some(id) = cgroup.lines().find_map(id_in_cgroup) {
        return Some(id);
    }
    let mounts = std::fs::read_to_string(root.join("proc/self/mountinfo")).unwrap_or_default();
    mounts.lines().find_map(id_in_mount)
}

/// `12:pids:/docker/ID`, `0::/system.slice/docker-ID.scope`, `.../cri-containerd-ID.scope`.
fn id_in_cgroup(line: &str) -> Option<String> {
    let path = line.splitn(3, ':').nth(2)?;
    let last = path.rsplit('/').next()?;
    let last = last.strip_suffix(".scope").unwrap_or(last);
    let id = last.rsplit(['-', ':']).next()?;
    is_id(id).then(|| id.to_owned())
}

/// The runtime mounts `/etc/hostname` from a folder named by the container.
fn id_in_mount(line: &str) -> Option<String> {
    let mut fields = line.split(' ');
    let source = fields.nth(3)?;
    let target = fields.next()?;
    if !matches!(target, "/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf") {
        return None;
    }
    source
        .split('/')
        .find(|part| is_id(part))
        .map(str::to_owned)
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f4e9ac0a1d24fb8a7b5b8f1a0c9d3e23f4e9ac0a1d24fb8a7b5b8f1a0c9d3e2";

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        dir
    }

    #[test]
    fn a_machine_is_described_by_what_it_says() {
        let dir = root(&[
            ("proc/sys/kernel/hostname", "node-7\n"),
            ("etc/machine-id", "abc\n"),
            (
                "etc/os-release",
                "NAME=\"Debian GNU/Linux\"\nVERSION_ID='12'\n",
            ),
        ]);
        let attributes = host(dir.path());
        let text = |key: &str| {
            let value = model::value::last(&attributes, key);
            value.and_then(|value| value.as_str()).map(str::to_owned)
        };
        assert_eq!(text("host.name").as_deref(), Some("node-7"));
        assert_eq!(text("host.id").as_deref(), Some("abc"));
        assert_eq!(text("os.name").as_deref(), Some("Debian GNU/Linux"));
        assert_eq!(text("os.version").as_deref(), Some("12"));
        assert!(text("host.arch").is_some());
        let process = process(dir.path());
        assert!(process.iter().all(|pair| pair.key != "container.id"));
    }

    #[test]
    fn containers_are_found_in_both_kinds_of_control_groups() {
        for (path, content) in [
            ("proc/self/cgroup", format!("12:pids:/docker/{ID}\n")),
            (
                "proc/self/cgroup",
                format!("0::/kubepods.slice/cri-containerd-{ID}.scope\n"),
            ),
            (
                "proc/self/mountinfo",
                format!("4 3 8:1 /docker/containers/{ID}/hostname /etc/hostname rw - ext4 x rw\n"),
            ),
        ] {
            let dir = root(&[(path, &content)]);
            assert_eq!(container_id(dir.path()).as_deref(), Some(ID), "{content}");
        }
        let dir = root(&[("proc/self/cgroup", "0::/\n")]);
        assert_eq!(container_id(dir.path()), None);
    }
}
