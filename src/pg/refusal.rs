//! Why one server gave no session: one clear sentence, what to do, and whether the next is tried.

use std::error::Error as StdError;
use std::io::{self, ErrorKind};

use postgres::error::{DbError, SqlState};
use rustls::{AlertDescription, CertificateError};

use super::handshake::HandshakeError;
use crate::config::Target;

/// What came of one address.
#[derive(Debug)]
pub(super) struct Refusal {
    /// A whole sentence, without its full stop. Never holds a password: none of its sources does.
    pub sentence: String,
    /// What to do.
    pub help: String,
    /// SQLSTATE, where the server gave one.
    pub sqlstate: Option<String>,
    /// What is tried next.
    pub next: Next,
}

/// What is tried after a refusal; libpq's rules (fe-connect.c).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Another address of the same host.
    Address,
    /// Another host.
    Host,
    /// Nothing: the server has spoken. Trying a password at one server after the other would hide
    /// the fault and lock the role out.
    Nothing,
    /// Nothing, and later neither: it is a matter of configuration.
    Never,
}

impl Refusal {
    fn new(next: Next, sentence: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            help: help.into(),
            sqlstate: None,
            next,
        }
    }

    /// The name has no address.
    pub fn unknown_name(error: &io::Error) -> Self {
        let reason = error.to_string();
        let reason = reason
            .strip_prefix("failed to lookup address information: ")
            .unwrap_or(&reason);
        Self::new(
            Next::Host,
            format!("the host name has no address ({reason})"),
            "check the name; a reserved character in a password, not encoded, also ends up there",
        )
    }

    /// The time was up.
    pub fn timed_out() -> Self {
        Self::new(
            Next::Address,
            "the server did not answer in time",
            "check host and port, and whether a firewall drops the packets; connect_timeout gives it longer",
        )
    }

    /// The machine is at its own limit.
    pub fn no_thread(error: &io::Error) -> Self {
        Self::new(
            Next::Nothing,
            format!("this machine starts no further thread ({error})"),
            "look at the limits of processes and memory of this user",
        )
    }

    /// The session would do, on another kind of server.
    pub fn wrong_session(wanted: &str, found: &str) -> Self {
        Self::new(
            Next::Host,
            format!("the server {found}"),
            format!(
                "target_session_attrs asks for {wanted}: name such a server among the hosts, or change the setting"
            ),
        )
    }

    /// The session's transactions are carried out by one backend or another.
    pub fn shared_backend() -> Self {
        Self::new(
            Next::Never,
            "a pooler stands before the server that gives each transaction another backend, so no session keeps its locks and settings",
            "nothing was read or changed; connect to the server itself, or to a pool in session mode (PgBouncer: pool_mode = session, for this database or user alone if you like)",
        )
    }

    /// A setting that only an administrator can change makes statements mean something else.
    pub fn unsafe_setting(name: &str, value: &str, why: &str, good: &str) -> Self {
        Self::new(
            Next::Never,
            format!("{name} is {value}: {why}"),
            format!(
                "nothing was read or changed; set {name} to {good} for this role and database (ALTER ROLE ... RESET {name}), or use another role"
            ),
        )
    }

    /// What the driver reports.
    pub fn of_driver(error: &postgres::Error, target: &Target) -> Self {
        if let Some(answer) = error.as_db_error() {
            return Self::of_server(answer, target);
        }
        if let Some(refusal) = causes(error).find_map(of_cause) {
            return refusal;
        }
        let text = deepest(error);
        if text == "password missing" {
            return Self::new(
                Next::Nothing,
                "the server asks for a password and none is given",
                "set PGPASSWORD, or write a line for it into ~/.pgpass (permissions 0600)",
            );
        }
        if error.is_closed() {
            return Self::closed();
        }
        Self::new(Next::Nothing, format!("it ended with: {text}"), GENERAL)
    }

    fn closed() -> Self {
        Self::new(
            Next::Nothing,
            "the server closed the connection without a word",
            "look at the server's log; a proxy without a server behind it does the same, and so may a pooler with no connection left in its pool (pool_size)",
        )
    }

    /// What the server says, with our own words where it is a usual case.
    fn of_server(answer: &DbError, target: &Target) -> Self {
        let says = answer.message();
        let code = answer.code();
        let next = if *code == SqlState::CANNOT_CONNECT_NOW {
            Next::Host
        } else {
            Next::Nothing
        };
        let mut refusal = Self::new(
            next,
            format!("the server says: {says}"),
            help_for(answer, target),
        );
        if *code == SqlState::INVALID_PASSWORD {
            refusal.sentence = format!("the password is wrong ({says})");
        }
        refusal.sqlstate = Some(code.code().to_owned());
        refusal
    }
}

const GENERAL: &str = "check host and port, and that the server accepts connections from here";

fn help_for(answer: &DbError, target: &Target) -> String {
    let says = answer.message();
    match answer.code().code() {
        "28P01" => match target.password.as_ref().map(|password| &password.origin) {
            Some(origin) => format!("the password came from {origin}; correct it there"),
            None => "set PGPASSWORD, or write a line for it into ~/.pgpass".into(),
        },
        "28000" if says.contains("no encryption") => {
            "the server's pg_hba.conf does not admit this user, database and address without TLS: add a line there, or try sslmode=require".into()
        }
        "28000" if says.contains("certificate") => {
            "the server wants a client certificate: name it with sslcert and its key with sslkey".into()
        }
        "28000" if says.contains("role") => "check the user; the server does not know or admit this role".into(),
        "28000" => "the server's pg_hba.conf does not admit this user, database and address".into(),
        "3D000" => "check the database's name, the part behind the last / of the URL".into(),
        "42501" => "the role lacks the CONNECT privilege on this database".into(),
        // PgBouncer's words.
        "08P01" if says.contains("startup parameter") => {
            "a pooler stands before the server and does not pass this setting on: leave `options` out, or name it in PgBouncer's ignore_startup_parameters, which drops it".into()
        }
        "08P01" if says == "query_wait_timeout" => {
            "the pooler has no connection left: try again later, or raise its pool_size for this database".into()
        }
        "53300" => "the server has no connection left: try again later, or raise max_connections or the role's limit".into(),
        "57P03" => "wait until the server is ready, and run the same command again".into(),
        _ => "look at the server's log".into(),
    }
}

/// A refusal that one cause accounts for.
fn of_cause(cause: &(dyn StdError + 'static)) -> Option<Refusal> {
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return Some(of_tls(error));
    }
    if let Some(error) = cause.downcast_ref::<HandshakeError>() {
        return of_handshake(error);
    }
    let error = cause.downcast_ref::<io::Error>()?;
    match error.kind() {
        ErrorKind::ConnectionRefused => Some(Refusal::new(
            Next::Address,
            "nothing listens there (connection refused)",
            "check host and port, that the server runs, and its listen_addresses",
        )),
        ErrorKind::TimedOut => Some(Refusal::timed_out()),
        ErrorKind::NotFound => Some(Refusal::new(
            Next::Address,
            "there is no such socket",
            "check that the server runs on this machine, its port, and its unix_socket_directories; or name a host",
        )),
        ErrorKind::PermissionDenied => Some(Refusal::new(
            Next::Address,
            "the operating system does not let this user connect",
            "check the permissions of the socket and its folder",
        )),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Some(Refusal::new(
            Next::Address,
            "the network has no way there",
            GENERAL,
        )),
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
            Some(Refusal::closed())
        }
        // The driver could not make sense of the bytes. What rustls says has its own branch.
        ErrorKind::InvalidData | ErrorKind::InvalidInput if error.get_ref().is_none_or(is_text) => {
            Some(not_postgres())
        }
        _ => None,
    }
}

/// Whether an error is a mere text, without a type of its own.
fn is_text(error: &(dyn StdError + Send + Sync + 'static)) -> bool {
    !error.is::<rustls::Error>() && !error.is::<HandshakeError>()
}

fn of_handshake(error: &HandshakeError) -> Option<Refusal> {
    match error {
        HandshakeError::NoTls => Some(Refusal::new(
            Next::Nothing,
            "the server does not offer TLS, and sslmode asks for it",
            "turn ssl on in the server's postgresql.conf, or use sslmode=prefer on a network you trust",
        )),
        HandshakeError::Refused => Some(Refusal::new(
            Next::Nothing,
            "the server answered the question for TLS with an error",
            "look at the server's log; it may be out of processes or memory",
        )),
        HandshakeError::NotPostgres => Some(not_postgres()),
        HandshakeError::TimedOut => Some(Refusal::timed_out()),
        // The cause behind it says more.
        HandshakeError::Stream(_) => None,
    }
}

fn not_postgres() -> Refusal {
    Refusal::new(
        Next::Nothing,
        "what answers there is not PostgreSQL",
        "check the port: 5432 is PostgreSQL's usual one",
    )
}

fn of_tls(error: &rustls::Error) -> Refusal {
    let refused = |sentence: &str, help: &str| Refusal::new(Next::Nothing, sentence, help);
    match error {
        rustls::Error::InvalidCertificate(wrong) => of_certificate(wrong),
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired => refused(
                "the server wants a client certificate and was shown none",
                "name it with sslcert and its key with sslkey",
            ),
            AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown => refused(
                &format!("the server does not accept the client certificate ({alert:?})"),
                "check sslcert: its dates, and that the server's ssl_ca_file vouches for it",
            ),
            alert => refused(
                &format!("the server broke TLS off ({alert:?})"),
                "look at the server's log",
            ),
        },
        rustls::Error::PeerIncompatible(_) => refused(
            "the server speaks no version of TLS that is safe (1.2 or 1.3)",
            "raise ssl_max_protocol_version on the server",
        ),
        error => refused(&format!("TLS failed: {error}"), "look at the server's log"),
    }
}

fn of_certificate(wrong: &CertificateError) -> Refusal {
    let refused = |sentence: &str, help: &str| Refusal::new(Next::Nothing, sentence, help);
    match wrong {
        CertificateError::UnknownIssuer => refused(
            "no root certificate vouches for the server's certificate",
            "name the file of the authority that issued it with sslrootcert",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => refused(
            "the server's certificate has expired",
            "renew it on the server; if it is new, check the clock of this machine",
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => refused(
            "the server's certificate is not valid yet",
            "check the clock of this machine",
        ),
        CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            refused(
                "the server's certificate names no host in its subjectAltName",
                "issue one with a subjectAltName; a common name alone is not looked at. sslmode=verify-ca does not compare names",
            )
        }
        CertificateError::NotValidForName => refused(WRONG_NAME, WRONG_NAME_HELP),
        CertificateError::NotValidForNameContext { presented, .. } => refused(
            &format!("{WRONG_NAME}; it is for {}", names(presented)),
            WRONG_NAME_HELP,
        ),
        CertificateError::Revoked => refused(
            "the server's certificate has been withdrawn",
            "issue a new one; the list is the one that sslcrl names",
        ),
        CertificateError::UnknownRevocationStatus => refused(
            "the list of withdrawn certificates does not cover the server's certificate",
            "give sslcrl a list of the authority that issued it",
        ),
        other => refused(
            &format!("the server's certificate cannot be accepted: {other}"),
            "issue one that is meant for servers",
        ),
    }
}

const WRONG_NAME: &str = "the server's certificate is for another host";
const WRONG_NAME_HELP: &str =
    "name the host as the certificate does (hostaddr gives the address), or use sslmode=verify-ca";

/// The names in a certificate, the first few.
fn names(presented: &[String]) -> String {
    const MOST: usize = 5;
    let shown: Vec<_> = presented.iter().take(MOST).map(String::as_str).collect();
    let more = if presented.len() > MOST { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// An error and what caused it.
fn causes<'e>(
    error: &'e (dyn StdError + 'static),
) -> impl Iterator<Item = &'e (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

/// What caused an error; also what `io::Error` wraps and does not own up to as its source.
fn cause<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e (dyn StdError + 'static)> {
    if let Some(wrapped) = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        return Some(wrapped);
    }
    if let Some(HandshakeError::Stream(inner)) = error.downcast_ref() {
        return Some(inner);
    }
    error.source()
}

fn deepest(error: &(dyn StdError + 'static)) -> String {
    causes(error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
