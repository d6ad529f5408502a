/// Pseudo-random numbers from a seed: the same run gives the same identifiers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Numbers(u64);

impl Numbers {
    /// `stream` separates the sequences of two generators with one seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(stream).wrapping_mul(0xD134_2543_DE82_EF95))
    }

    /// The generator `SplitMix64`.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        drawn ^ (drawn >> 31)
    }

    /// An identifier in the form of AWS: `1b4e28ba-2fa1-41d2-883f-0016d3cca427`.
    pub(super) fn uuid(&mut self) -> String {
        let digits = format!("{:016x}{:016x}", self.next(), self.next());
        let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
        format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
    }

    /// A serial number: positive, and never beginning with a zero byte.
    pub(super) fn serial(&mut self) -> [u8; 16] {
        let drawn = (u128::from(self.next()) << 64) | u128::from(self.next());
        ((drawn & (u128::MAX >> 2)) | (1 << 126)).to_be_bytes()
    }
}

/// `4a:0b:…`, as ACM shows a serial number.
pub(super) fn in_pairs(serial: &[u8]) -> String {
    serial.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
