//! "Did you mean": the known name that is closest to a mistyped one.

/// The known name closest to `typed`, if it is close enough to be what was meant.
pub(super) fn closest<'k>(typed: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let typed = typed.to_lowercase();
    known
        .into_iter()
        .map(|name| (distance(&typed, name), name))
        .filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3)
        .min()
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour to make one word the other.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    // Row i holds the distances of the first i letters of `from` to every beginning of `to`; three rows are enough.
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for i in 1..=from.len() {
        let mut row = vec![i];
        for j in 1..=to.len() {
            let replaced = last[j - 1] + usize::from(from[i - 1] != to[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                let swapped: usize = before_last[j - 2];
                best = best.min(swapped + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_a_typist() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("recvoery", "recovery", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!((distance(from, to), distance(to, from)), (expected, expected), "{from} {to}");
        }
    }

    #[test]
    fn only_what_is_close_is_suggested() {
        let known = ["saga_recovery", "sec_heartbeat", "recovery"];
        assert_eq!(closest("recvoery", known), Some("recovery"));
        assert_eq!(closest("saga-recovery", known), Some("saga_recovery"));
        assert_eq!(closest("SEC_hartbeat", known), Some("sec_heartbeat"));
        assert_eq!(closest("frobnicate", known), None);
        assert_eq!(closest("x", []), None);
    }
}
