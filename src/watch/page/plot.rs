//! The trend of the last scans as a drawing, and the same as a table.

use maud::{Markup, html};

use crate::report::{plural, thousands};
use crate::watch::trend::Point;

/// The drawing, in its own units.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 220.0;
/// Room for the numbers on the left, and for the rest around.
const LEFT: f64 = 72.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 34.0;
/// How many scans the table has.
const ROWS: usize = 20;

/// Where points lie on the drawing.
struct Scale {
    first: i64,
    span: f64,
    most: f64,
}

impl Scale {
    fn of(points: &[Point]) -> Self {
        let time =
            |point: Option<&Point>| point.map_or(0, |point| point.finished.timestamp_millis());
        let first = time(points.first());
        let most = points
            .iter()
            .map(|point| point.violations)
            .max()
            .unwrap_or(0);
        Self {
            first,
            span: ((time(points.last()) - first) as f64).max(1.0),
            most: round_up(most) as f64,
        }
    }

    fn place(&self, point: &Point) -> (f64, f64) {
        let since = (point.finished.timestamp_millis() - self.first) as f64;
        let x = LEFT + since / self.span * (WIDTH - LEFT - RIGHT);
        (x, self.height(point.violations as f64))
    }

    fn height(&self, violations: f64) -> f64 {
        HEIGHT - BOTTOM - violations / self.most * (HEIGHT - TOP - BOTTOM)
    }
}

/// The next round number at which an axis can end, and that has a whole half.
fn round_up(most: u64) -> u64 {
    let mut unit = 1u64;
    loop {
        for step in [2, 3, 4, 6, 8, 10] {
            let end = unit.saturating_mul(step);
            if end >= most && (end.is_multiple_of(2) || end == u64::MAX) {
                return end;
            }
        }
        unit = unit.saturating_mul(10);
    }
}

pub(super) fn trend(points: &[Point]) -> Markup {
    html! {
        section id="trend" aria-labelledby="trend-title" {
            h2 id="trend-title" { "Trend" }
            @if points.len() < 2 {
                p { "A trend needs two scans; there " (if points.is_empty() { "is none" } else { "is one" }) " yet." }
            } @else {
                (drawing(points))
            }
            @if !points.is_empty() { (table(points)) }
        }
    }
}

fn drawing(points: &[Point]) -> Markup {
    let scale = Scale::of(points);
    let (mut line, mut marks) = (String::new(), Vec::new());
    for point in points {
        let (x, y) = scale.place(point);
        if !point.complete {
            marks.push((x, y));
            continue;
        }
        let verb = if line.is_empty() { 'M' } else { 'L' };
        line.push_str(&format!("{verb}{x:.1} {y:.1}"));
    }
    let ends = [points.first(), points.last()].map(|point| {
        point.map_or(String::new(), |point| {
            point.finished.format("%Y-%m-%d %H:%M:%S UTC").to_string()
        })
    });
    html! {
        figure {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-labelledby="plot-title plot-text" {
                title id="plot-title" { "Violations of the last scans" }
                desc id="plot-text" { (spoken(points)) }
                @for share in [0.0, 0.5, 1.0] {
                    @let y = scale.height(scale.most * share);
                    line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(y) y2=(y) {}
                    text.axis x=(LEFT - 8.0) y=(y + 4.0) text-anchor="end" { (thousands((scale.most * share) as u64)) }
                }
                path.curve d=(line) {}
                @for point in points.iter().filter(|point| point.complete) {
                    @let (x, y) = scale.place(point);
                    circle.dot cx={ (format!("{x:.1}")) } cy={ (format!("{y:.1}")) } r="2.5" {}
                }
                @for (x, y) in &marks {
                    text.cut x=(format!("{x:.1}")) y=(format!("{:.1}", y + 5.0)) text-anchor="middle" { "×" }
                }
                text.axis x=(LEFT) y=(HEIGHT - 10.0) { (ends[0]) }
                text.axis x=(WIDTH - RIGHT) y=(HEIGHT - 10.0) text-anchor="end" { (ends[1]) }
            }
            figcaption {
                "Violations, scan by scan"
                @if !marks.is_empty() { "; × is a scan that was cut short" }
                "."
            }
        }
    }
}

/// The drawing for whoever hears it.
fn spoken(points: &[Point]) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return String::new();
    };
    let counts = || points.iter().map(|point| point.violations);
    format!(
        "{}; the first had {}, the last {}; at least {}, at most {}.",
        plural(points.len() as u64, "scan"),
        plural(first.violations, "violation"),
        thousands(last.violations),
        thousands(counts().min().unwrap_or(0)),
        thousands(counts().max().unwrap_or(0)),
    )
}

fn table(points: &[Point]) -> Markup {
    html! {
        details {
            summary { "The same in figures" }
            table {
                caption { "The last " (points.len().min(ROWS)) " scans, the newest first" }
                thead {
                    tr {
                        th scope="col" { "ended" }
                        th.n scope="col" { "violations" }
                        th.n scope="col" { "undecided rules" }
                        th scope="col" { "whole" }
                    }
                }
                tbody {
                    @for point in points.iter().rev().take(ROWS) {
                        tr {
                            th.name scope="row" { (point.finished.format("%Y-%m-%d %H:%M:%S UTC")) }
                            td.n { (thousands(point.violations)) }
                            td.n { (thousands(point.undecided)) }
                            td { (if point.complete { "complete" } else { "cut short" }) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_that_has_a_whole_half() {
        for (most, end) in [
            (0, 2),
            (2, 2),
            (3, 4),
            (5, 6),
            (23, 30),
            (11, 20),
            (399, 400),
            (4_001, 6_000),
        ] {
            assert_eq!(round_up(most), end, "{most}");
        }
        // The largest number of all ends the search as well.
        assert_eq!(round_up(u64::MAX), u64::MAX);
    }
}
