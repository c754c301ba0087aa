//! Text from the database, made harmless for each format: control characters, markup, formulas.

use super::harmless;

/// For HTML and XML, in text and in attributes. XML has no way at all to write some characters;
/// they are written out as escapes, like control characters.
pub(super) fn markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push_str("\\u{ffff}"),
            c => out.push(c),
        }
    }
    out
}

/// For Markdown, within a line or a table's cell: no emphasis, link, mention, HTML or new cell.
pub(super) fn markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in plain(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            // Backslashes do not keep a hosting service from seeing a mention or a link in these.
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '|' | '~' | '!' | '$' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    // What a renderer makes a link of although nothing marks it as one.
    out.replace("://", "&#58;//").replace("www.", "www&#46;")
}

/// Harmless, and no formula to a spreadsheet into which the report is copied.
fn plain(text: &str) -> String {
    let text = harmless(text);
    if text.starts_with(['=', '+', '-', '@']) {
        format!("'{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_formulas_and_control_characters_are_harmless_everywhere() {
        let name = "=cmd|' /C'!A0\u{1b}[1m<script>&\"@org [x](http://y) www.z\n\u{ffff}";
        let html = markup(name);
        assert!(
            !html.contains(['<', '>', '"', '\'', '\u{1b}', '\n', '\u{ffff}']),
            "{html}"
        );
        assert!(html.starts_with("&#39;=cmd"), "{html}");
        let markdown = markdown(name);
        for piece in ["<script", "@org", "[x](", "http://", "www.", "\n", "\u{1b}"] {
            assert!(!markdown.contains(piece), "{piece}: {markdown}");
        }
        assert!(markdown.starts_with("'=cmd\\|"), "{markdown}");
    }

    #[test]
    fn an_ordinary_name_stays_as_it_is() {
        assert_eq!(markup("v1.2.3-rc.1"), "v1.2.3-rc.1");
        assert_eq!(markdown("v1.2.3"), "v1.2.3");
    }
}
