//! The figures of a run, and the page that they are written to.
//!
//! Each measurement is a test of its own and says its figures as it ends. `make bench` gathers them in
//! the file that `QUAY_DOCTOR_FIGURES` names, and then writes the table of docs/benchmarks.md.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

/// What a ratio is to be.
#[derive(Clone, Copy, Debug)]
pub enum Aim {
    AtMost(f64),
    TimesFaster(f64),
    None,
}

impl Aim {
    fn told(self) -> String {
        match self {
            Self::AtMost(most) => format!("≤ {most}"),
            Self::TimesFaster(least) => format!("≥ {least} times faster"),
            Self::None => "–".to_owned(),
        }
    }

    fn is_met(self, ours: f64, beside: f64) -> bool {
        match self {
            Self::AtMost(most) => ours / beside <= most,
            Self::TimesFaster(least) => beside / ours >= least,
            Self::None => true,
        }
    }
}

/// A median of ours; with what it was measured in turn with, a figure.
#[derive(Clone, Debug)]
pub struct Figure {
    what: String,
    unit: &'static str,
    ours: f64,
    other: String,
    beside: f64,
}

impl Figure {
    pub fn of(what: &str, ours: f64, unit: &'static str) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            ours,
            other: String::new(),
            beside: f64::NAN,
        }
    }

    pub fn beside(&self, other: &str, beside: f64) -> Self {
        Self {
            other: other.to_owned(),
            beside,
            ..self.clone()
        }
    }

    /// Says the figure.
    pub fn aims(&self, aim: Aim) {
        let row = json!({
            "what": self.what,
            "beside": self.other,
            "ours": format!("{} {}", three(self.ours), self.unit),
            "other": format!("{} {}", three(self.beside), self.unit),
            "ratio": format!("{:.2}", self.ours / self.beside),
            "aim": aim.told(),
            "met": aim.is_met(self.ours, self.beside),
        });
        eprintln!("{row}");
        let Ok(path) = std::env::var("QUAY_DOCTOR_FIGURES") else {
            return;
        };
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        writeln!(file.expect("a file"), "{row}").expect("a line");
    }
}

/// Three digits that matter.
fn three(number: f64) -> String {
    match number.abs() {
        n if n >= 100.0 => format!("{number:.0}"),
        n if n >= 10.0 => format!("{number:.1}"),
        n if n >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

const BEGIN: &str = "<!-- figures: written by make bench -->\n";
const END: &str = "<!-- end of figures -->";

/// The machine, as far as it says.
fn machine() -> String {
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = about
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1))
        .unwrap_or("processor unknown");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').nth(2).unwrap_or("?").to_owned();
    format!("{cpus} processors ({model}), load in the last quarter of an hour {load}")
}

fn table(figures: &str) -> String {
    let mut table = format!(
        "Written {} on {}; PostgreSQL's own settings and the method stand below.\n\n",
        chrono::Utc::now().format("%-d %B %Y"),
        machine()
    );
    table.push_str("| what | ours | beside | its | ratio | aim | met |\n");
    table.push_str("| --- | ---: | --- | ---: | ---: | --- | --- |\n");
    for line in figures.lines() {
        let row: Value = serde_json::from_str(line).expect("a figure");
        let cell = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let met = if row["met"] == true { "yes" } else { "**no**" };
        let _ = writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {met} |",
            cell("what"),
            cell("ours"),
            cell("beside"),
            cell("other"),
            cell("ratio"),
            cell("aim")
        );
    }
    table
}

#[test]
#[ignore = "writes the page of figures: make bench"]
fn bench_writes_the_table() {
    let path = std::env::var("QUAY_DOCTOR_FIGURES").expect("QUAY_DOCTOR_FIGURES");
    let figures = std::fs::read_to_string(path).expect("figures");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
    let text = std::fs::read_to_string(&page).expect("docs/benchmarks.md");
    let (before, rest) = text.split_once(BEGIN).expect("where figures begin");
    let (_, after) = rest.split_once(END).expect("where they end");
    let text = format!("{before}{BEGIN}{}{END}{after}", table(&figures));
    std::fs::write(page, text).expect("docs/benchmarks.md");
}

#[test]
fn a_figure_says_whether_its_aim_is_met() {
    assert!(Aim::AtMost(0.4).is_met(1.0, 2.5));
    assert!(!Aim::AtMost(0.4).is_met(1.1, 2.5));
    assert!(Aim::TimesFaster(2.5).is_met(1.0, 2.5));
    assert!(!Aim::TimesFaster(2.5).is_met(1.1, 2.5));
}
