//! Quay's own config.yaml: its database and the two feature flags.
//!
//! Facts from Quay's sources: `DB_URI` is SQLAlchemy's URL, not libpq's (data/database.py, which
//! takes driver, user, password, host, port and database from it, and no parameter after a `?`);
//! `DB_CONNECTION_ARGS` are
//! keyword arguments for psycopg2, which hands them to libpq; a feature flag that is a text is on
//! where the text is "true" (features/__init__.py).

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::parameters::Parameters;
use super::{ConfigError, Feature, Origin, keyword, url};

/// The longest file that is read.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// Arguments of Quay's connection pool and of psycopg2 itself. They say nothing about where the
/// database is or how the connection is protected.
const NOT_LIBPQ: [&str; 13] = [
    "autocommit",
    "autoconnect",
    "autorollback",
    "charset",
    "encoding",
    "field_types",
    "isolation_level",
    "max_connections",
    "operations",
    "stale_timeout",
    "thread_safe",
    "threadlocals",
    "timeout",
];

/// The connection settings that name a file.
const FILES: [&str; 4] = ["sslrootcert", "sslcert", "sslkey", "sslcrl"];

/// What we need of config.yaml.
#[derive(Clone)]
pub struct QuayConfig {
    path: PathBuf,
    raw: Raw,
}

/// As typed. Everything else in the file is passed over.
#[derive(Clone, Deserialize)]
struct Raw {
    #[serde(rename = "DB_URI")]
    db_uri: Option<String>,
    #[serde(rename = "DB_CONNECTION_ARGS")]
    db_connection_args: Option<BTreeMap<String, Scalar>>,
    #[serde(rename = "FEATURE_IMMUTABLE_TAGS")]
    immutable_tags: Option<Scalar>,
    #[serde(rename = "FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE")]
    can_expire: Option<Scalar>,
}

/// A value of YAML.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Switch(bool),
    Number(i64),
    Text(String),
    /// A list, a map or nothing.
    Other(serde::de::IgnoredAny),
}

impl QuayConfig {
    /// Reads a config.yaml.
    ///
    /// # Errors
    /// [`ConfigError`] where the file cannot be read or is no configuration of Quay's.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::unreadable("Quay's configuration", path, error);
        let metadata = std::fs::metadata(path).map_err(unreadable)?;
        if metadata.len() > MOST_BYTES {
            return Err(Self::bad(path, "it is longer than 16 MiB"));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text, path)
    }

    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        // The parser's account quotes the file, which is full of secrets: only the place is kept.
        let raw = serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location().map_or_else(String::new, |place| {
                format!(" at line {}, column {}", place.line(), place.column())
            });
            Self::bad(path, format!("it is not the YAML that is expected{place}"))
        })?;
        let path = path.to_owned();
        Ok(Self { path, raw })
    }

    fn bad(path: &Path, reason: impl Into<String>) -> ConfigError {
        ConfigError::BadQuayConfig {
            file: path.to_owned(),
            reason: reason.into(),
        }
    }

    /// `FEATURE_IMMUTABLE_TAGS`; Quay's default is off.
    pub fn immutable_tags(&self) -> Feature {
        self.feature(self.raw.immutable_tags.as_ref())
    }

    /// `FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE`; Quay's default is off.
    pub fn can_expire(&self) -> Feature {
        self.feature(self.raw.can_expire.as_ref())
    }

    fn feature(&self, stated: Option<&Scalar>) -> Feature {
        let origin = Origin::QuayConfig(self.path.clone());
        let on = match stated {
            None => return Feature::Off(Origin::QuayDefault(self.path.clone())),
            Some(Scalar::Switch(on)) => *on,
            Some(Scalar::Number(number)) => *number != 0,
            Some(Scalar::Text(text)) => text.eq_ignore_ascii_case("true"),
            Some(Scalar::Other(_)) => false,
        };
        if on {
            Feature::On(origin)
        } else {
            Feature::Off(origin)
        }
    }

    /// What it says of a setting of ours, by the setting's name.
    pub(super) fn says(&self, name: &str) -> Option<(String, Origin)> {
        let feature = match name {
            "immutable-tags" => self.immutable_tags(),
            "immutable-tags-can-expire" => self.can_expire(),
            _ => return None,
        };
        match feature {
            Feature::On(origin) => Some(("true".to_owned(), origin)),
            Feature::Off(origin) => Some(("false".to_owned(), origin)),
            Feature::Unknown => None,
        }
    }

    /// The database, as connection settings.
    pub(super) fn parameters(&self) -> Result<Parameters, ConfigError> {
        let origin = Origin::QuayConfig(self.path.clone());
        let uri = self.raw.db_uri.as_deref().unwrap_or_default().trim();
        let Some((driver, rest)) = uri.split_once("://") else {
            return Err(Self::bad(
                &self.path,
                "it has no DB_URI that names a database",
            ));
        };
        // "postgresql+psycopg2": what follows the + is Python's driver.
        let kind = driver.split('+').next().unwrap_or_default();
        match kind {
            "postgresql" | "postgres" => {}
            "mysql" | "mariadb" | "sqlite" => {
                return Err(ConfigError::NotPostgres {
                    file: self.path.clone(),
                    kind: kind.to_owned(),
                });
            }
            _ => {
                return Err(Self::bad(
                    &self.path,
                    "its DB_URI names an unknown kind of database",
                ));
            }
        }
        let mut parameters = Parameters::default();
        self.set_arguments(&mut parameters, &origin)?;
        // As in Quay, the URL counts before the arguments, and what follows a ? does not count.
        let credentials = rest.find('@').unwrap_or(0);
        let end = rest[credentials..].find('?').map(|at| credentials + at);
        if end.is_some() {
            tracing::warn!("the parameters of DB_URI are ignored, as Quay ignores them");
        }
        let words = url::parse(&encode_password(&rest[..end.unwrap_or(rest.len())]))
            .map_err(|reason| Self::bad(&self.path, format!("its DB_URI: {reason}")))?;
        parameters.set_words(&words, &origin)?;
        Ok(parameters)
    }

    fn set_arguments(
        &self,
        parameters: &mut Parameters,
        origin: &Origin,
    ) -> Result<(), ConfigError> {
        for (name, value) in self.raw.db_connection_args.iter().flatten() {
            let Some(keyword) = keyword::find(name) else {
                if !NOT_LIBPQ.contains(&name.as_str()) {
                    tracing::warn!(argument = %name, "an entry of DB_CONNECTION_ARGS is unknown: ignored");
                }
                continue;
            };
            let value = match value {
                Scalar::Switch(on) => u8::from(*on).to_string(),
                Scalar::Number(number) => number.to_string(),
                Scalar::Text(text) => self.beside(keyword.name, text),
                Scalar::Other(_) => {
                    let reason = format!("{name} in DB_CONNECTION_ARGS is neither text nor number");
                    return Err(Self::bad(&self.path, reason));
                }
            };
            parameters.set(keyword.name, &value, origin);
        }
        Ok(())
    }

    /// Quay names its files as its container sees them. The same file usually lies beside
    /// config.yaml, in the bundle that is mounted into the container.
    fn beside(&self, name: &str, text: &str) -> String {
        let there = Path::new(text);
        if !FILES.contains(&name) || there.exists() {
            return text.to_owned();
        }
        let beside = there.file_name().zip(self.path.parent());
        match beside.map(|(file, folder)| folder.join(file)) {
            Some(file) if file.exists() => {
                tracing::info!(setting = name, file = %file.display(), "taken from beside config.yaml");
                file.display().to_string()
            }
            _ => text.to_owned(),
        }
    }
}

/// SQLAlchemy lets a password hold any character but @, libpq's URL does not: what would end the
/// user part there is encoded here.
fn encode_password(rest: &str) -> String {
    let credentials = rest.find('@').and_then(|at| {
        let (user, password) = rest[..at].split_once(':')?;
        // A slash before the colon: there is no user part, and the @ belongs to something else.
        (!user.contains('/')).then_some((user, password, &rest[at..]))
    });
    match credentials {
        Some((user, password, after)) => {
            format!("{user}:{}{after}", password.replace('/', "%2F"))
        }
        None => rest.to_owned(),
    }
}

/// The path only: the file holds passwords.
impl fmt::Debug for QuayConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuayConfig")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConnectionSettings, DatabaseChoice, Environment};

    fn parsed(text: &str) -> Result<QuayConfig, ConfigError> {
        QuayConfig::parse(text, Path::new("/conf/config.yaml"))
    }

    fn connection(text: &str) -> Result<ConnectionSettings, ConfigError> {
        let quay = parsed(text)?;
        let environment = Environment::empty().with_os_user("osuser");
        ConnectionSettings::resolve_in(&DatabaseChoice::Quay(&quay), &environment)
    }

    #[test]
    fn quays_database_is_found_with_its_arguments() {
        for scheme in ["postgresql", "postgresql+psycopg2", "postgres"] {
            let settings = connection(&format!(
                "AUTHENTICATION_TYPE: Database\n\
                 DB_URI: {scheme}://quay:s/e:c%40ret@db1:6432/quaydb\n\
                 DB_CONNECTION_ARGS:\n  autorollback: true\n  threadlocals: true\n  \
                 sslmode: require\n  connect_timeout: 3\n  sslrootcert: conf/stack/none.pem\n\
                 BUILDLOGS_REDIS: {{host: redis, password: x}}\n"
            ))
            .unwrap();
            assert_eq!(settings.targets[0].to_string(), "db1:6432");
            assert_eq!((&*settings.user, &*settings.database), ("quay", "quaydb"));
            let password = settings.targets[0].password.as_ref().unwrap();
            assert_eq!(password.secret.reveal(), "s/e:c@ret");
            assert_eq!(settings.connect_timeout.unwrap().as_secs(), 3);
            assert_eq!(settings.tls.mode, crate::config::TlsMode::Require);
        }
    }

    #[test]
    fn the_parameters_of_the_url_do_not_count_as_they_do_not_in_quay() {
        let settings =
            connection("DB_URI: postgresql://q:a?b@db1/quay?sslmode=require&x=y\n").unwrap();
        assert_eq!(settings.tls.mode, crate::config::TlsMode::Prefer);
        assert_eq!(settings.database, "quay");
        let password = settings.targets[0].password.as_ref().unwrap();
        assert_eq!(password.secret.reveal(), "a?b");
    }

    #[test]
    fn a_database_that_is_not_postgresql_is_named() {
        for (uri, kind) in [
            ("mysql+pymysql://quay:hunter2@db/quay", "mysql"),
            ("sqlite:////data/quay.db", "sqlite"),
        ] {
            let complaint = connection(&format!("DB_URI: {uri}\n"))
                .unwrap_err()
                .to_string();
            assert!(
                complaint.contains(kind) && complaint.contains("PostgreSQL only"),
                "{complaint}"
            );
            assert!(!complaint.contains("hunter2"), "{complaint}");
        }
        assert!(connection("DB_URI: oracle://x\n").is_err());
        assert!(connection("SERVER_HOSTNAME: quay\n").is_err());
    }

    #[test]
    fn the_features_are_read_as_quay_reads_them() {
        let cases = [
            ("true", Some(true)),
            ("false", Some(false)),
            ("\"True\"", Some(true)),
            ("\"yes please\"", Some(false)),
            ("1", Some(true)),
            ("null", Some(false)),
        ];
        for (text, known) in cases {
            let quay = parsed(&format!("FEATURE_IMMUTABLE_TAGS: {text}\n")).unwrap();
            assert_eq!(quay.immutable_tags().known(), known, "{text}");
        }
        let quay = parsed("DB_URI: x\n").unwrap();
        assert_eq!(
            quay.can_expire(),
            Feature::Off(Origin::QuayDefault("/conf/config.yaml".into()))
        );
    }

    #[test]
    fn broken_yaml_is_located_and_not_quoted() {
        for text in [
            "DB_URI: [hunter2",
            "DB_URI: {a: hunter2}\n",
            "hunter2",
            "a: b\n- hunter2\n",
        ] {
            let complaint = parsed(text).err().map(|why| format!("{why} {why:?}"));
            let complaint = complaint.unwrap_or_else(|| panic!("{text} was read"));
            assert!(!complaint.contains("hunter2"), "{complaint}");
        }
    }

    #[test]
    fn a_file_of_the_container_is_taken_from_beside_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        std::fs::write(folder.path().join("database.pem"), "").unwrap();
        let text = "DB_URI: postgresql://db/quay\nDB_CONNECTION_ARGS: {sslrootcert: conf/stack/database.pem}\n";
        std::fs::write(&path, text).unwrap();
        let parameters = QuayConfig::read(&path).unwrap().parameters().unwrap();
        let file = folder.path().join("database.pem");
        assert_eq!(parameters.get("sslrootcert"), file.to_str());
    }
}
