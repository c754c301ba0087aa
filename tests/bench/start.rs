//! How long the program takes to start.

use std::process::{Command, Stdio};
use std::time::Instant;

use super::figures::{Aim, Figure};
use super::stage::{measured, median};

/// The bound, in milliseconds.
const SOON: f64 = 20.0;

#[test]
#[ignore = "a measurement: make bench"]
fn bench_the_start_of_the_program() {
    for args in [&["--version"][..], &["rules", "list"]] {
        let mut times: Vec<f64> = (0..50)
            .map(|_| {
                let begun = Instant::now();
                let status = Command::new(measured())
                    .args(args)
                    .stdout(Stdio::null())
                    .status();
                assert!(status.expect("the program starts").success());
                begun.elapsed().as_secs_f64() * 1000.0
            })
            .collect();
        let what = format!("start of the program (`{}`)", args.join(" "));
        Figure::of(&what, median(&mut times), "ms")
            .beside("20 ms", SOON)
            .aims(Aim::AtMost(1.0));
    }
}
