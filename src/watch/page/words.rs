//! Texts of the page: names made harmless, times, spans of time.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use crate::report::harmless;

/// A text from the database or the operator: control characters are made visible, markup is escaped.
pub(super) fn said(text: &str) -> Markup {
    html! { bdi { (harmless(text)) } }
}

/// A moment, and how long ago it is.
pub(super) fn moment(time: DateTime<Utc>, now: DateTime<Utc>) -> Markup {
    html! {
        time datetime=(time.format("%Y-%m-%dT%H:%M:%SZ")) {
            (time.format("%Y-%m-%d %H:%M:%S UTC"))
        }
        " (" (distance(now - time)) ")"
    }
}

/// How far off a moment is, in words.
fn distance(span: TimeDelta) -> String {
    if span < TimeDelta::zero() {
        format!("in {}", long(-span))
    } else {
        format!("{} ago", long(span))
    }
}

/// A span of time, as exact as anybody wants to know.
pub(super) fn long(span: TimeDelta) -> String {
    let (seconds, unit) = (span.num_seconds(), |count: i64, noun: &str| {
        format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
    });
    match seconds {
        ..120 => unit(seconds, "second"),
        120..7_200 => unit(seconds / 60, "minute"),
        7_200..172_800 => unit(seconds / 3_600, "hour"),
        _ => unit(seconds / 86_400, "day"),
    }
}

/// How long something took.
pub(super) fn took(span: TimeDelta) -> String {
    let seconds = span.as_seconds_f64();
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        long(span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_as_people_do() {
        let span = TimeDelta::seconds;
        assert_eq!(distance(span(1)), "1 second ago");
        assert_eq!(distance(span(-59)), "in 59 seconds");
        assert_eq!(distance(span(7_199)), "119 minutes ago");
        assert_eq!(distance(span(200_000)), "2 days ago");
        assert_eq!(took(TimeDelta::milliseconds(740)), "0.7 s");
    }

    #[test]
    fn a_name_is_no_markup_and_cannot_reorder_the_line() {
        let shown = said("<b>&\u{202e}\n").into_string();
        assert_eq!(shown, "<bdi>&lt;b&gt;&amp;\\u{202e}\\u{a}</bdi>");
    }
}
