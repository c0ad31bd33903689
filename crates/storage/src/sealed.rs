//! Small files of text that end with a line with their own checksum: `#crc32c ` and the CRC-32C of
//! all that precedes it in eight hex digits.

/// Begins the last line.
const MARK: &[u8] = b"#crc32c ";
/// Bytes of the last line.
const LINE_BYTES: usize = MARK.len() + 9;

/// The content does not have the checksum that it ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its content does not have the checksum that it ends with")]
pub(crate) struct Broken;

/// Ends the content with its checksum.
pub(crate) fn seal(mut content: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c(&content);
    content.extend_from_slice(MARK);
    content.extend_from_slice(format!("{checksum:08x}\n").as_bytes());
    content
}

/// The same with spaces between the two, so that the whole has a multiple of `bytes`.
pub(crate) fn seal_padded(mut content: Vec<u8>, bytes: usize) -> Vec<u8> {
    let length = (content.len() + LINE_BYTES).next_multiple_of(bytes);
    content.resize(length - LINE_BYTES, b' ');
    seal(content)
}

/// What was sealed; nothing where there is no such line.
pub(crate) fn unseal(bytes: &[u8]) -> Result<Option<&[u8]>, Broken> {
    let Some(end) = bytes.len().checked_sub(LINE_BYTES) else {
        return Ok(None);
    };
    let (content, line) = bytes.split_at(end);
    if !line.starts_with(MARK) {
        return Ok(None);
    }
    let expected = format!("{:08x}\n", crc32c::crc32c(content));
    if line[MARK.len()..] != *expected.as_bytes() {
        return Err(Broken);
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_comes_back_and_nothing_else() {
        for content in [&b""[..], b"{}", b"#crc32c 00000000\n"] {
            let sealed = seal(content.to_vec());
            assert_eq!(unseal(&sealed), Ok(Some(content)));
            for at in 0..sealed.len() {
                let mut damaged = sealed.clone();
                damaged[at] ^= 1 << (at % 8);
                assert!(matches!(unseal(&damaged), Err(Broken) | Ok(None)), "{at}");
            }
        }
        let padded = seal_padded(b"{}".to_vec(), 512);
        assert_eq!(padded.len(), 512);
        assert_eq!(unseal(&padded).unwrap().unwrap().trim_ascii_end(), b"{}");
        assert_eq!(unseal(b"{}"), Ok(None));
    }
}
