//! Name templates: `v{major}.{minor}.{patch}`, `pr-{n}`, `build-{hex}`.

use std::fmt::Write;

use super::random;
use super::raw::closest;

/// What a template may hold besides plain text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Major,
    Minor,
    Patch,
    Number,
    Hex,
}

const PARTS: [(&str, Part); 5] = [
    ("major", Part::Major),
    ("minor", Part::Minor),
    ("patch", Part::Patch),
    ("n", Part::Number),
    ("hex", Part::Hex),
];

/// A name with holes. The names of one template differ from each other as soon as it has a hole.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Plain text, and the hole after it.
    pieces: Vec<(String, Option<Part>)>,
}

impl Template {
    /// Reads a template; the complaint names the wrong hole.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((plain, after)) = rest.split_once('{') {
            let (hole, after) = after
                .split_once('}')
                .ok_or_else(|| format!("`{text}` has a {{ without a }}"))?;
            let part = PARTS.iter().find(|(name, _)| *name == hole);
            let Some((_, part)) = part else {
                return Err(unknown(hole));
            };
            pieces.push((plain.to_owned(), Some(*part)));
            rest = after;
        }
        pieces.push((rest.to_owned(), None));
        Ok(Self { pieces })
    }

    /// Whether all names of the template are the same.
    pub(super) fn is_constant(&self) -> bool {
        self.pieces.iter().all(|(_, part)| part.is_none())
    }

    /// The name of a given number, from 0.
    pub(super) fn name(&self, seed: u64, number: u32) -> String {
        let mut name = String::with_capacity(24);
        for (plain, part) in &self.pieces {
            name.push_str(plain);
            // Writing to a String cannot fail.
            let _ = match part {
                None => Ok(()),
                Some(Part::Number) => write!(name, "{}", u64::from(number) + 1),
                Some(Part::Hex) => write!(name, "{:016x}", random::mix(seed, u64::from(number))),
                Some(version) => write!(name, "{}", self.digit(*version, number)),
            };
        }
        name
    }

    /// A part of a version number: the parts present count like digits, the last one fastest.
    fn digit(&self, part: Part, number: u32) -> u32 {
        let place = [Part::Patch, Part::Minor, Part::Major]
            .into_iter()
            .filter(|other| self.has(*other))
            .take_while(|other| *other != part)
            .count();
        let above = number / 10_u32.pow(u32::try_from(place).unwrap_or(0));
        let is_first = !self.pieces.iter().any(|(_, other)| match part {
            Part::Patch => matches!(other, Some(Part::Minor | Part::Major)),
            Part::Minor => matches!(other, Some(Part::Major)),
            _ => false,
        });
        if is_first { above + 1 } else { above % 10 }
    }

    fn has(&self, part: Part) -> bool {
        self.pieces.iter().any(|(_, other)| *other == Some(part))
    }
}

fn unknown(hole: &str) -> String {
    let names = PARTS.iter().map(|(name, _)| *name);
    match closest(hole, names) {
        Some(meant) => format!("there is no {{{hole}}}; did you mean {{{meant}}}?"),
        None => {
            format!("there is no {{{hole}}}; there are {{major}} {{minor}} {{patch}} {{n}} {{hex}}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn template(text: &str) -> Template {
        Template::parse(text).expect("a template")
    }

    #[test]
    fn version_numbers_count_like_digits() {
        let version = template("v{major}.{minor}.{patch}");
        let names: Vec<_> = [0, 9, 10, 99, 100, 12_345]
            .iter()
            .map(|number| version.name(0, *number))
            .collect();
        assert_eq!(
            names,
            ["v1.0.0", "v1.0.9", "v1.1.0", "v1.9.9", "v2.0.0", "v124.4.5"]
        );
        assert_eq!(template("{major}.{minor}").name(0, 21), "3.1");
    }

    #[test]
    fn a_template_with_a_hole_never_gives_a_name_twice() {
        for text in [
            "{patch}",
            "{minor}-{patch}",
            "{major}",
            "x{n}",
            "{hex}",
            "{n}{major}",
        ] {
            let template = template(text);
            let names: HashSet<_> = (0..5_000).map(|number| template.name(7, number)).collect();
            assert_eq!(names.len(), 5_000, "{text}");
        }
    }

    #[test]
    fn a_wrong_hole_is_named_with_a_suggestion() {
        let complaint = Template::parse("v{majr}").expect_err("no such hole");
        assert!(
            complaint.contains("{majr}") && complaint.contains("{major}"),
            "{complaint}"
        );
        assert!(Template::parse("v{major").is_err());
    }
}
