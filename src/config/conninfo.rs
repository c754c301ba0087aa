//! Connection strings of keywords and values, `host=db1 dbname=quay`, as libpq reads them.

use std::iter::Peekable;
use std::str::Chars;

/// The words of a connection string.
///
/// # Errors
/// What is wrong, without any part of the text.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut rest = text.chars().peekable();
    let mut words = Vec::new();
    loop {
        skip_blanks(&mut rest);
        if rest.peek().is_none() {
            return Ok(words);
        }
        let name = take_name(&mut rest)?;
        skip_blanks(&mut rest);
        let value = if rest.next_if_eq(&'\'').is_some() {
            take_quoted(&mut rest)?
        } else {
            take_bare(&mut rest)
        };
        if name.contains('\0') || value.contains('\0') {
            return Err("it contains a zero byte".into());
        }
        words.push((name, value));
    }
}

/// The blanks of C's `isspace`.
fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| is_blank(*c)).is_some() {}
}

fn take_name(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut name = String::new();
    while let Some(c) = rest.next_if(|c| *c != '=' && !is_blank(*c)) {
        name.push(c);
    }
    skip_blanks(rest);
    match rest.next_if_eq(&'=') {
        Some(_) => Ok(name),
        None => Err("a keyword has no =; a value with blanks in it needs quotes".into()),
    }
}

fn take_quoted(rest: &mut Peekable<Chars<'_>>) -> Result<String, String> {
    let mut value = String::new();
    loop {
        match rest.next() {
            Some('\'') => return Ok(value),
            Some('\\') => value.extend(rest.next()),
            Some(c) => value.push(c),
            None => return Err("a quoted value has no closing quote".into()),
        }
    }
}

fn take_bare(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut value = String::new();
    while let Some(c) = rest.next_if(|c| !is_blank(*c)) {
        match c {
            '\\' => value.extend(rest.next()),
            c => value.push(c),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_blanks_and_backslashes_are_read_as_in_libpq() {
        let cases = [
            ("", ""),
            ("host=localhost port=5432", "host:localhost port:5432"),
            (
                "  host = localhost\n port\t=5432 ",
                "host:localhost port:5432",
            ),
            (r"password='it\'s' user=a\ b", "password:it's user:a b"),
            ("dbname='' user=u", "dbname: user:u"),
            (r"dbname=a\", "dbname:a"),
            // An empty bare value swallows the blanks and takes the next word, in libpq too.
            ("dbname= user=u", "dbname:user=u"),
        ];
        for (text, meant) in cases {
            let read: Vec<_> = parse(text)
                .unwrap_or_else(|why| panic!("{text}: {why}"))
                .into_iter()
                .map(|(name, value)| format!("{name}:{value}"))
                .collect();
            assert_eq!(read.join(" "), meant, "{text}");
        }
    }

    #[test]
    fn a_malformed_string_is_refused_without_repeating_it() {
        for text in ["hunter2", "password=a hunter2", "password='hunter2"] {
            let why = parse(text).expect_err(text);
            assert!(!why.contains("hunter"), "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[ ='\\\\\\PC]{0,40}|.{0,40}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_quoted_value_is_given_back(values in prop::collection::vec("[^\0]{0,20}", 0..5)) {
            let text: String = values
                .iter()
                .map(|v| format!("k = '{}' ", v.replace('\\', r"\\").replace('\'', r"\'")))
                .collect();
            let read = parse(&text).map(|words| words.into_iter().map(|(_, v)| v).collect::<Vec<_>>());
            prop_assert_eq!(read, Ok(values));
        }
    }
}
