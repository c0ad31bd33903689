//! FNV-1a: the same on every machine and in every version, which the standard hashers do not
//! promise. Not for tables: who chooses what is hashed can make values equal.

/// A hash under way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fnv(u64);

impl Fnv {
    /// That of nothing.
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// With these bytes behind what it has.
    pub(crate) fn with(self, bytes: &[u8]) -> Self {
        let next =
            |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(bytes.iter().fold(self.0, next))
    }

    /// The hash.
    pub(crate) fn finish(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_published_vectors() {
        for (text, hash) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(Fnv::new().with(text.as_bytes()).finish(), hash, "{text}");
        }
        let parts = Fnv::new().with(b"foo").with(b"bar").finish();
        assert_eq!(parts, 0x8594_4171_f739_67e8);
    }
}
