//! What the TOML reader complains of: the line, and the name that was probably meant.

/// The name nearest to what was typed, where one is near.
pub fn nearest<'n>(typed: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    names
        .map(|name| (distance(typed, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.chars().count() / 3)
        .map(|(_, name)| name)
}

/// From the TOML reader's complaint about a wrong name and the right ones, which one was meant:
/// "unknown field `mesage`, expected one of `id`, `message`".
pub fn meant_by(complaint: &str) -> Option<String> {
    let mut names = complaint.split('`').skip(1).step_by(2);
    let typed = names.next().filter(|_| complaint.starts_with("unknown"))?;
    nearest(typed, names).map(|name| format!("did you mean `{name}`?"))
}

/// The line, from 1, that a complaint of the TOML reader points at. It prints "TOML parse error at
/// line L, column C".
pub fn line_of(error: &toml::de::Error) -> usize {
    let rendered = error.to_string();
    let number = rendered.split("line ").nth(1);
    let number = number.and_then(|rest| rest.split(',').next());
    number.and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// The number of single-character edits between two names (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (row, l) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, r) in right.iter().enumerate() {
            let replaced = previous[column] + usize::from(l != *r);
            current.push(
                replaced
                    .min(previous[column + 1] + 1)
                    .min(current[column] + 1),
            );
        }
        previous = current;
    }
    previous.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_proposed_and_a_far_one_is_not() {
        let names = || ["message", "condition"].into_iter();
        assert_eq!(nearest("mesage", names()), Some("message"));
        assert_eq!(nearest("remedy", names()), None);
        assert_eq!(
            meant_by("unknown variant `lve`, expected one of `live`, `dead`").as_deref(),
            Some("did you mean `live`?")
        );
        assert_eq!(meant_by("invalid type: `a`, expected `b`"), None);
    }
}
