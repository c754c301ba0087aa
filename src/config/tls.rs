//! How the connection is to be protected: libpq's ssl settings, as meant.

use std::path::PathBuf;

use super::parameters::{Parameters, one_of};
use super::{ConfigError, Environment};

/// When TLS is used, and what is checked (PostgreSQL manual, "SSL Mode Descriptions").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsMode {
    /// Never.
    Disable,
    /// Where the server refuses without.
    Allow,
    /// Where the server has it; libpq's default.
    Prefer,
    /// Always; the certificate is only checked where there is a root certificate.
    Require,
    /// Always, with a certificate that a root certificate vouches for.
    VerifyCa,
    /// The same, and the certificate must name the host.
    VerifyFull,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsStart {
    /// The server is asked first.
    Negotiated,
    /// At once, which PostgreSQL 17 and later understand.
    Direct,
}

/// The versions of TLS that may be spoken. Older ones are not implemented.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// A file of certificates or keys. One that is not there is passed over as libpq does it; the log
/// says so where somebody named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFile {
    /// Where it is.
    pub path: PathBuf,
    /// Whether somebody named it; otherwise it is libpq's default.
    pub named: bool,
}

/// What the server's certificate is checked against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// The certificates that the operating system trusts (`sslrootcert=system`).
    System,
    /// A file.
    File(TlsFile),
    /// No home directory, so no default file.
    None,
}

/// The ssl settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// When, and what is checked.
    pub mode: TlsMode,
    /// How it begins.
    pub start: TlsStart,
    /// What vouches for the server.
    pub roots: Roots,
    /// Our own certificate, and its key.
    pub identity: Option<(TlsFile, TlsFile)>,
    /// Certificates that have been withdrawn.
    pub revoked: Option<TlsFile>,
    /// Whether the host's name is sent in the clear, so that a proxy can route by it.
    pub send_host_name: bool,
    /// The oldest version that may be spoken.
    pub oldest: TlsVersion,
    /// The newest one.
    pub newest: TlsVersion,
}

impl TlsSettings {
    pub(super) fn resolve(
        parameters: &Parameters,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let start = parameters
            .read(
                "sslnegotiation",
                one_of(&[
                    ("postgres", TlsStart::Negotiated),
                    ("direct", TlsStart::Direct),
                ]),
            )?
            .unwrap_or(TlsStart::Negotiated);
        let file = |name: &str, default: &str| match parameters.get(name) {
            Some(path) => Some(TlsFile {
                path: PathBuf::from(path),
                named: true,
            }),
            None => environment
                .home_file(&format!(".postgresql/{default}"))
                .map(|path| TlsFile { path, named: false }),
        };
        let roots = match parameters.get("sslrootcert") {
            Some("system") => Roots::System,
            _ => file("sslrootcert", "root.crt").map_or(Roots::None, Roots::File),
        };
        let identity = match shows_certificate(parameters)? {
            true => file("sslcert", "postgresql.crt").zip(file("sslkey", "postgresql.key")),
            false => None,
        };
        let (oldest, newest) = versions(parameters)?;
        Ok(Self {
            mode: mode(parameters, &roots, start)?,
            start,
            roots,
            identity,
            revoked: file("sslcrl", "root.crl"),
            send_host_name: parameters
                .read("sslsni", one_of(&[("1", true), ("0", false)]))?
                .unwrap_or(true),
            oldest,
            newest,
        })
    }
}

fn mode(parameters: &Parameters, roots: &Roots, start: TlsStart) -> Result<TlsMode, ConfigError> {
    let stated = parameters.read(
        "sslmode",
        one_of(&[
            ("disable", TlsMode::Disable),
            ("allow", TlsMode::Allow),
            ("prefer", TlsMode::Prefer),
            ("require", TlsMode::Require),
            ("verify-ca", TlsMode::VerifyCa),
            ("verify-full", TlsMode::VerifyFull),
        ]),
    )?;
    // Anybody can have a certificate that the system trusts: only its host name tells whose.
    let mode = match (stated, roots) {
        (None, Roots::System) => TlsMode::VerifyFull,
        (None, _) if start == TlsStart::Direct => TlsMode::Require,
        (None, _) => TlsMode::Prefer,
        (Some(stated), _) => stated,
    };
    parameters.read_unless_empty("sslrootcert", |_| match roots {
        Roots::System if mode != TlsMode::VerifyFull => {
            Err("system needs sslmode=verify-full".to_owned())
        }
        _ => Ok(()),
    })?;
    parameters.read("sslnegotiation", |_| match start {
        TlsStart::Direct if mode < TlsMode::Require => {
            Err("direct needs sslmode=require or stronger".to_owned())
        }
        _ => Ok(()),
    })?;
    Ok(mode)
}

fn shows_certificate(parameters: &Parameters) -> Result<bool, ConfigError> {
    let stated = parameters.read("sslcertmode", |value| match value {
        "require" => Err("quay-doctor does not support require".to_owned()),
        value => one_of(&[("disable", false), ("allow", true)])(value),
    })?;
    Ok(stated.unwrap_or(true))
}

fn versions(parameters: &Parameters) -> Result<(TlsVersion, TlsVersion), ConfigError> {
    let oldest = parameters.read(
        "ssl_min_protocol_version",
        // We speak none older than 1.2, which is what these ask for at least.
        one_of(&[
            ("TLSv1", TlsVersion::V1_2),
            ("TLSv1.1", TlsVersion::V1_2),
            ("TLSv1.2", TlsVersion::V1_2),
            ("TLSv1.3", TlsVersion::V1_3),
        ]),
    )?;
    let oldest = oldest.unwrap_or(TlsVersion::V1_2);
    let newest = parameters.read("ssl_max_protocol_version", |value| {
        let newest =
            one_of(&[("TLSv1.2", TlsVersion::V1_2), ("TLSv1.3", TlsVersion::V1_3)])(value)?;
        if newest < oldest {
            return Err("it is older than ssl_min_protocol_version".to_owned());
        }
        Ok(newest)
    })?;
    Ok((oldest, newest.unwrap_or(TlsVersion::V1_3)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn resolved(words: &[(&str, &str)]) -> Result<TlsSettings, ConfigError> {
        let mut parameters = Parameters::default();
        for (name, value) in words {
            let words = [((*name).to_owned(), (*value).to_owned())];
            parameters.set_words(&words, &Origin::Caller)?;
        }
        TlsSettings::resolve(&parameters, &Environment::empty().with("HOME", "/home/q"))
    }

    #[test]
    fn nothing_said_means_prefer_and_the_files_of_the_home_directory() {
        let tls = resolved(&[]).unwrap();
        assert_eq!(tls.mode, TlsMode::Prefer);
        let root = TlsFile {
            path: "/home/q/.postgresql/root.crt".into(),
            named: false,
        };
        assert_eq!(tls.roots, Roots::File(root));
        assert!(tls.identity.is_some() && tls.revoked.is_some());
    }

    #[test]
    fn the_systems_roots_need_the_host_name_checked() {
        let tls = resolved(&[("sslrootcert", "system")]).unwrap();
        assert_eq!(tls.mode, TlsMode::VerifyFull);
        assert!(resolved(&[("sslrootcert", "system"), ("sslmode", "verify-ca")]).is_err());
    }

    #[test]
    fn an_unknown_mode_is_refused_with_the_known_ones() {
        let complaint = resolved(&[("sslmode", "on")]).unwrap_err().to_string();
        assert!(
            complaint.contains("sslmode") && complaint.contains("verify-ca"),
            "{complaint}"
        );
    }

    #[test]
    fn direct_tls_never_falls_back() {
        assert_eq!(
            resolved(&[("sslnegotiation", "direct")]).unwrap().mode,
            TlsMode::Require
        );
        assert!(resolved(&[("sslnegotiation", "direct"), ("sslmode", "prefer")]).is_err());
    }

    #[test]
    fn versions_in_the_wrong_order_are_refused() {
        let words = [
            ("ssl_min_protocol_version", "TLSv1.3"),
            ("ssl_max_protocol_version", "TLSv1.2"),
        ];
        assert!(resolved(&words).is_err());
    }
}
