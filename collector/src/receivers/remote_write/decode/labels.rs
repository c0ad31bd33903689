//! The labels of a series: checked as they are read.

use std::cmp::Ordering;

use model::prometheus::NAME_LABEL;
use model::row::{Reject, RowSink, Undecoded};
use model::value::{KeyValueRef, ValueRef};

use super::{MetricInfo, Series, push};

/// Takes the labels of one series. Senders sort them by name, as they should, but for those that
/// were written by hand.
pub(super) struct Labels<'l, 'a> {
    list: &'l mut Vec<KeyValueRef<'a>>,
    series: Series<'a>,
    before: Option<&'a str>,
    sorted: bool,
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
            sorted: true,
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
        if name.is_empty() {
            self.refuse(Reject::EmptyLabel);
        }
        match self.before.replace(name).map(|before| before.cmp(name)) {
            None | Some(Ordering::Less) => {}
            Some(Ordering::Equal) => self.refuse(Reject::DuplicateLabel),
            Some(Ordering::Greater) => self.sorted = false,
        }
        if value.is_empty() {
            // The same as none.
            return Ok(());
        }
        let own = match name {
            NAME_LABEL => Some(&mut self.series.metric.name),
            "job" => Some(&mut self.series.target.job),
            "instance" => Some(&mut self.series.target.instance),
            _ => None,
        };
        match own {
            Some(own) => {
                let repeated = !std::mem::replace(own, value).is_empty();
                if repeated {
                    self.refuse(Reject::DuplicateLabel);
                }
            }
            None => {
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
        if !self.sorted {
            let labels = &mut self.list[first as usize..];
            labels.sort_by_key(|label| label.key);
            if labels.windows(2).any(|pair| pair[0].key == pair[1].key) {
                self.refuse(Reject::DuplicateLabel);
            }
        }
        if self.series.refused.is_some() {
            self.list.truncate(first as usize);
        }
        self.series.labels.1 = super::place(self.list.len());
        self.series
    }
}
