//! Random URLs and connection strings: what reaches the server is what psql sends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use proptest::prelude::*;

use super::question::Asked;

/// What a client said: its start-up parameters in order of their names, then its password.
type Said = (Vec<(String, String)>, Option<String>);

/// A server that asks everybody for a password in the clear, notes it, and refuses.
struct Ear {
    address: SocketAddr,
    heard: Receiver<Said>,
}

impl Ear {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, heard) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
                if let Some(said) = listen(stream) {
                    let _ = sender.send(said);
                }
            }
        });
        Self { address, heard }
    }

    /// What was said in the last connection, if there was one: the client has ended by now.
    fn heard(&self, reached: bool) -> Option<Said> {
        let patience = Duration::from_millis(if reached { 5_000 } else { 20 });
        self.heard.recv_timeout(patience).ok()
    }
}

fn listen(mut stream: TcpStream) -> Option<Said> {
    let start = read_message(&mut stream)?;
    // Four bytes of protocol version, then pairs that end in zero bytes.
    let mut words = start.get(4..)?.split(|byte| *byte == 0);
    let mut parameters = Vec::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match name {
            b"" => break,
            // Ours is always UTF-8; psql asks for one on a terminal only.
            b"client_encoding" => {}
            b"application_name" if matches!(value, b"psql" | b"quay-doctor") => {}
            name => parameters.push((text(name), text(value))),
        }
    }
    parameters.sort();
    stream.write_all(b"R\0\0\0\x08\0\0\0\x03").ok()?;
    let mut kind = [0];
    let answered = stream.read_exact(&mut kind).is_ok() && kind == *b"p";
    let password = answered.then(|| read_message(&mut stream)).flatten();
    let password = password.map(|bytes| {
        String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(&bytes)).into_owned()
    });
    let refusal = b"E\0\0\0\x20SFATAL\0C28P01\0Mthat is all\0\0";
    stream.write_all(refusal).ok()?;
    Some((parameters, password))
}

/// A length and what follows it.
fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut body = vec![
        0;
        (u32::from_be_bytes(length) as usize)
            .checked_sub(4)?
            .min(10_000)
    ];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

/// What each program said to the server.
struct Both {
    theirs: Option<Said>,
    ours: Option<Said>,
    complaint: String,
}

/// Both programs with these words; `None` on a machine without psql.
fn both(ear: &Ear, text: &str) -> Option<Both> {
    let asked = Asked::url(text)
        .with("PGHOSTADDR", "127.0.0.1")
        .with("PGPORT", ear.address.port().to_string())
        .with("PGSSLMODE", "disable")
        .with("PGGSSENCMODE", "disable")
        .with("PGCONNECT_TIMEOUT", "5");
    let reached = |said: &Result<String, String>, words: &[&str]| {
        said.as_ref()
            .is_err_and(|said| words.iter().any(|word| said.contains(word)))
    };
    let said = asked.by_psql()?;
    let theirs = ear.heard(reached(&said, &["that is all", "no password supplied"]));
    let said = asked.by_us();
    let ours = ear.heard(reached(&said, &["that is all", "none is given"]));
    Some(Both {
        theirs,
        ours,
        complaint: said.err().unwrap_or_default(),
    })
}

/// Pieces of which URLs and strings are made, those that have a meaning above all.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a", "quay", "b1", "é", "%40", "%2F", "%3a", "%25", "%20", "%", "%4", "%zz", "%00", "+",
        ":", "@", "/", "?", "&", "=", ",", "[", "]", "::1", "'", "\\", " ", "#", ";", ".",
    ])
}

fn pieces(most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(piece(), 0..=most).prop_map(|pieces| pieces.concat())
}

fn keyword() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "user",
        "dbname",
        "password",
        "options",
        "application_name",
        "host",
        "nonsense",
        "connect_timeout",
        "ssl",
        "keepalives",
    ])
}

/// A URL that is mostly one.
fn url() -> impl Strategy<Value = String> {
    let credentials =
        (pieces(2), prop::option::of(pieces(3))).prop_map(|(user, password)| match password {
            Some(password) => format!("{user}:{password}@"),
            None => format!("{user}@"),
        });
    let parameter = (keyword(), pieces(2)).prop_map(|(name, value)| format!("{name}={value}"));
    let query =
        prop::collection::vec(parameter, 1..3).prop_map(|all| format!("?{}", all.join("&")));
    (
        prop::option::of(credentials),
        prop::sample::select(vec!["", "h", "db.example", "[::1]", "h,i", "%2Ftmp"]),
        prop::option::of(pieces(2).prop_map(|database| format!("/{database}"))),
        prop::option::of(query),
    )
        .prop_map(|(credentials, host, database, query)| {
            let [credentials, database, query] =
                [credentials, database, query].map(Option::unwrap_or_default);
            format!("postgresql://{credentials}{host}{database}{query}")
        })
}

/// A connection string that is mostly one.
fn words() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        pieces(3),
        pieces(3).prop_map(|text| format!("'{text}'")),
        pieces(3).prop_map(|text| format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))),
    ];
    let equals = prop::sample::select(vec!["=", " = ", "= ", " ="]);
    let word = (keyword(), equals, value)
        .prop_map(|(name, equals, value)| format!("{name}{equals}{value}"));
    prop::collection::vec(word, 1..4).prop_map(|words| words.join(" "))
}

proptest! {
    // Each case starts psql.
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_url_says_to_the_server_what_it_says_through_psql(url in url()) {
        let ear = Ear::open();
        if let Some(Both { theirs, ours, complaint }) = both(&ear, &url) {
            // The one thing that we refuse and libpq takes: an @ that is not encoded.
            let refused = complaint.contains("reserved character");
            prop_assert!(theirs == ours || refused, "psql: {theirs:?}\nwe: {ours:?}");
        }
    }

    #[test]
    fn a_connection_string_says_to_the_server_what_it_says_through_psql(words in words()) {
        let ear = Ear::open();
        if let Some(Both { theirs, ours, complaint }) = both(&ear, &words) {
            prop_assert_eq!(theirs, ours, "{}", complaint);
        }
    }
}
