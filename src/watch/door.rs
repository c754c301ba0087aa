//! Who may look: the token, and what stands in for it on a loopback address.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::config::Secret;

/// What is said to somebody at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Come in.
    Welcome,
    /// Not without the token.
    TokenWanted,
    /// Not by this name. Without a token only the address keeps others out, and a page elsewhere
    /// can give its own name our address (DNS rebinding); it cannot change the name it asks for.
    OtherName,
}

/// Whether a request may be answered.
pub(super) fn answer(token: Option<&Secret>, uri: &Uri, headers: &HeaderMap) -> Answer {
    match token {
        Some(token) if carries(headers, token) => Answer::Welcome,
        Some(_) => Answer::TokenWanted,
        None if asks_for_loopback(uri, headers) => Answer::Welcome,
        None => Answer::OtherName,
    }
}

/// A machine sends `Bearer TOKEN`. A browser asks its user, who gives any name and the token as the
/// password: `Basic`.
fn carries(headers: &HeaderMap, token: &Secret) -> bool {
    let Some(given) = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let Some((scheme, rest)) = given.split_once(' ') else {
        return false;
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return same(rest.trim().as_bytes(), token.reveal().as_bytes());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return false;
    }
    let Ok(pair) = STANDARD.decode(rest.trim()) else {
        return false;
    };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else {
        return false;
    };
    same(&pair[colon + 1..], token.reveal().as_bytes())
}

/// Compares in a time that says nothing of where, or whether, the two differ: digests of one length,
/// every byte of them.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let (given, wanted) = (Sha256::digest(given), Sha256::digest(wanted));
    let difference = given
        .iter()
        .zip(wanted.iter())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

fn asks_for_loopback(uri: &Uri, headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let Some(host) = host.or_else(|| uri.authority().map(|authority| authority.as_str())) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let loopback = name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    loopback || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: axum::http::HeaderName, value: &str, token: Option<&str>) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        let token = token.map(Secret::new);
        answer(token.as_ref(), &Uri::from_static("/"), &headers)
    }

    #[test]
    fn the_token_opens_as_a_bearers_and_as_a_password_and_nothing_else_does() {
        let token = Some("0123456789abcdef");
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (given, welcome) in [
            ("Bearer 0123456789abcdef".to_owned(), true),
            ("bearer 0123456789abcdef".to_owned(), true),
            ("Bearer 0123456789abcdeF".to_owned(), false),
            ("Bearer 0123456789abcde".to_owned(), false),
            ("Bearer ".to_owned(), false),
            ("Digest 0123456789abcdef".to_owned(), false),
            (basic("me:0123456789abcdef"), true),
            (basic(":0123456789abcdef"), true),
            (basic("0123456789abcdef:"), false),
            (basic("0123456789abcdef"), false),
            ("Basic ====".to_owned(), false),
        ] {
            let expected = if welcome {
                Answer::Welcome
            } else {
                Answer::TokenWanted
            };
            assert_eq!(asked(AUTHORIZATION, &given, token), expected, "{given}");
        }
    }

    #[test]
    fn without_a_token_only_loopback_names_are_answered() {
        for (host, expected) in [
            ("127.0.0.1:9478", Answer::Welcome),
            ("127.8.0.1", Answer::Welcome),
            ("localhost:1", Answer::Welcome),
            ("[::1]:9478", Answer::Welcome),
            ("evil.example.com:9478", Answer::OtherName),
            ("127.0.0.1.evil.example.com", Answer::OtherName),
            ("10.0.0.1:9478", Answer::OtherName),
            ("", Answer::OtherName),
        ] {
            assert_eq!(asked(HOST, host, None), expected, "{host}");
        }
    }
}
