//! target_session_attrs, against a primary and its standby.

use quay_doctor::pg::WriteSession;
use quay_doctor::sandbox::{Cluster, Program, Programs, StopMode};

use super::question::Asked;

#[test]
fn the_kind_of_session_that_was_asked_for_is_found_as_by_psql() {
    if !Programs::find()
        .expect("programs")
        .has(Program::PgBasebackup)
    {
        eprintln!("no pg_basebackup on this machine: no standby");
        return;
    }
    let mut cluster = Cluster::start().expect("a cluster");
    let mut standby = cluster.standby().expect("a standby");
    let of = |url: &str| {
        let at = url.find("127.0.0.1").expect("TCP");
        url[at..]
            .split('/')
            .next()
            .expect("host and port")
            .to_owned()
    };
    let (primary, second) = (
        of(&cluster.tcp_url("postgres")),
        of(&standby.tcp_url("postgres")),
    );
    let found = |hosts: &[&str], kind: &str| {
        let hosts = hosts.join(",");
        let url = format!("postgresql://postgres@{hosts}/postgres?target_session_attrs={kind}");
        Asked::url(url)
            .same()
            .ok()
            .map(|answer| match answer.contains("standby=true") {
                true => "standby",
                false => "primary",
            })
    };
    let both = [primary.as_str(), second.as_str()];
    let turned = [second.as_str(), primary.as_str()];
    let dead = "127.0.0.1:1";
    for (hosts, kind, meant) in [
        (&both[..], "any", Some("primary")),
        (&turned, "any", Some("standby")),
        (&turned, "read-write", Some("primary")),
        (&turned, "primary", Some("primary")),
        (&both, "read-only", Some("standby")),
        (&both, "standby", Some("standby")),
        (&both, "prefer-standby", Some("standby")),
        (&[dead, second.as_str()], "prefer-standby", Some("standby")),
        (&[primary.as_str(), dead], "prefer-standby", Some("primary")),
        (&[second.as_str()], "read-write", None),
        (&[second.as_str()], "primary", None),
        (&[primary.as_str()], "standby", None),
        (&[primary.as_str()], "read-only", None),
        (&[dead], "prefer-standby", None),
    ] {
        assert_eq!(found(hosts, kind), meant, "{hosts:?} {kind}");
    }

    // A primary can be read-only as well: that is what read-only and primary differ in.
    let settings = cluster.settings("postgres").expect("settings");
    let mut session = WriteSession::open(&settings).expect("a session");
    session
        .run("ALTER SYSTEM SET default_transaction_read_only = on")
        .expect("a setting");
    session.run("SELECT pg_reload_conf()").expect("a reload");
    let reloaded = || found(&[primary.as_str()], "read-only") == Some("primary");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !reloaded() {
        assert!(
            std::time::Instant::now() < deadline,
            "the setting never came"
        );
    }
    assert_eq!(found(&[primary.as_str()], "read-write"), None);
    assert_eq!(found(&[primary.as_str()], "primary"), Some("primary"));

    standby.stop(StopMode::Immediate).expect("a stop");
    assert_eq!(found(&both, "prefer-standby"), Some("primary"));
    assert_eq!(found(&both, "standby"), None);
}
