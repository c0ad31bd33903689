//! The labels of a series: checked as they are read.

use model::prometheus::NAME_LABEL;
use model::row::{Reject, RowSink, Undecoded};
use model::value::{KeyValueRef, ValueRef};

use super::{MetricInfo, Series, push};

/// Takes the labels of one series, which have to come sorted by name.
pub(super) struct Labels<'l, 'a> {
    list: &'l mut Vec<KeyValueRef<'a>>,
    series: Series<'a>,
    before: Option<&'a str>,
}

impl<'l, 'a> Labels<'l, 'a> {
    /// Appends the labels of the series in `message` to `list`.
    pub(super) fn new(message: &'a [u8], list: &'l mut Vec<KeyValueRef<'a>>) -> Self {
        let first = super::place(list.len());
        Self {
            series: Series {
                message,
                labels: (first, first),
                target: Default::default(),
                metric: MetricInfo {
                    kind: super::kind_name(0),
                    ..MetricInfo::default()
                },
                start_ms: 0,
                group: (0, 0),
                refused: None,
            },
            list,
            before: None,
        }
    }

    pub(super) fn series(&mut self) -> &mut Series<'a> {
        &mut self.series
    }

    /// What is wrong first decides the reason.
    pub(super) fn refuse(&mut self, reason: Reject) {
        self.series.refused.get_or_insert(reason);
    }

    #[inline]
    pub(super) fn push(
        &mut self,
        name: &'a str,
        value: &'a str,
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        if name.is_empty() || value.is_empty() {
            self.refuse(Reject::EmptyLabel);
        }
        match self.before.replace(name).map(|before| before.cmp(name)) {
            None | Some(std::cmp::Ordering::Less) => {}
            Some(std::cmp::Ordering::Equal) => self.refuse(Reject::DuplicateLabel),
            Some(std::cmp::Ordering::Greater) => self.refuse(Reject::UnsortedLabels),
        }
        match name {
            NAME_LABEL => self.series.metric.name = value,
            "job" => self.series.target.job = value,
            "instance" => self.series.target.instance = value,
            _ => {
                let value = ValueRef::Str(value);
                push(self.list, KeyValueRef { key: name, value }, sink)?;
            }
        }
        Ok(())
    }

    /// The series, once all of its labels are there. Those of a refused one are let go.
    pub(super) fn finish(mut self) -> Series<'a> {
        if self.series.metric.name.is_empty() {
            self.refuse(Reject::MissingName);
        }
        let first = self.series.labels.0;
        if self.series.refused.is_some() {
            self.list.truncate(first as usize);
        }
        self.series.labels.1 = super::place(self.list.len());
        self.series
    }
}
