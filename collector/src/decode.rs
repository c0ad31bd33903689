//! How the store reads what the receivers took.

use model::row::{Decode, RowSink, Undecoded};
use model::{Format, Signal};

use crate::receivers::remote_write;

/// The decoder of every format that a collector takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Decoder;

impl Decode for Decoder {
    fn decode(
        &self,
        format: Format,
        signal: Signal,
        request: &[u8],
        sink: &mut dyn RowSink,
    ) -> Result<(), Undecoded> {
        match format {
            Format::Otlp => otlp::decode::decode(signal, request, sink),
            Format::RemoteWrite1 | Format::RemoteWrite2 => {
                remote_write::decode(format, request, sink)
            }
        }
    }
}
