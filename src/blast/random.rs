//! Randomness that a seed decides. Nothing here needs to be hard to guess; it needs to be the same again.

/// Makes 64 bits of a number such that neighbouring numbers have nothing in common (the finaliser of SplitMix64).
pub(super) fn mix(seed: u64) -> u64 {
    let mut bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A stream of numbers from 0 to 1.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: u64,
}

impl Random {
    /// The stream that belongs to a worker of a run; without a seed, some stream.
    pub(super) fn of_worker(seed: Option<u64>, worker: u32) -> Self {
        let seed = seed.unwrap_or_else(rand::random);
        Self { state: mix(seed ^ mix(u64::from(worker))) }
    }

    /// The next number, at least 0 and below 1.
    pub(super) fn fraction(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        // The 53 bits that a float can hold exactly.
        (mix(self.state) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_workers_differ() {
        let take = |seed, worker| {
            let mut random = Random::of_worker(Some(seed), worker);
            [random.fraction(), random.fraction(), random.fraction()]
        };
        assert_eq!(take(1, 0), take(1, 0));
        assert_ne!(take(1, 0), take(1, 1));
        assert_ne!(take(1, 0), take(2, 0));
        assert!(take(3, 4).iter().all(|fraction| (0.0..1.0).contains(fraction)));
    }
}
