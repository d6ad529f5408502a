//! The similarity of two names.

/// The number of letters to insert, delete or replace that makes one text of the other.
#[must_use]
pub fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.chars().enumerate() {
        let mut diagonal = index;
        let mut left = index + 1;
        let mut next = vec![left];
        for (letter_of_other, above) in other.iter().zip(row.iter().skip(1)) {
            let replaced = diagonal + usize::from(letter != *letter_of_other);
            left = replaced.min(above + 1).min(left + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::distance;

    #[test]
    fn distance_counts_edits() {
        for (one, other, expected) in [("", "ab", 2), ("kitten", "sitting", 3), ("a", "a", 0), ("ab", "ba", 2)] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }
}
