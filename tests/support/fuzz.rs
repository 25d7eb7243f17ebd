//! Fuzzing: inputs that are good, changed at random, some hundred thousand times.
//!
//! Strategies that build inputs from parts never leave the grammar that they were written from, and in a debug build cost
//! more than most parsers. What goes wrong with texts from outside is simpler: a byte is lost, a number is enormous, a part
//! is there twice, a text ends in the middle. So each case takes a good input and does a few such things to it.
//!
//! Case `n` of a test is the same in each run, so what was found once is found again. How many there are stands here, in
//! [`DEFAULT_CASES`], for all; a longer run is
//!
//! ```text
//! SAGACTL_FUZZ_CASES=10000000 cargo test --lib fuzz
//! ```

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

/// Cases of each test unless `SAGACTL_FUZZ_CASES` says otherwise.
const DEFAULT_CASES: u64 = 100_000;

/// No case makes an input longer than this, in bytes.
const LONGEST: usize = 16 * 1024;

/// Without any progress for so long a case counts as one that never ends.
const PATIENCE: Duration = Duration::from_secs(60);

/// What goes into inputs: what parsers treat specially, and what they are least prepared for.
const TOKENS: [&[u8]; 56] = [
    b"0",
    b"-1",
    b"1",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775807",
    b"-9223372036854775809",
    b"4294967295",
    b"4294967296",
    b"1e308",
    b"1e309",
    b"-0.0",
    b"1e-400",
    b"0x10",
    b"NaN",
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b",",
    b":",
    b"=",
    b"@",
    b"/",
    b"?",
    b"#",
    b"%",
    b"%00",
    b"%zz",
    b"//",
    b"://",
    b"\0",
    b"\n",
    b"\r\n",
    b"\r\n\r\n",
    b" ",
    b"\t",
    b"\x1b[2J",
    b"\x7f",
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\\ud800",
    "\u{202e}".as_bytes(),
    "\u{feff}".as_bytes(),
    "ä".as_bytes(),
    "😀".as_bytes(),
    b"9999-12-31T23:59:60.999999999Z",
    b"-262143-01-01T00:00:00Z",
];

/// Numbers that follow from one number (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    /// Any number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is above 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// One of these.
    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Checks changed inputs, each at least [`DEFAULT_CASES`] times.
///
/// # Panics
///
/// With the input, if a check panics or does not end.
pub(crate) fn fuzz(seeds: &[impl AsRef<[u8]>], check: impl Fn(&[u8], &mut Random) + Send + 'static) {
    let seeds: Vec<Vec<u8>> = seeds.iter().map(|seed| seed.as_ref().to_vec()).collect();
    let cases = match std::env::var("SAGACTL_FUZZ_CASES") {
        Ok(number) => number.parse().expect("SAGACTL_FUZZ_CASES is a number"),
        Err(_) => DEFAULT_CASES,
    };
    let current = Arc::new(AtomicU64::new(0));
    let (failed, failure) = sync_channel(1);
    let worker = {
        let (current, seeds) = (Arc::clone(&current), seeds.clone());
        std::thread::spawn(move || {
            for case in 0..cases {
                current.store(case, Ordering::Relaxed);
                let mut random = Random(case);
                let input = input(&seeds, case, &mut random);
                if catch_unwind(AssertUnwindSafe(|| check(&input, &mut random))).is_err() {
                    let _ = failed.send(case);
                    return;
                }
            }
        })
    };
    let show = |case: u64| {
        let input = input(&seeds, case, &mut Random(case));
        format!("case {case}: {:?}", String::from_utf8_lossy(&input))
    };
    let mut last = u64::MAX;
    loop {
        match failure.recv_timeout(PATIENCE) {
            Ok(case) => panic!("a check failed, see above; {}", show(case)),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                let now = current.load(Ordering::Relaxed);
                assert!(now != last, "a check does not end; {}", show(now));
                last = now;
            }
        }
    }
    worker.join().expect("checks that panic are caught");
}

/// The same for texts.
pub(crate) fn fuzz_text(seeds: &[impl AsRef<[u8]>], check: impl Fn(&str, &mut Random) + Send + 'static) {
    fuzz(seeds, move |bytes, random| check(&String::from_utf8_lossy(bytes), random));
}

/// The input of a case.
fn input(seeds: &[Vec<u8>], case: u64, random: &mut Random) -> Vec<u8> {
    // The good ones first, as they are: a test whose seeds are no good tests little.
    if let Some(seed) = usize::try_from(case).ok().and_then(|case| seeds.get(case)) {
        return seed.clone();
    }
    let mut bytes = random.one_of(seeds).clone();
    for _ in 0..=random.below(4) {
        change(&mut bytes, seeds, random);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let length = bytes.len();
    let at = random.below(length + 1);
    let to = at + random.below((length - at).min(64) + 1);
    match random.below(10) {
        // A bit, a byte, or a few bytes become others.
        0 if at < length => bytes[at] ^= 1 << random.below(8),
        1 if at < length => bytes[at] = random.next() as u8,
        2 | 3 => {
            bytes.splice(at..to.min(at + 4), random.one_of(&TOKENS).iter().copied());
        }
        // A number becomes another, and what stands around it stays as it is.
        4 | 5 => {
            if let Some(from) = bytes[at..].iter().position(u8::is_ascii_digit).map(|found| at + found) {
                let digits = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                bytes.splice(from..from + digits, random.one_of(&TOKENS[..14]).iter().copied());
            }
        }
        // A part goes, comes twice or many times, or changes places with what follows.
        6 => drop(bytes.drain(at..to)),
        7 => {
            let most = if random.below(16) == 0 { 200 } else { 2 };
            let part = bytes[at..to].repeat(1 + random.below(most));
            bytes.splice(at..at, part);
        }
        8 => {
            let other = random.one_of(seeds);
            let from = random.below(other.len() + 1);
            let end = from + random.below((other.len() - from).min(64) + 1);
            bytes.splice(at..to, other[from..end].iter().copied());
        }
        // It ends in the middle.
        _ if random.below(4) == 0 => bytes.truncate(at),
        _ => bytes[at..].rotate_left((to - at).min(length - at)),
    }
}

#[test]
fn fuzzed_inputs_are_the_same_each_time_and_mostly_differ() {
    let seeds = [b"{\"iteration\":7,\"name\":\"a\"}".to_vec(), b"[1,2,3]".to_vec()];
    let made: Vec<Vec<u8>> = (0..1000).map(|case| input(&seeds, case, &mut Random(case))).collect();
    let again: Vec<Vec<u8>> = (0..1000).map(|case| input(&seeds, case, &mut Random(case))).collect();
    assert_eq!(made, again);
    assert_eq!(made[..2], seeds);
    let different: std::collections::BTreeSet<_> = made.iter().collect();
    assert!(different.len() > 800, "{}", different.len());
    let readable =
        made.iter().filter(|made| serde_json::from_slice::<serde_json::Value>(made).is_ok()).count();
    assert!((100..900).contains(&readable), "some still can be read and some cannot: {readable}");
}
