//! Numbers that look random and are the same on every machine and in every version.

/// The `index`-th number of the sequence that belongs to `seed` (Steele, Lea and Flood's
/// SplitMix64). For one seed, different indexes always give different numbers.
pub(super) fn mix(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A seed for one purpose, so that two sequences of a world do not run alike.
pub(super) fn fork(seed: u64, purpose: &str) -> u64 {
    purpose
        .bytes()
        .fold(seed, |seed, byte| mix(seed, u64::from(byte)))
}

/// A random (version 4) UUID.
pub(super) fn uuid(seed: u64, index: u64) -> String {
    let (high, low) = (mix(seed, index), mix(!seed, index));
    let bytes = (u128::from(high) << 64) | u128::from(low);
    uuid::Builder::from_random_bytes(bytes.to_be_bytes())
        .into_uuid()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64s() {
        // The reference implementation's first numbers for the seed 1234567.
        let numbers = [0, 1, 2].map(|index| mix(1_234_567, index));
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(numbers, expected);
    }
}
