//! Who may look, and what every answer says to a browser.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::service::Watcher;
use crate::line::stage::{BOTH_FAILURES, Stage};
use crate::program;

const TOKEN: &str = "correct-horse-battery-staple";
/// `me:` and the token.
const BASIC: &str = "Basic bWU6Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5LXN0YXBsZQ==";

#[test]
fn with_a_token_every_route_but_the_probes_wants_it() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let args = ["watch", "--every", "1s", "--listen", "0.0.0.0:0"];
    let watcher = Watcher::start(
        program::command(&args)
            .env("DATABASE_URL", stage.db.url())
            .env("QUAY_DOCTOR_TOKEN", TOKEN),
    );
    let bearer = format!("Bearer {TOKEN}");
    for path in ["/", "/metrics", "/report.json", "/nothing"] {
        for given in [
            None,
            Some("Bearer correct-horse-battery-stapler"),
            Some("Basic bWU6"),
        ] {
            let headers: Vec<(&str, &str)> = given
                .map(|given| ("Authorization", given))
                .into_iter()
                .collect();
            let refused = watcher.get_with(path, &headers);
            assert_eq!(refused.status, 401, "{path} {given:?}");
            assert!(!refused.body.contains("orphaned"), "{refused:?}");
            let offers = refused
                .headers
                .iter()
                .filter(|(name, _)| name == "www-authenticate");
            assert_eq!(offers.count(), 2, "for a machine, and for a browser");
        }
    }
    for given in [bearer.as_str(), BASIC] {
        let page = watcher.get_with("/", &[("Authorization", given)]);
        assert_eq!(page.status, 200);
        let nothing = watcher.get_with("/nothing", &[("Authorization", given)]);
        assert_eq!(nothing.status, 404);
    }
    assert_eq!(watcher.get("/healthz").status, 200);
    assert!(matches!(watcher.get("/readyz").status, 200 | 503));
    assert!(!watcher.log().contains(TOKEN));
}

#[test]
fn a_token_file_counts_before_the_variable_and_is_read_again() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("a token");
    let watcher = Watcher::start(
        program::command(&["watch", "--listen", "127.0.0.1:0", "--token-file"])
            .arg(&file)
            .env("DATABASE_URL", stage.db.url())
            .env("QUAY_DOCTOR_TOKEN", "another-token-than-that"),
    );
    let status = |token: &str| {
        let bearer = format!("Bearer {token}");
        watcher
            .get_with("/metrics", &[("Authorization", &bearer)])
            .status
    };
    assert_eq!(status(TOKEN), 200);
    assert_eq!(status("another-token-than-that"), 401);
    std::fs::write(&file, "a-new-token-for-tomorrow").expect("a token");
    watcher.signal("HUP");
    let begun = std::time::Instant::now();
    while status("a-new-token-for-tomorrow") != 200 {
        assert!(begun.elapsed() < super::service::PATIENCE);
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(status(TOKEN), 401);
}

#[test]
fn every_answer_has_its_headers_and_the_policy_allows_one_style_and_nothing_else() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let watcher = Watcher::of(&stage.db.url(), &[]);
    for path in [
        "/",
        "/?q=%ff&page=x",
        "/metrics",
        "/report.json",
        "/healthz",
        "/readyz",
        "/nothing",
    ] {
        let answer = watcher.get(path);
        let policy = answer.header("content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{path}: {policy}"
        );
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    assert_eq!(watcher.ask("POST", "/", &[]).status, 405);
    assert_eq!(watcher.ask("HEAD", "/", &[]).body, "");
    for name in ["evil.example.com", "127.0.0.1.evil.example.com:80"] {
        let refused = watcher.get_with("/", &[("Host", name)]);
        assert_eq!(refused.status, 421, "{name}");
        assert!(!refused.body.contains("acme"));
    }
}

#[test]
fn many_that_say_nothing_keep_nobody_out_for_ever() {
    let stage = Stage::migrated(BOTH_FAILURES);
    let watcher = Watcher::of(&stage.db.url(), &[]);
    let mut silent: Vec<TcpStream> = (0..70)
        .map(|_| TcpStream::connect(watcher.address()).expect("a connection"))
        .collect();
    for stream in &mut silent {
        // Some may be in the queue still.
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    }
    assert_eq!(watcher.get("/healthz").status, 200);
    // Whoever goes on for ever with one head is cut off as well.
    let mut long = TcpStream::connect(watcher.address()).expect("a connection");
    let _ = long.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n");
    let _ = long.write_all(&[b'x'; 64 * 1024]);
    let mut answer = Vec::new();
    let _ = long.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
}
