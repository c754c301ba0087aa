//! libpq's password file (PostgreSQL manual, "The Password File").

use std::io::ErrorKind;
use std::path::Path;

use super::Secret;

/// What a password is looked up by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'e> {
    /// The host as given; `localhost` for the default socket.
    pub host: &'e str,
    /// The port.
    pub port: u16,
    /// The database.
    pub database: &'e str,
    /// The role.
    pub user: &'e str,
}

/// The file's text, where there is one that may be used. A file that others can read is left
/// alone, as libpq does, and the log says so. The exception is one of systemd's credentials: since its
/// version 254 it gives the service's account access by an ACL, which looks like a right of the group
/// (systemd's issue 29435), in a folder that nobody else may enter.
pub(super) fn read(path: &Path, credentials: Option<&Path>) -> Option<Secret> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                tracing::warn!(file = %path.display(), %error, "the password file cannot be read");
            }
            return None;
        }
    };
    if !metadata.is_file() {
        tracing::warn!(file = %path.display(), "the password file is not a plain file: ignored");
        return None;
    }
    let credential = credentials.is_some() && path.parent() == credentials;
    if others_may_read(&metadata, credential) {
        tracing::warn!(
            file = %path.display(),
            "the password file can be read by others: ignored; its permissions should be 0600"
        );
        return None;
    }
    match std::fs::read(path) {
        // Lines that are not UTF-8 then match nothing; the others still do.
        Ok(bytes) => Some(Secret::new(String::from_utf8_lossy(&bytes))),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "the password file cannot be read");
            None
        }
    }
}

#[cfg(unix)]
fn others_may_read(metadata: &std::fs::Metadata, credential: bool) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let forbidden = if credential { 0o037 } else { 0o077 };
    metadata.permissions().mode() & forbidden != 0
}

#[cfg(not(unix))]
fn others_may_read(_: &std::fs::Metadata, _: bool) -> bool {
    false
}

/// The password of the first line that matches.
pub(super) fn find(file: &Secret, entry: Entry<'_>) -> Option<Secret> {
    let port = entry.port.to_string();
    let wanted = [entry.host, &port, entry.database, entry.user];
    file.reveal()
        .split('\n')
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            wanted
                .iter()
                .try_fold(line, |rest, field| after_field(rest, field))
        })
        .map(|rest| Secret::new(unescape(rest)))
}

/// What follows a field that matches, behind its colon.
fn after_field<'l>(line: &'l str, wanted: &str) -> Option<&'l str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let mut rest = line.chars();
    let mut wanted = wanted.chars();
    loop {
        let written = match rest.next()? {
            ':' => {
                return match wanted.next() {
                    None => Some(rest.as_str()),
                    Some(_) => None,
                };
            }
            '\\' => rest.next()?,
            c => c,
        };
        if wanted.next() != Some(written) {
            return None;
        }
    }
}

/// The password: up to the next colon that is not escaped.
fn unescape(text: &str) -> String {
    let mut password = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            ':' => break,
            '\\' => password.push(rest.next().unwrap_or('\\')),
            c => password.push(c),
        }
    }
    password
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENTRY: Entry<'_> = Entry {
        host: "db1",
        port: 5432,
        database: "quay",
        user: "admin",
    };

    fn found(file: &str) -> Option<String> {
        find(&Secret::new(file), ENTRY).map(|password| password.reveal().to_owned())
    }

    #[test]
    fn the_first_line_that_matches_gives_the_password() {
        let cases = [
            (
                "db1:5432:quay:admin:one\ndb1:5432:quay:admin:two",
                Some("one"),
            ),
            ("# db1:5432:quay:admin:comment\n*:*:*:*:any\n", Some("any")),
            ("db2:*:*:*:no\ndb1:*:*:*:yes\r\n", Some("yes")),
            ("db1:5433:*:*:no", None),
            (r"db1:5432:quay:admin:a\:b\\c", Some(r"a:b\c")),
            (r"d\b1:5432:quay:admin:escaped", Some("escaped")),
            ("db1:5432:quay:admin:cut:here", Some("cut")),
            ("db1:5432:quay", None),
            ("db1*:5432:quay:admin:no", None),
            ("db1:5432:quay:admin:", Some("")),
            ("", None),
        ];
        for (file, password) in cases {
            assert_eq!(found(file).as_deref(), password, "{file}");
        }
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(file in "[:*\\\\#\nadb15432quy]{0,60}|(?s).{0,60}") {
            let _ = found(&file);
        }

        #[test]
        fn an_escaped_line_matches_and_gives_back_its_password(
            host in "[^\n\r\0]{1,9}", database in "[^\n\r\0]{1,9}",
            user in "[^\n\r\0]{1,9}", password in "[^\n\r\0]{0,9}", port in 1u16..,
        ) {
            let escape = |text: &str| text.replace('\\', r"\\").replace(':', r"\:");
            prop_assume!(!host.starts_with('#'));
            let line = format!(
                "{}:{port}:{}:{}:{}", escape(&host), escape(&database), escape(&user), escape(&password)
            );
            let entry = Entry { host: &host, port, database: &database, user: &user };
            let read = find(&Secret::new(line), entry);
            prop_assert_eq!(read, Some(Secret::new(password)));
        }
    }
}
