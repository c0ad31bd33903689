//! Log records gathered for one entry of the queue, grouped by the resource of their file.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use model::{KeyValue, Signal};

use super::assemble::Assembled;
use super::parse;
use crate::encode::{self, put_envelope, put_log};
use crate::options::{FileOptions, Options};
use crate::processors::correlation;
use crate::queue::Entry;

/// What the records of one file share.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) path: &'a Path,
    /// Encoded resource.
    pub(super) resource: &'a Arc<[u8]>,
    pub(super) files: &'a FileOptions,
}

#[derive(Debug)]
struct Group {
    resource: Arc<[u8]>,
    rows: Vec<u8>,
}

/// Records that wait to be queued together.
#[derive(Debug, Default)]
pub(super) struct Batch {
    groups: Vec<Group>,
    bytes: usize,
    rows: u64,
    oldest_read: Option<u64>,
    /// When the last record was observed. The next one is later, if only by a nanosecond, so that
    /// lines without a time of their own keep their order and can be paged through.
    last_observed: u64,
    /// Records of nothing but white space, which are left out.
    pub(super) empty_records: u64,
}

impl Batch {
    /// Parses and adds one record.
    pub(super) fn add(&mut self, record: Assembled, source: &Source<'_>, options: &Options) {
        if record.text.trim().is_empty() {
            self.empty_records += 1;
            return;
        }
        let mut log = parse::parse(record.text, source.files.format, record.read_unix_nano);
        if log.time_unix_nano == 0 {
            log.time_unix_nano = record.time_unix_nano;
        }
        self.last_observed = record
            .read_unix_nano
            .max(self.last_observed.saturating_add(1));
        log.observed_unix_nano = self.last_observed;
        if let Some(keys) = &options.correlation {
            correlation::lift(keys, &mut log);
        }
        let name = source.path.file_name().unwrap_or_default();
        let mut attribute = |key: &str, value: &str| {
            log.attributes.push(KeyValue::new(key, value));
        };
        attribute("log.file.name", &name.to_string_lossy());
        attribute("log.file.path", &source.path.to_string_lossy());
        if let Some(stream) = record.stream {
            attribute("log.iostream", stream.name());
        }
        let same = |group: &&mut Group| Arc::ptr_eq(&group.resource, source.resource);
        let group = match self.groups.iter_mut().rev().find(same) {
            Some(group) => group,
            None => {
                self.groups.push(Group {
                    resource: Arc::clone(source.resource),
                    rows: Vec::new(),
                });
                self.groups.last_mut().expect("one was pushed")
            }
        };
        let before = group.rows.len();
        put_log(&mut group.rows, &log);
        self.bytes += group.rows.len() - before;
        self.rows += 1;
        let read = record.read_unix_nano;
        self.oldest_read = Some(self.oldest_read.map_or(read, |oldest| oldest.min(read)));
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The records as one request; `None` if there are none. The batch is empty afterwards.
    pub(super) fn take(&mut self) -> Option<Entry> {
        let batch = std::mem::take(self);
        self.last_observed = batch.last_observed;
        self.empty_records = batch.empty_records;
        if batch.rows == 0 {
            return None;
        }
        let scope = encode::scope("filelog");
        let mut request = Vec::with_capacity(batch.bytes + 1024 * batch.groups.len());
        for group in &batch.groups {
            put_envelope(&mut request, &group.resource, &scope, &group.rows);
        }
        Some(Entry {
            signal: Signal::Logs,
            source: "filelog",
            rows: batch.rows,
            read_unix_nano: batch.oldest_read.unwrap_or(u64::MAX),
            alone: false,
            request: Bytes::from(request),
        })
    }
}

/// The resource of the records of a lineage: what the machine and the config say, and what the
/// path of a container's log says.
pub(super) fn resource(lineage: &Path, files: &FileOptions, host: &[KeyValue]) -> Vec<KeyValue> {
    let mut attributes = host.to_vec();
    let container = from_path(lineage);
    let named = container
        .iter()
        .find(|pair| pair.key == "k8s.container.name");
    let service = match (&files.service, named) {
        (Some(service), _) => service.clone(),
        (None, Some(container)) => container.value.to_text(),
        (None, None) => service_of(lineage),
    };
    attributes.push(KeyValue::new("service.name", service));
    for pair in container
        .into_iter()
        .chain(files.attributes.iter().cloned())
    {
        attributes.retain(|known| known.key != pair.key);
        attributes.push(pair);
    }
    attributes
}

/// The file's name up to its first dot.
fn service_of(lineage: &Path) -> String {
    let name = lineage.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().filter(|stem| !stem.is_empty());
    stem.unwrap_or(&name).to_owned()
}

/// `.../pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log` and `.../containers/ID/ID-json.log`.
fn from_path(path: &Path) -> Vec<KeyValue> {
    let text = path.to_string_lossy();
    let parts: Vec<&str> = text.split('/').collect();
    if let [.., "pods", pod, container, _] = parts[..] {
        let fields: Vec<&str> = pod.split('_').collect();
        if let [namespace, name, uid] = fields[..] {
            return vec![
                KeyValue::new("k8s.namespace.name", namespace),
                KeyValue::new("k8s.pod.name", name),
                KeyValue::new("k8s.pod.uid", uid),
                KeyValue::new("k8s.container.name", container),
            ];
        }
    }
    if let [.., "containers", id, file] = parts[..]
        && id.len() == 64
        && file.starts_with(id)
    {
        return vec![KeyValue::new("container.id", id)];
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_names_the_service() {
        let files = FileOptions::include("x");
        let of = |path: &str, key: &str| {
            let attributes = resource(Path::new(path), &files, &[KeyValue::new("host.name", "h")]);
            model::value::last(&attributes, key).map(model::Value::to_text)
        };
        assert_eq!(
            of("/var/log/checkout.log.1", "service.name").unwrap(),
            "checkout"
        );
        assert_eq!(of("/var/log/.hidden", "service.name").unwrap(), ".hidden");
        let pod = "/var/log/pods/shop_cart-7f_0a1b/cart/0.log";
        assert_eq!(of(pod, "service.name").unwrap(), "cart");
        assert_eq!(of(pod, "k8s.pod.name").unwrap(), "cart-7f");
        assert_eq!(of(pod, "host.name").unwrap(), "h");
    }
}
