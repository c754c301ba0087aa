//! URLs, connection strings and variables, compared with psql's behaviour.

use super::question::Asked;
use super::server::{check, server};

#[test]
fn urls_strings_and_variables_lead_where_psql_goes() {
    let cluster = server();
    let port = cluster.port();
    let folder = cluster
        .data_directory()
        .parent()
        .expect("a folder")
        .display()
        .to_string();
    let in_url = folder.replace('/', "%2F");
    let url =
        |rest: &str| Asked::url(format!("postgresql://{rest}").replace("PORT", &port.to_string()));
    let words = |rest: &str| Asked::url(format!("host=127.0.0.1 port={port} {rest}"));
    let variables = || {
        Asked::nothing()
            .with("PGHOST", "127.0.0.1")
            .with("PGPORT", port.to_string())
            .with("PGUSER", "postgres")
            .with("PGDATABASE", "quay")
    };
    check(vec![
        ("a plain URL", true, url("postgres@127.0.0.1:PORT/quay")),
        (
            "the other scheme",
            true,
            Asked::url(format!("postgres://postgres@127.0.0.1:{port}/quay")),
        ),
        (
            "host as a parameter",
            true,
            url("postgres@/quay?host=127.0.0.1&port=PORT"),
        ),
        (
            "a parameter wins over the path",
            true,
            url("postgres@127.0.0.1:PORT/x?dbname=quay"),
        ),
        (
            "an encoded database",
            true,
            url("postgres@127.0.0.1:PORT/odd%2Fna%40me%3F"),
        ),
        (
            "an encoded password",
            true,
            url("odd:a%3Ab%2Fc%40d%3Fe%25f%20g%5Ch'i@127.0.0.1:PORT/quay"),
        ),
        (
            "a password with a colon",
            false,
            url("odd:a:b@127.0.0.1:PORT/quay"),
        ),
        (
            "an address that needs no look-up",
            true,
            url("postgres@nowhere.invalid:PORT/quay?hostaddr=127.0.0.1"),
        ),
        (
            "the second of two hosts",
            true,
            url("postgres@127.0.0.1:1,127.0.0.1:PORT/quay"),
        ),
        (
            "a name that has no address, then a host",
            true,
            url("postgres@nowhere.invalid,127.0.0.1:PORT/quay?port=PORT"),
        ),
        (
            "a port for each host",
            true,
            words("host=127.0.0.1,127.0.0.1 user=postgres dbname=quay").with("PGPORT", "1"),
        ),
        (
            "too many ports",
            false,
            url("postgres@/quay?host=127.0.0.1&port=PORT,PORT"),
        ),
        ("no such port", false, url("postgres@127.0.0.1:1/quay")),
        (
            "an IPv6 address where nobody listens",
            false,
            url("postgres@[::1]:PORT/quay"),
        ),
        (
            "a socket as a parameter",
            true,
            url(&format!("postgres@/quay?host={folder}&port=PORT")),
        ),
        (
            "a socket as the host",
            true,
            url(&format!("postgres@{in_url}:PORT/quay")),
        ),
        (
            "TLS is no matter on a socket",
            true,
            url(&format!("postgres@{in_url}:PORT/quay?sslmode=verify-full")),
        ),
        (
            "TLS where the server has none",
            false,
            url("postgres@127.0.0.1:PORT/quay?sslmode=require"),
        ),
        (
            "JDBC's way to ask for TLS",
            false,
            url("postgres@127.0.0.1:PORT/quay?ssl=true"),
        ),
        (
            "no TLS where the server has none",
            true,
            url("postgres@127.0.0.1:PORT/quay?sslmode=prefer"),
        ),
        (
            "TLS by the old variable",
            false,
            variables().with("PGREQUIRESSL", "1"),
        ),
        (
            "a string of words",
            true,
            words("user=postgres dbname = 'quay'"),
        ),
        (
            "quotes and backslashes",
            true,
            words(r"user=odd password='a:b/c@d?e%f g\\h\'i' dbname=quay"),
        ),
        (
            "a server setting",
            true,
            words("user=postgres dbname=quay options='-c geqo=off'"),
        ),
        (
            "a server setting in a URL",
            true,
            url("postgres@127.0.0.1:PORT/quay?options=-c%20geqo%3Doff"),
        ),
        (
            "a server setting by variable",
            true,
            variables().with("PGOPTIONS", "-c geqo=off"),
        ),
        (
            "a name for the session",
            true,
            words("user=postgres dbname=quay application_name=night"),
        ),
        (
            "a name by variable",
            true,
            variables().with("PGAPPNAME", "night"),
        ),
        (
            "the nearer name wins",
            true,
            words("user=postgres dbname=quay application_name=a").with("PGAPPNAME", "b"),
        ),
        ("variables alone", true, variables()),
        (
            "an address by variable",
            true,
            variables()
                .with("PGHOSTADDR", "127.0.0.1")
                .with("PGHOST", "nowhere.invalid"),
        ),
        (
            "the URL wins over variables",
            true,
            url("postgres@127.0.0.1:PORT")
                .with("PGUSER", "x")
                .with("PGDATABASE", "quay"),
        ),
        (
            "no such database",
            false,
            variables().with("PGDATABASE", "none"),
        ),
        ("no such role", false, variables().with("PGUSER", "none")),
        (
            "a role without a connection left",
            false,
            variables().with("PGUSER", "full_up"),
        ),
        (
            "the database is called like the user",
            true,
            url("postgres@127.0.0.1:PORT"),
        ),
        (
            "an unknown parameter",
            false,
            url("postgres@127.0.0.1:PORT/quay?nonsense=1"),
        ),
        (
            "an unknown mode",
            false,
            url("postgres@127.0.0.1:PORT/quay?sslmode=on"),
        ),
        (
            "an unknown mode by variable",
            false,
            variables().with("PGSSLMODE", "on"),
        ),
        (
            "a port that is none",
            false,
            variables().with("PGPORT", "65536"),
        ),
        (
            "a time that is none",
            false,
            variables().with("PGCONNECT_TIMEOUT", "soon"),
        ),
        (
            "a time with blanks",
            true,
            words("user=postgres dbname=quay connect_timeout=' 5 '"),
        ),
        (
            "a kind of session that is none",
            false,
            variables().with("PGTARGETSESSIONATTRS", "best"),
        ),
        (
            "a kind of session that there is",
            true,
            variables().with("PGTARGETSESSIONATTRS", "read-write"),
        ),
        (
            "a kind of session that there is not",
            false,
            variables().with("PGTARGETSESSIONATTRS", "standby"),
        ),
        (
            "channel binding without a channel",
            false,
            words("user=scram password=right dbname=quay channel_binding=require"),
        ),
        (
            "GSSAPI where there is none",
            false,
            variables().with("PGGSSENCMODE", "require"),
        ),
        (
            "no GSSAPI",
            true,
            variables().with("PGGSSENCMODE", "disable"),
        ),
        (
            "keepalives",
            true,
            words(
                "user=postgres dbname=quay keepalives=1 keepalives_idle=5 keepalives_interval=2 keepalives_count=2 tcp_user_timeout=9000",
            ),
        ),
        (
            "half an escape",
            false,
            url("postgres@127.0.0.1:PORT/quay%4"),
        ),
        ("a word without a value", false, words("user")),
    ]);
}
