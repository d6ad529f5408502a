//! Texts about dead letters.

/// A number of dead letters.
pub(super) fn count(letters: usize) -> String {
    if letters == 1 { "1 dead letter".to_owned() } else { format!("{letters} dead letters") }
}

/// The text on one line of at most 100 characters.
pub(super) fn short(text: &str) -> String {
    const LONGEST: usize = 100;
    let line: String = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
    if line.chars().count() <= LONGEST { line } else { line.chars().take(LONGEST - 1).chain(['…']).collect() }
}
