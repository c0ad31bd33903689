//! Decompression that stops at a limit while it runs, so that a small body cannot become a large
//! one in memory.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, InBuffer, Operation, OutBuffer};

/// The largest zstd window accepted, as a power of two: 16 MiB, what level 19 needs twice over.
/// The window is allocated before the first byte comes out, so it must not be the sender's choice.
const ZSTD_WINDOW_LOG_MAX: u32 = 24;
/// Room is made at once for no more than this, whatever is said to come.
const EXPECTED_MAX: usize = 1 << 20;
/// How much zstd may write at a time.
const STEP: usize = 64 * 1024;
/// About what a decompressor takes before anything comes out.
const GZIP_STATE: usize = 48 << 10;
const ZSTD_STATE: usize = 256 << 10;

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Not at all.
    Identity,
    /// gzip.
    Gzip,
    /// zstd.
    Zstd,
}

impl Encoding {
    /// The encoding of this name in `Content-Encoding` or `grpc-encoding`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Some(Encoding::Identity),
            "gzip" | "x-gzip" => Some(Encoding::Gzip),
            "zstd" => Some(Encoding::Zstd),
            _ => None,
        }
    }

    /// The name in headers.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Identity => "identity",
            Encoding::Gzip => "gzip",
            Encoding::Zstd => "zstd",
        }
    }
}

/// Why bytes did not inflate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InflateError {
    /// More than the limit came out.
    #[error("more than {0} bytes after decompression")]
    TooLarge(usize),
    /// The bytes are not of the encoding, or end too early.
    #[error("body is not valid {encoding}: {reason}")]
    Corrupt {
        /// The encoding's name.
        encoding: &'static str,
        /// What the decompressor says.
        reason: String,
    },
}

/// Inflates chunks as they come.
pub struct Inflate {
    limit: usize,
    state: State,
}

enum State {
    /// No byte came yet: a decompressor takes memory, and whoever sends nothing is to have none.
    Waiting(Encoding),
    Identity(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Limited>>),
    Zstd {
        decoder: ZstdDecoder<'static>,
        out: Vec<u8>,
        in_frame: bool,
    },
}

/// A vector that refuses to grow past its limit.
struct Limited {
    out: Vec<u8>,
    limit: usize,
    full: bool,
}

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.out.len() + bytes.len() > self.limit {
            self.full = true;
            return Err(std::io::Error::other("limit reached"));
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Inflate {
    /// A decompressor that yields at most `limit` bytes.
    pub fn new(encoding: Encoding, limit: usize) -> Self {
        let state = match encoding {
            Encoding::Identity => State::Identity(Vec::new()),
            Encoding::Gzip | Encoding::Zstd => State::Waiting(encoding),
        };
        Self { limit, state }
    }

    /// Makes room at once for so many bytes, which are said to come, where they are not compressed: a
    /// buffer that grows is moved several times. Memory that nothing was written to yet is not there.
    pub fn expect(&mut self, bytes: usize) {
        if let State::Identity(out) = &mut self.state {
            out.reserve_exact(bytes.min(self.limit).min(EXPECTED_MAX));
        }
    }

    /// Takes the next chunk.
    pub fn push(&mut self, chunk: &[u8]) -> Result<(), InflateError> {
        let limit = self.limit;
        if chunk.is_empty() {
            return Ok(());
        }
        if let State::Waiting(encoding) = self.state {
            self.state = State::begin(encoding, limit)?;
        }
        match &mut self.state {
            State::Waiting(_) => Ok(()),
            State::Identity(out) => {
                if out.len() + chunk.len() > limit {
                    return Err(InflateError::TooLarge(limit));
                }
                out.extend_from_slice(chunk);
                Ok(())
            }
            State::Gzip(decoder) => {
                let result = decoder.write_all(chunk);
                result.map_err(|error| gzip_error(decoder.get_ref(), &error))
            }
            State::Zstd {
                decoder,
                out,
                in_frame,
            } => push_zstd(decoder, out, in_frame, chunk, limit),
        }
    }

    /// How many bytes of memory it takes by now: what is out, and what the decompressor has beside it.
    pub fn memory(&self) -> usize {
        match &self.state {
            State::Waiting(_) => 0,
            State::Identity(out) => out.len(),
            State::Gzip(decoder) => GZIP_STATE + decoder.get_ref().out.len(),
            // What came out last is in the window once more.
            State::Zstd { out, .. } => {
                ZSTD_STATE + out.len() + out.len().min(1 << ZSTD_WINDOW_LOG_MAX)
            }
        }
    }

    /// All bytes, once the last chunk is in.
    pub fn finish(self) -> Result<Vec<u8>, InflateError> {
        match self.state {
            State::Identity(out) => Ok(out),
            // No bytes at all are an empty body in every encoding: senders that compress what there
            // is send them for an empty request.
            State::Waiting(_) => Ok(Vec::new()),
            State::Gzip(mut decoder) => {
                let result = decoder.try_finish();
                result.map_err(|error| gzip_error(decoder.get_ref(), &error))?;
                Ok(std::mem::take(&mut decoder.get_mut().out))
            }
            State::Zstd { in_frame: true, .. } => Err(InflateError::Corrupt {
                encoding: "zstd",
                reason: "it ends inside a frame".to_owned(),
            }),
            State::Zstd { out, .. } => Ok(out),
        }
    }
}

impl State {
    fn begin(encoding: Encoding, limit: usize) -> Result<Self, InflateError> {
        Ok(match encoding {
            Encoding::Identity => State::Identity(Vec::new()),
            Encoding::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(Limited {
                out: Vec::new(),
                limit,
                full: false,
            }))),
            Encoding::Zstd => {
                let mut decoder = ZstdDecoder::new().map_err(zstd_error)?;
                decoder
                    .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
                    .map_err(zstd_error)?;
                State::Zstd {
                    decoder,
                    out: Vec::new(),
                    in_frame: false,
                }
            }
        })
    }
}

fn push_zstd(
    decoder: &mut ZstdDecoder<'static>,
    out: &mut Vec<u8>,
    in_frame: &mut bool,
    chunk: &[u8],
    limit: usize,
) -> Result<(), InflateError> {
    let mut input = InBuffer::around(chunk);
    let mut more = false;
    while input.pos() < chunk.len() || more {
        let start = out.len();
        // One byte over the limit tells a full body from one that is too large.
        let step = STEP.min((limit + 1).saturating_sub(start)).max(1);
        out.resize(start + step, 0);
        let mut output = OutBuffer::around(&mut out[start..]);
        let hint = decoder.run(&mut input, &mut output).map_err(zstd_error)?;
        let written = output.pos();
        out.truncate(start + written);
        if out.len() > limit {
            return Err(InflateError::TooLarge(limit));
        }
        *in_frame = hint != 0;
        more = written == step && *in_frame;
        if written == 0 && input.pos() >= chunk.len() {
            break;
        }
    }
    Ok(())
}

fn gzip_error(out: &Limited, error: &std::io::Error) -> InflateError {
    if out.full {
        return InflateError::TooLarge(out.limit);
    }
    InflateError::Corrupt {
        encoding: "gzip",
        reason: error.to_string(),
    }
}

#[allow(clippy::needless_pass_by_value)]
fn zstd_error(error: std::io::Error) -> InflateError {
    InflateError::Corrupt {
        encoding: "zstd",
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(
        encoding: Encoding,
        limit: usize,
        bytes: &[u8],
        step: usize,
    ) -> Result<Vec<u8>, InflateError> {
        let mut inflate = Inflate::new(encoding, limit);
        for chunk in bytes.chunks(step) {
            inflate.push(chunk)?;
        }
        inflate.finish()
    }

    #[test]
    fn whole_cut_and_oversized_bodies() {
        let plain: Vec<u8> = (0..300_000u32)
            .flat_map(|n| (n / 7).to_le_bytes())
            .collect();
        let encodings = [
            (Encoding::Identity, plain.clone()),
            (Encoding::Gzip, gzip(&plain)),
            (Encoding::Zstd, zstd::encode_all(&plain[..], 3).unwrap()),
        ];
        for (encoding, bytes) in encodings {
            for step in [997, bytes.len()] {
                assert_eq!(inflate(encoding, plain.len(), &bytes, step).unwrap(), plain);
                let over = inflate(encoding, plain.len() - 1, &bytes, step).unwrap_err();
                assert_eq!(over, InflateError::TooLarge(plain.len() - 1));
            }
            if encoding != Encoding::Identity {
                let cut = inflate(encoding, plain.len(), &bytes[..bytes.len() / 2], 4096);
                assert!(
                    matches!(cut, Err(InflateError::Corrupt { .. })),
                    "{encoding:?} {cut:?}"
                );
                let wrong = inflate(encoding, 100, b"no compression at all", 4096);
                assert!(
                    matches!(wrong, Err(InflateError::Corrupt { .. })),
                    "{encoding:?}"
                );
            }
            assert_eq!(inflate(encoding, 100, &[], 1).unwrap(), b"");
        }
    }

    #[test]
    fn bombs_stop_at_the_limit() {
        let zeros = vec![0u8; 64 << 20];
        for (encoding, bytes) in [
            (Encoding::Gzip, gzip(&zeros)),
            (Encoding::Zstd, zstd::encode_all(&zeros[..], 1).unwrap()),
        ] {
            let mut inflate = Inflate::new(encoding, 1 << 20);
            assert_eq!(inflate.push(&bytes), Err(InflateError::TooLarge(1 << 20)));
            assert!(inflate.memory() <= (2 << 20) + ZSTD_STATE + 2);
        }
    }

    #[test]
    fn decompressors_take_memory_once_there_is_something_to_do() {
        for (encoding, least) in [(Encoding::Gzip, GZIP_STATE), (Encoding::Zstd, ZSTD_STATE)] {
            let mut inflate = Inflate::new(encoding, 1 << 20);
            inflate.push(&[]).unwrap();
            assert_eq!(inflate.memory(), 0, "{encoding:?}");
            let first = match encoding {
                Encoding::Zstd => zstd::encode_all(&b"x"[..], 1).unwrap(),
                _ => gzip(b"x"),
            };
            inflate.push(&first[..1]).unwrap();
            assert_eq!(inflate.memory(), least, "{encoding:?}");
        }
    }
}
