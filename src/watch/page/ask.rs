//! What is asked of the page: words to search for, a rule, a page of the list.

use serde::Deserialize;

use crate::evaluate::Violation;
use crate::report::{place_of, subject_words};

/// A longer search is cut off.
const LONGEST: usize = 200;

/// The query of the page's address. Every part may lack.
#[derive(Clone, Debug, Default, Deserialize)]
pub(in crate::watch) struct Ask {
    /// Words, all of which a violation must have, in capitals or not.
    #[serde(default)]
    pub(super) q: String,
    /// A rule's id.
    #[serde(default)]
    pub(super) rule: String,
    /// Which page of the list, from 1. A text, since nobody is to be told off for another.
    #[serde(default)]
    pub(super) page: String,
}

impl Ask {
    /// The words, as they are compared.
    pub(super) fn words(&self) -> Vec<String> {
        let text: String = self.q.chars().take(LONGEST).collect();
        text.split_whitespace().map(str::to_lowercase).collect()
    }

    /// The page, from 0.
    pub(super) fn page(&self) -> usize {
        self.page.parse::<usize>().unwrap_or(1).saturating_sub(1)
    }

    /// Whether anything is searched for.
    pub(super) fn narrows(&self) -> bool {
        !self.rule.is_empty() || !self.words().is_empty()
    }

    /// Whether a violation is among what is asked for.
    pub(super) fn wants(&self, words: &[String], violation: &Violation) -> bool {
        if !self.rule.is_empty() && violation.rule.0 != self.rule {
            return false;
        }
        if words.is_empty() {
            return true;
        }
        let (namespace, repository) = violation.subject.place();
        let text = format!(
            "{} {} {} {} {}",
            violation.rule.0,
            violation.severity,
            place_of(namespace, repository),
            crate::report::harmless(&subject_words(&violation.subject)),
            violation.message
        )
        .to_lowercase();
        words.iter().all(|word| text.contains(word))
    }

    /// The address of another page of the same list.
    pub(super) fn address(&self, page: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in [("q", &self.q), ("rule", &self.rule)] {
            if !value.is_empty() {
                query.append_pair(name, value);
            }
        }
        if page > 0 {
            query.append_pair("page", &(page + 1).to_string());
        }
        format!("/?{}#violations", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_what_was_asked_for_and_an_odd_page_is_the_first() {
        let ask = Ask {
            q: "a&b <c>".to_owned(),
            rule: String::new(),
            page: "-7".to_owned(),
        };
        assert_eq!(ask.page(), 0);
        assert_eq!(ask.address(2), "/?q=a%26b+%3Cc%3E&page=3#violations");
        assert_eq!(ask.words(), ["a&b", "<c>"]);
    }
}
