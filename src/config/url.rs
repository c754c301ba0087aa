//! Connection URLs, as libpq reads them (PostgreSQL manual, "Connection URIs").
//!
//! Not the WHATWG URL grammar: several hosts, sockets and empty parts are allowed. No complaint
//! repeats a part of the text, since a badly encoded password can end up in any part.

/// What is said where an `@`, `/` or `:` of a password seems to have cut the URL in the wrong place.
const ENCODE: &str = "a reserved character stands in the wrong place; in a user name or password \
                      write @ as %40, : as %3A, / as %2F and ? as %3F";

/// The text after the scheme, where it is a URL of PostgreSQL's.
pub(super) fn after_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("postgresql://")
        .or_else(|| text.strip_prefix("postgres://"))
}

/// The words of a URL, whose scheme has been taken off.
///
/// # Errors
/// What is wrong, without any part of the text.
pub(super) fn parse(rest: &str) -> Result<Vec<(String, String)>, String> {
    let mut words = Vec::new();
    let mut push = |name: &str, raw: &str| -> Result<(), String> {
        if !raw.is_empty() {
            words.push((name.to_owned(), decode(raw)?));
        }
        Ok(())
    };
    let (user, password, rest) = split_credentials(rest);
    push("user", user)?;
    push("password", password)?;

    let (hosts, ports, rest) = split_hosts(rest)?;
    if hosts.contains('@') {
        return Err(ENCODE.into());
    }
    push("host", &hosts)?;
    push("port", &ports)?;

    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let database = path.strip_prefix('/').unwrap_or(path);
    if database.contains('@') {
        return Err(ENCODE.into());
    }
    push("dbname", database)?;
    let mut query = query;
    while !query.is_empty() {
        let (pair, rest) = query.split_once('&').unwrap_or((query, ""));
        query = rest;
        let (name, value) = pair
            .split_once('=')
            .ok_or("a parameter after the ? has no =")?;
        if value.contains('=') {
            return Err("a parameter after the ? has two =; write the second as %3D".into());
        }
        words.push((decode(name)?, decode(value)?));
    }
    Ok(words)
}

/// User and password, raw, and what follows the `@`. A `/` before the first `@` means that there
/// are none.
fn split_credentials(text: &str) -> (&str, &str, &str) {
    let Some(end) = text
        .find(['@', '/'])
        .filter(|end| text[*end..].starts_with('@'))
    else {
        return ("", "", text);
    };
    let (credentials, rest) = (&text[..end], &text[end + 1..]);
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    (user, password, rest)
}

/// Hosts and ports, each a list with commas, and what follows them.
fn split_hosts(text: &str) -> Result<(String, String, &str), String> {
    let (mut hosts, mut ports) = (String::new(), String::new());
    let mut rest = text;
    loop {
        let host;
        (host, rest) = split_host(rest)?;
        hosts.push_str(host);
        if let Some(after) = rest.strip_prefix(':') {
            let end = after.find(['/', '?', ',']).unwrap_or(after.len());
            ports.push_str(&after[..end]);
            rest = &after[end..];
        }
        let Some(after) = rest.strip_prefix(',') else {
            break;
        };
        rest = after;
        hosts.push(',');
        ports.push(',');
    }
    // Commas alone name nothing, and libpq reads ",": two empty hosts. Keep them.
    Ok((hosts, ports, rest))
}

fn split_host(text: &str) -> Result<(&str, &str), String> {
    let Some(bracketed) = text.strip_prefix('[') else {
        let end = text.find([':', '/', '?', ',']).unwrap_or(text.len());
        return Ok((&text[..end], &text[end..]));
    };
    let end = bracketed
        .find(']')
        .ok_or("an IPv6 address has no closing bracket")?;
    let (address, rest) = (&bracketed[..end], &bracketed[end + 1..]);
    if address.is_empty() {
        return Err("the brackets of an IPv6 address are empty".into());
    }
    if !rest.is_empty() && !rest.starts_with([':', '/', '?', ',']) {
        return Err("something stands between an IPv6 address and what follows it".into());
    }
    Ok((address, rest))
}

/// Undoes percent-encoding. A `+` stays a `+`.
fn decode(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let digit = |at: usize| after.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (digit(0), digit(1)) {
            (Some(high), Some(low)) if (high, low) != (0, 0) => {
                // Two hexadecimal digits never pass 255.
                bytes.push((high * 16 + low) as u8);
                rest = &after[2..];
            }
            (Some(_), Some(_)) => return Err("%00 is not allowed".into()),
            _ => {
                return Err("a % is not followed by two hexadecimal digits; write % as %25".into());
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| "a part is not UTF-8 once decoded".into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(url: &str) -> Result<Vec<(String, String)>, String> {
        parse(after_scheme(url).expect("a URL of PostgreSQL's"))
    }

    fn encode(text: &str) -> String {
        text.bytes().map(|byte| format!("%{byte:02x}")).collect()
    }

    #[test]
    fn the_manuals_own_urls_are_read_as_it_says() {
        let cases = [
            ("postgresql://", ""),
            ("postgresql://localhost", "host=localhost"),
            ("postgresql://localhost:5433", "host=localhost port=5433"),
            ("postgresql://localhost/mydb", "host=localhost dbname=mydb"),
            ("postgresql://user@localhost", "user=user host=localhost"),
            (
                "postgresql://user:secret@localhost",
                "user=user password=secret host=localhost",
            ),
            (
                "postgresql://other@localhost/otherdb?connect_timeout=10&application_name=myapp",
                "user=other host=localhost dbname=otherdb connect_timeout=10 application_name=myapp",
            ),
            (
                "postgresql://host1:123,host2:456/somedb?target_session_attrs=any",
                "host=host1,host2 port=123,456 dbname=somedb target_session_attrs=any",
            ),
            (
                "postgresql:///mydb?host=localhost&port=5433",
                "dbname=mydb host=localhost port=5433",
            ),
            (
                "postgresql://[2001:db8::1234]/database",
                "host=2001:db8::1234 dbname=database",
            ),
            (
                "postgresql://%2Fvar%2Flib%2Fpostgresql/dbname",
                "host=/var/lib/postgresql dbname=dbname",
            ),
            (
                "postgres://u:p%40ss@h?sslmode=require",
                "user=u password=p@ss host=h sslmode=require",
            ),
        ];
        for (url, meant) in cases {
            let read: Vec<_> = words(url)
                .unwrap_or_else(|why| panic!("{url}: {why}"))
                .into_iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            assert_eq!(read.join(" "), meant, "{url}");
        }
    }

    #[test]
    fn a_malformed_url_is_refused_without_repeating_it() {
        for url in [
            "postgresql://[::1/db",
            "postgresql://[]/db",
            "postgresql://[::1]x/db",
            "postgresql://h/db?novalue",
            "postgresql://h/db?a=b&&c=d",
            "postgresql://h/db?a=b=c",
            "postgresql://h/%zz",
            "postgresql://h/%0",
            "postgresql://h/%00",
            "postgresql://user:hunter@2@h/db",
            "postgresql://user:hunter/2@h/db",
        ] {
            let why = words(url).expect_err(url);
            assert!(!why.contains("hunter"), "{why}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_arrangement_of_the_special_characters_makes_the_reader_panic(
            text in r"[\[\]:/@?&=,%0-9a-fé]{0,40}"
        ) {
            let _ = parse(&text);
        }

        #[test]
        fn an_encoded_url_gives_back_its_parts(
            user in "[^\0]{1,12}", password in "[^\0]{1,12}",
            host in "[a-z.-]{1,12}|/[^\0]{1,12}", port in 1u16..,
            database in "[^\0]{1,12}", options in "[^\0]{1,12}",
        ) {
            let url = format!(
                "{}:{}@{}:{port}/{}?options={}",
                encode(&user), encode(&password), encode(&host), encode(&database), encode(&options),
            );
            let port = port.to_string();
            let meant = [
                ("user", &user), ("password", &password), ("host", &host),
                ("port", &port), ("dbname", &database), ("options", &options),
            ];
            let meant: Vec<_> = meant.iter().map(|(n, v)| ((*n).to_owned(), (*v).clone())).collect();
            prop_assert_eq!(parse(&url), Ok(meant));
        }
    }
}
