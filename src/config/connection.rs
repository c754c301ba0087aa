//! How to reach the database: libpq's settings, resolved.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::parameters::Parameters;
use super::password_file::{self, Entry};
use super::{
    AnswerLimit, ChannelBinding, ConfigError, Environment, HostOrder, Origin, Password, QuayConfig,
    Secret, Shown, Target, TargetSession, TcpSettings, TlsSettings,
};
use super::{conninfo, service_file, session, target, url};

/// What every session of ours is called in `pg_stat_activity` where nobody gives another name.
const APPLICATION_NAME: &str = "quay-doctor";

/// Which database is meant.
#[derive(Clone, Debug)]
pub enum DatabaseChoice<'c> {
    /// The one of a URL or of a libpq connection string, and who gave it.
    Url(Secret, Origin),
    /// Quay's own.
    Quay(&'c QuayConfig),
    /// The one that `DATABASE_URL` or the PG* variables name.
    Environment,
}

/// Where and how to connect. Resolved from a URL, the PG* variables, the password file and the
/// service file, with libpq's precedence. Its `Debug` shows no password.
#[derive(Clone, Debug)]
pub struct ConnectionSettings {
    /// The servers to try; at least one.
    pub targets: Vec<Target>,
    /// The role.
    pub user: String,
    /// The database.
    pub database: String,
    /// Server settings for the session, as `-c name=value`.
    pub options: Option<String>,
    /// The session's name in `pg_stat_activity`.
    pub application_name: String,
    /// How the connection is protected.
    pub tls: TlsSettings,
    /// Whether SCRAM is bound to it.
    pub channel_binding: ChannelBinding,
    /// Which kind of server will do.
    pub target_session: TargetSession,
    /// In which order servers are tried.
    pub order: HostOrder,
    /// How long one address may take; `None`: as long as the operating system waits.
    pub connect_timeout: Option<Duration>,
    /// When a dead peer is noticed.
    pub tcp: TcpSettings,
    /// How long an answer is waited for; no libpq keyword says so.
    pub answer_limit: AnswerLimit,
}

impl ConnectionSettings {
    /// Resolves the settings from a URL and the process's environment; without a URL from the
    /// environment alone.
    ///
    /// # Errors
    /// [`ConfigError`] where no database is named or a setting cannot be used.
    pub fn resolve(url: Option<&str>) -> Result<Self, ConfigError> {
        let choice = match url {
            Some(url) => DatabaseChoice::Url(Secret::new(url), Origin::Caller),
            None => DatabaseChoice::Environment,
        };
        Self::resolve_in(&choice, &Environment::of_process())
    }

    /// Resolves the settings in a given environment. Reads the service file and the password file
    /// where the settings or the environment lead to one.
    ///
    /// # Errors
    /// [`ConfigError`] where no database is named or a setting cannot be used.
    pub fn resolve_in(
        choice: &DatabaseChoice<'_>,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let parameters = gather(choice, environment)?;
        parameters.refuse_unsupported()?;
        let user = user(&parameters, environment)?;
        let database = parameters.get("dbname").unwrap_or(&user).to_owned();
        let mut targets = target::read(&parameters)?;
        give_passwords(&mut targets, &parameters, environment, &database, &user);
        Ok(Self {
            options: parameters.get("options").map(str::to_owned),
            application_name: parameters
                .get("application_name")
                .or_else(|| parameters.get("fallback_application_name"))
                .unwrap_or(APPLICATION_NAME)
                .to_owned(),
            tls: TlsSettings::resolve(&parameters, environment)?,
            channel_binding: session::channel_binding(&parameters)?,
            target_session: session::target_session(&parameters)?,
            order: session::order(&parameters)?,
            connect_timeout: session::connect_timeout(&parameters)?,
            tcp: session::tcp(&parameters)?,
            answer_limit: AnswerLimit::default(),
            targets,
            user,
            database,
        })
    }

    /// The same, with a limit on answers; what was set before stays.
    #[must_use]
    pub fn with_answer_limit(&self, limit: AnswerLimit) -> Self {
        let mut settings = self.clone();
        if settings.answer_limit == AnswerLimit::None {
            settings.answer_limit = limit;
        }
        settings
    }
}

/// Collects what was said, nearest place first.
fn gather(
    choice: &DatabaseChoice<'_>,
    environment: &Environment,
) -> Result<Parameters, ConfigError> {
    let mut parameters = Parameters::default();
    match choice {
        DatabaseChoice::Url(text, origin) => set_text(&mut parameters, text, origin)?,
        DatabaseChoice::Quay(quay) => parameters = quay.parameters()?,
        DatabaseChoice::Environment => match environment.get("DATABASE_URL") {
            Some(text) => {
                let origin = Origin::Variable("DATABASE_URL");
                set_text(&mut parameters, &Secret::new(text), &origin)?;
            }
            // libpq would fall back on a database that is named like the user. Nobody means that.
            None if !environment.names_a_database() => return Err(ConfigError::NoDatabase),
            None => {}
        },
    }
    let service = parameters
        .get("service")
        .or_else(|| environment.get("PGSERVICE"))
        .map(str::to_owned);
    if let Some(service) = service {
        service_file::fill(&mut parameters, &service, environment)?;
    }
    parameters.fill_from_environment(environment);
    Ok(parameters)
}

/// Words that are shown to nobody.
const SECRETS: [&str; 2] = ["password", "sslpassword"];

/// Every word of the connection that somebody gives, and who; nothing is connected to.
pub(super) fn shown(
    choice: &DatabaseChoice<'_>,
    environment: &Environment,
) -> Result<Vec<Shown>, ConfigError> {
    let parameters = gather(choice, environment)?;
    let mut shown: Vec<Shown> = parameters
        .all()
        .map(|(name, value, origin)| Shown {
            name: name.to_owned(),
            value: Some(
                if SECRETS.contains(&name) {
                    "****"
                } else {
                    value
                }
                .to_owned(),
            ),
            origin: origin.clone(),
        })
        .collect();
    let settings = ConnectionSettings::resolve_in(choice, environment)?;
    let in_file = settings.targets.iter().find_map(|target| {
        let password = target.password.as_ref()?;
        matches!(password.origin, Origin::PasswordFile(_)).then_some(password)
    });
    shown.extend(in_file.map(|password| Shown {
        name: "password".to_owned(),
        value: Some(password.secret.to_string()),
        origin: password.origin.clone(),
    }));
    Ok(shown)
}

/// Takes a URL or a string of keywords.
fn set_text(
    parameters: &mut Parameters,
    text: &Secret,
    origin: &Origin,
) -> Result<(), ConfigError> {
    // A file or a secret store often adds a line end; libpq would make it part of the last word.
    let text = text.reveal().trim_end_matches(['\n', '\r']);
    let words = match url::after_scheme(text) {
        Some(rest) => url::parse(rest),
        None if text.is_empty() => Err("it is empty".to_owned()),
        // A value may hold ://, a keyword may not.
        None if text
            .split('=')
            .next()
            .is_some_and(|first| first.contains("://")) =>
        {
            Err("it must begin with postgresql:// or postgres://".to_owned())
        }
        None => conninfo::parse(text),
    };
    let words = words.map_err(|reason| ConfigError::bad_url(origin, reason))?;
    parameters.set_words(&words, origin)
}

fn user(parameters: &Parameters, environment: &Environment) -> Result<String, ConfigError> {
    parameters
        .get("user")
        .or_else(|| environment.os_user())
        .map(str::to_owned)
        .ok_or_else(|| {
            let reason = "no user is given, and the operating system does not tell who you are";
            ConfigError::bad_setting("user", &Origin::Default, reason)
        })
}

/// Gives each server its password: the stated one for all, else its line in the password file.
fn give_passwords(
    targets: &mut [Target],
    parameters: &Parameters,
    environment: &Environment,
    database: &str,
    user: &str,
) {
    if let Some((password, origin)) = parameters.get_with_origin("password") {
        for target in targets {
            target.password = Some(Password {
                secret: Secret::new(password),
                origin: origin.clone(),
            });
        }
        return;
    }
    let path = match parameters.get("passfile") {
        Some(path) => Some(PathBuf::from(path)),
        None => environment.home_file(".pgpass"),
    };
    let credentials = environment.get("CREDENTIALS_DIRECTORY").map(Path::new);
    let read = |path: PathBuf| {
        let text = password_file::read(&path, credentials)?;
        Some((path, text))
    };
    let Some((path, file)) = path.and_then(read) else {
        return;
    };
    for target in targets {
        let entry = Entry {
            host: &target.host_in_password_file(),
            port: target.port,
            database,
            user,
        };
        target.password = password_file::find(&file, entry).map(|secret| Password {
            secret,
            origin: Origin::PasswordFile(path.clone()),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Host;

    fn resolved(url: &str, environment: &Environment) -> ConnectionSettings {
        let choice = DatabaseChoice::Url(Secret::new(url), Origin::Caller);
        ConnectionSettings::resolve_in(&choice, environment)
            .unwrap_or_else(|why| panic!("{url}: {why}"))
    }

    fn environment() -> Environment {
        Environment::empty().with_os_user("osuser")
    }

    #[test]
    fn what_is_not_said_comes_from_libpqs_defaults() {
        let settings = resolved("postgresql://db1", &environment());
        assert_eq!(settings.user, "osuser");
        assert_eq!(settings.database, "osuser");
        assert_eq!(settings.targets[0].to_string(), "db1:5432");
        assert_eq!(settings.targets[0].password, None);
        assert_eq!(settings.application_name, "quay-doctor");
        assert_eq!(settings.target_session, TargetSession::Any);
    }

    #[test]
    fn the_url_wins_over_the_environment_word_by_word() {
        let environment = environment()
            .with("PGUSER", "envuser")
            .with("PGDATABASE", "envdb")
            .with("PGPASSWORD", "envpw")
            .with("PGAPPNAME", "nightly");
        let settings = resolved("postgresql://urluser@db1", &environment);
        assert_eq!((&*settings.user, &*settings.database), ("urluser", "envdb"));
        let password = settings.targets[0].password.as_ref().unwrap();
        assert_eq!(password.secret.reveal(), "envpw");
        assert_eq!(password.origin, Origin::Variable("PGPASSWORD"));
        assert_eq!(settings.application_name, "nightly");
    }

    #[test]
    fn nothing_at_all_names_no_database() {
        let choice = DatabaseChoice::Environment;
        let environment = environment().with("PGPORT", "5432").with("PGUSER", "quay");
        let resolved = ConnectionSettings::resolve_in(&choice, &environment);
        assert!(matches!(resolved, Err(ConfigError::NoDatabase)));
        let environment = environment.with("PGDATABASE", "quay");
        assert!(ConnectionSettings::resolve_in(&choice, &environment).is_ok());
        let environment = environment.with("DATABASE_URL", "host=db9");
        let settings = ConnectionSettings::resolve_in(&choice, &environment).unwrap();
        assert_eq!(settings.targets[0].to_string(), "db9:5432");
    }

    #[test]
    fn a_socket_is_a_host_that_begins_with_a_slash() {
        for url in [
            "postgresql://%2Frun%2Fpg/quay",
            "postgresql:///quay?host=/run/pg",
            "host=/run/pg dbname=quay",
        ] {
            let settings = resolved(url, &environment());
            assert_eq!(
                settings.targets[0].host,
                Host::Socket("/run/pg".into()),
                "{url}"
            );
        }
    }

    #[test]
    fn no_setting_shows_the_password_when_printed() {
        let settings = resolved("postgresql://u:hunter2@a,b/quay", &environment());
        assert!(!format!("{settings:?}").contains("hunter2"));
        let choice = DatabaseChoice::Url(Secret::new("postgresql://u:hunter2@a"), Origin::Caller);
        assert!(!format!("{choice:?}").contains("hunter2"));
    }

    #[test]
    fn a_complaint_names_the_place_and_never_the_password() {
        for url in [
            "mysql://u:hunter2@db/quay",
            "postgresql://u:hunter2@db:x/quay",
            "postgresql://u:hunter2@db/quay?sslmode=hunter2",
            "postgresql://u:hunter2@db/quay?hunter2=1",
            "hunter2",
            "password=hun hunter2",
            "",
        ] {
            let choice = DatabaseChoice::Url(Secret::new(url), Origin::Option("--database-url"));
            let why = ConnectionSettings::resolve_in(&choice, &environment()).expect_err(url);
            let shown = format!("{why} {why:?}");
            assert!(shown.contains("--database-url"), "{url}: {shown}");
            assert!(!shown.contains("hunter2"), "{url}: {shown}");
        }
    }
}
