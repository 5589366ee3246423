//! "Did you mean": the closest of a few known words (edit distance of Damerau and Levenshtein, adjacent swaps counted once).
//!
//! Bounded in the length of words and in their number, since words come from files. Never guesses far: at most a third of
//! the word may differ, unless it is how a candidate begins.

/// Longer words get no suggestion; the distance costs the product of two lengths.
const MAX_WORD_CHARS: usize = 64;
/// Candidates looked at.
const MAX_CANDIDATES: usize = 2000;
/// A word of this length suggests what begins with it, however long.
const MIN_PREFIX_CHARS: usize = 3;

/// The candidate nearest to `word`, if any is near.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = fold(word)?;
    let limit = (word.len() / 3).clamp(1, 4);
    candidates
        .into_iter()
        .take(MAX_CANDIDATES)
        .filter_map(|candidate| Some((fold(candidate)?, candidate)))
        .map(|(folded, candidate)| (distance(&word, &folded), folded.starts_with(&word), candidate))
        .filter(|(distance, begins, _)| *distance <= limit || (*begins && word.len() >= MIN_PREFIX_CHARS))
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate)
}

/// Case and the choice between `-` and `_` are no difference worth counting.
fn fold(word: &str) -> Option<Vec<char>> {
    let folded: Vec<char> = word.chars().take(MAX_WORD_CHARS + 1).map(fold_char).collect();
    (1..=MAX_WORD_CHARS).contains(&folded.len()).then_some(folded)
}

fn fold_char(c: char) -> char {
    if c == '-' { '_' } else { c.to_ascii_lowercase() }
}

/// Insertions, deletions, substitutions and adjacent swaps that turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let substituted = last[j] + usize::from(a[i] != b[j]);
            row[j + 1] = substituted.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let keys = ["interval", "timeout", "retries", "port"];
        assert_eq!(closest("intreval", keys), Some("interval"));
        assert_eq!(closest("Time-out", keys), Some("timeout"));
        assert_eq!(closest("prot", keys), Some("port"));
        assert_eq!(closest("int", keys), Some("interval"));
        assert_eq!(closest("weight", keys), None);
        assert_eq!(closest("", keys), None);
        assert_eq!(closest(&"interval".repeat(100), keys), None);
    }

    #[test]
    fn distance_counts_a_swap_once() {
        let chars = |s: &str| s.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("abcd"), &chars("abdc")), 1);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
    }
}
