//! The connection keywords of libpq (PostgreSQL 18, "Parameter Key Words") and what becomes of each.

/// A keyword of a connection string.
pub(super) struct Keyword {
    /// As it stands in a connection string.
    pub name: &'static str,
    /// The environment variable that gives it where nothing nearer does.
    pub variable: Option<&'static str>,
    /// What we do with it.
    pub handling: Handling,
}

/// What becomes of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handling {
    /// It is carried out.
    Used,
    /// It changes nothing for us, and nothing is lost by that.
    Ignored,
    /// It asks for protection or behaviour that we do not have: connecting without it would be
    /// worse than not connecting. Only values other than these may pass.
    Refused {
        /// Values that ask for nothing.
        unless: &'static [&'static str],
    },
}

const fn used(name: &'static str, variable: Option<&'static str>) -> Keyword {
    let handling = Handling::Used;
    Keyword {
        name,
        variable,
        handling,
    }
}

const fn ignored(name: &'static str, variable: Option<&'static str>) -> Keyword {
    let handling = Handling::Ignored;
    Keyword {
        name,
        variable,
        handling,
    }
}

const fn refused(
    name: &'static str,
    variable: Option<&'static str>,
    unless: &'static [&'static str],
) -> Keyword {
    let handling = Handling::Refused { unless };
    Keyword {
        name,
        variable,
        handling,
    }
}

/// Every keyword.
static KEYWORDS: &[Keyword] = &[
    used("application_name", Some("PGAPPNAME")),
    used("channel_binding", Some("PGCHANNELBINDING")),
    used("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    used("dbname", Some("PGDATABASE")),
    used("fallback_application_name", None),
    used("host", Some("PGHOST")),
    used("hostaddr", Some("PGHOSTADDR")),
    used("keepalives", None),
    used("keepalives_count", None),
    used("keepalives_idle", None),
    used("keepalives_interval", None),
    used("load_balance_hosts", Some("PGLOADBALANCEHOSTS")),
    used("options", Some("PGOPTIONS")),
    used("passfile", Some("PGPASSFILE")),
    used("password", Some("PGPASSWORD")),
    used("port", Some("PGPORT")),
    used("service", Some("PGSERVICE")),
    used("servicefile", Some("PGSERVICEFILE")),
    used("ssl_max_protocol_version", Some("PGSSLMAXPROTOCOLVERSION")),
    used("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION")),
    used("sslcert", Some("PGSSLCERT")),
    used("sslcertmode", Some("PGSSLCERTMODE")),
    used("sslcrl", Some("PGSSLCRL")),
    used("sslkey", Some("PGSSLKEY")),
    used("sslmode", Some("PGSSLMODE")),
    used("sslnegotiation", Some("PGSSLNEGOTIATION")),
    used("sslrootcert", Some("PGSSLROOTCERT")),
    used("sslsni", Some("PGSSLSNI")),
    used("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    used("tcp_user_timeout", None),
    used("user", Some("PGUSER")),
    // The session's text is always UTF-8; no traffic is compressed; GSSAPI is never offered.
    ignored("client_encoding", None),
    ignored("gssdelegation", Some("PGGSSDELEGATION")),
    ignored("gsslib", Some("PGGSSLIB")),
    ignored("krbsrvname", Some("PGKRBSRVNAME")),
    ignored("max_protocol_version", Some("PGMAXPROTOCOLVERSION")),
    ignored("sslcompression", Some("PGSSLCOMPRESSION")),
    // A password for a key file that we then find unencrypted does no harm; an encrypted key is
    // refused where it is read.
    ignored("sslpassword", None),
    refused("gssencmode", Some("PGGSSENCMODE"), &["disable", "prefer"]),
    refused(
        "min_protocol_version",
        Some("PGMINPROTOCOLVERSION"),
        &["3.0"],
    ),
    refused("oauth_client_id", None, &[]),
    refused("oauth_client_secret", None, &[]),
    refused("oauth_issuer", None, &[]),
    refused("oauth_scope", None, &[]),
    refused("replication", None, &["false", "off", "no", "0"]),
    refused("require_auth", Some("PGREQUIREAUTH"), &[]),
    refused("requirepeer", Some("PGREQUIREPEER"), &[]),
    refused("scram_client_key", None, &[]),
    refused("scram_server_key", None, &[]),
    refused("sslcrldir", Some("PGSSLCRLDIR"), &[]),
    refused("sslkeylogfile", None, &[]),
];

/// The keyword of that name.
pub(super) fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

/// Every keyword that an environment variable can give.
pub(super) fn with_variables() -> impl Iterator<Item = (&'static Keyword, &'static str)> {
    KEYWORDS
        .iter()
        .filter_map(|keyword| Some((keyword, keyword.variable?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_keyword_and_no_variable_stands_in_the_table_twice() {
        for (place, keyword) in KEYWORDS.iter().enumerate() {
            for other in &KEYWORDS[place + 1..] {
                assert_ne!(keyword.name, other.name);
                assert!(keyword.variable.is_none() || keyword.variable != other.variable);
            }
        }
    }

    #[test]
    fn the_page_on_connecting_names_every_keyword() {
        let page = include_str!("../../docs/connecting.md");
        for keyword in KEYWORDS {
            let name = format!("`{}`", keyword.name);
            assert!(page.contains(&name), "{name} is not explained");
        }
    }
}
