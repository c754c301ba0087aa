//! Keepalives, as the kernel has them: a peer that vanishes must be noticed.
#![cfg(target_os = "linux")]

use quay_doctor::pg::ReadSession;
use quay_doctor::sandbox::Cluster;

use super::question::Asked;

/// The kernel's code for a timer that waits to probe an idle connection.
const KEEPALIVE: &str = "02";

/// The timer of our side of the connection to a port, and in how many hundredths of a second it
/// ends: the sixth column of proc(5)'s `/proc/net/tcp`.
fn timer(port: u16) -> (String, u64) {
    let table = std::fs::read_to_string("/proc/self/net/tcp").expect("the table");
    let ours = format!(":{port:04X}");
    let line = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        // "01" is an established connection.
        .find(|columns| columns[2].ends_with(&ours) && columns[3] == "01")
        .expect("a connection");
    let (kind, ends) = line[5].split_once(':').expect("two parts");
    (
        kind.to_owned(),
        u64::from_str_radix(ends, 16).expect("a number"),
    )
}

#[test]
fn an_idle_connection_is_probed_as_soon_as_was_asked_for() {
    let cluster = Cluster::start().expect("a cluster");
    let of = |more: &str| {
        let url = format!("{}?{more}", cluster.tcp_url("postgres"));
        let settings = Asked::url(url).settings().expect("settings");
        let session = ReadSession::open(&settings).expect("a session");
        let timer = timer(cluster.port());
        drop(session);
        timer
    };
    let (kind, ends) = of("keepalives_idle=7");
    assert_eq!(kind, KEEPALIVE);
    assert!((100..=700).contains(&ends), "{ends}");
    let (kind, ends) = of("connect_timeout=5");
    assert_eq!(kind, KEEPALIVE, "ours, where nobody says");
    assert!((1_000..=3_000).contains(&ends), "{ends}");
    assert_ne!(of("keepalives=0").0, KEEPALIVE);
}
