//! Settings from every place, nearest first: command line, environment, quay-doctor.toml, default.

use std::path::{Path, PathBuf};

use super::file::ConfigFile;
use super::key::{self, ALL, Key, KeyOr, Spec};
use super::{
    ConfigError, ConnectionSettings, DatabaseChoice, Environment, Origin, QuayConfig, Secret,
};

/// A value, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T> {
    /// The value.
    pub value: T,
    /// The place that gave it.
    pub origin: Origin,
}

/// A setting as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Its value; a secret is masked; none where nobody gives one.
    pub value: Option<String>,
    /// The place that gave it.
    pub origin: Origin,
}

/// The environment and quay-doctor.toml.
pub struct Layers {
    environment: Environment,
    file: Option<ConfigFile>,
}

/// Which options of the command line say where the database is.
#[derive(Clone, Debug, Default)]
pub struct DatabaseOptions {
    /// `--database-url`.
    pub url: Option<Secret>,
    /// `--quay-config`.
    pub quay_config: Option<PathBuf>,
}

impl Layers {
    /// Reads quay-doctor.toml: the one that is named, that `QUAY_DOCTOR_CONFIG` names, or the first
    /// of `./quay-doctor.toml` and `/etc/quay-doctor/quay-doctor.toml`.
    ///
    /// # Errors
    /// [`ConfigError`] where a file that is named is not there, or one that is there cannot be used.
    pub fn load(named: Option<&Path>, environment: Environment) -> Result<Self, ConfigError> {
        let file = ConfigFile::find(named, &environment)?;
        if let Some(file) = &file {
            tracing::debug!(file = %file.path.display(), "configuration read");
        }
        Ok(Self { environment, file })
    }

    /// The environment alone.
    pub fn of(environment: Environment) -> Self {
        let file = None;
        Self { environment, file }
    }

    /// The file that was read.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|file| file.path.as_path())
    }

    /// The environment.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// A setting, where anybody gives it.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] where the variable's text cannot be read.
    pub fn given<T>(
        &self,
        key: &Key<T>,
        option: Option<T>,
    ) -> Result<Option<Given<T>>, ConfigError> {
        let spec = key.spec;
        if let Some(value) = option {
            let origin = Origin::Option(spec.option);
            return Ok(Some(Given { value, origin }));
        }
        let Some((text, origin)) = self.text(spec) else {
            return Ok(None);
        };
        match (key.read)(&text) {
            Ok(value) => Ok(Some(Given { value, origin })),
            Err(reason) => Err(ConfigError::BadValue {
                key: spec.name,
                origin,
                reason,
            }),
        }
    }

    /// The value of a setting, where anybody gives it.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] where the variable's text cannot be read.
    pub fn stated<T>(&self, key: &Key<T>, option: Option<T>) -> Result<Option<T>, ConfigError> {
        Ok(self.given(key, option)?.map(|given| given.value))
    }

    /// The value of a setting that has a default.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] where the variable's text cannot be read.
    pub fn value<T: Copy>(&self, key: &KeyOr<T>, option: Option<T>) -> Result<T, ConfigError> {
        Ok(self.stated(&key.key, option)?.unwrap_or(key.default))
    }

    /// A file or folder. One that quay-doctor.toml names is beside it.
    ///
    /// # Errors
    /// [`ConfigError::BadValue`] where the variable's text cannot be read.
    pub fn path(
        &self,
        key: &Key<PathBuf>,
        option: Option<PathBuf>,
    ) -> Result<Option<PathBuf>, ConfigError> {
        Ok(self.given(key, option)?.map(|given| beside(&given)))
    }

    fn text(&self, spec: Spec) -> Option<(String, Origin)> {
        if let Some(text) = self.environment.get(spec.variable) {
            return Some((text.to_owned(), Origin::Variable(spec.variable)));
        }
        let (text, origin) = self.file.as_ref()?.get(spec.name)?;
        Some((text.to_owned(), origin))
    }

    /// Quay's config.yaml, where one is named.
    ///
    /// # Errors
    /// [`ConfigError`] where it cannot be read.
    pub fn quay(&self, options: &DatabaseOptions) -> Result<Option<QuayConfig>, ConfigError> {
        let named = self.path(&key::QUAY_CONFIG, options.quay_config.clone())?;
        named.map(|named| QuayConfig::read(&named)).transpose()
    }

    /// How to reach the database. Of one place a URL counts before the PG* variables, and these
    /// before Quay's config.yaml.
    ///
    /// # Errors
    /// [`ConfigError`] where no database is named or a setting cannot be used.
    pub fn connection(&self, options: &DatabaseOptions) -> Result<ConnectionSettings, ConfigError> {
        self.with_choice(options, |choice| {
            ConnectionSettings::resolve_in(choice, &self.environment)
        })
    }

    fn with_choice<R>(
        &self,
        options: &DatabaseOptions,
        take: impl FnOnce(&DatabaseChoice<'_>) -> Result<R, ConfigError>,
    ) -> Result<R, ConfigError> {
        let url = self.given(&key::DATABASE_URL, options.url.clone())?;
        let quay = self.given(&key::QUAY_CONFIG, options.quay_config.clone())?;
        let variables = self.environment.names_a_database();
        let nearest = [
            url.as_ref().map(|url| (distance(&url.origin), 0)),
            variables.then_some((distance(&Origin::Variable("")), 1)),
            quay.as_ref().map(|quay| (distance(&quay.origin), 2)),
        ]
        .into_iter()
        .flatten()
        .min();
        match (nearest, url, quay) {
            (Some((_, 0)), Some(url), _) => take(&DatabaseChoice::Url(url.value, url.origin)),
            (Some((_, 2)), _, Some(quay)) => {
                take(&DatabaseChoice::Quay(&QuayConfig::read(&beside(&quay))?))
            }
            _ => take(&DatabaseChoice::Environment),
        }
    }

    /// Every setting of our own, and then every word of the connection that somebody gives.
    /// `stated` are options of the command line, by their settings' names.
    ///
    /// # Errors
    /// [`ConfigError`] where a setting cannot be used.
    pub fn shown(
        &self,
        options: &DatabaseOptions,
        stated: &[(&str, String)],
    ) -> Result<(Vec<Shown>, Vec<Shown>), ConfigError> {
        let quay = self.quay(options)?;
        let mut settings = Vec::with_capacity(ALL.len());
        for key in ALL {
            let spec = key.spec();
            let option = stated.iter().find(|(name, _)| *name == spec.name);
            let (value, origin) = match option {
                Some((_, text)) => (Some(text.clone()), Origin::Option(spec.option)),
                None => match (
                    self.text(spec),
                    quay.as_ref().and_then(|q| q.says(spec.name)),
                ) {
                    (Some((text, origin)), _) => {
                        key.check(&text).map_err(|reason| ConfigError::BadValue {
                            key: spec.name,
                            origin: origin.clone(),
                            reason,
                        })?;
                        (Some(text), origin)
                    }
                    (None, Some((text, origin))) => (Some(text), origin),
                    (None, None) => (spec.default.map(str::to_owned), Origin::Default),
                },
            };
            let masked = spec.secret && value.is_some();
            settings.push(Shown {
                name: spec.name.to_owned(),
                value: if masked {
                    Some("****".to_owned())
                } else {
                    value
                },
                origin,
            });
        }
        let connection = self.with_choice(options, |choice| {
            super::connection::shown(choice, &self.environment)
        });
        match connection {
            Ok(connection) => Ok((settings, connection)),
            Err(ConfigError::NoDatabase) => Ok((settings, Vec::new())),
            Err(error) => Err(error),
        }
    }
}

/// A path; one that quay-doctor.toml gives is meant from where the file is.
fn beside(given: &Given<PathBuf>) -> PathBuf {
    match &given.origin {
        Origin::File { file, .. } => file
            .parent()
            .map_or_else(|| given.value.clone(), |folder| folder.join(&given.value)),
        _ => given.value.clone(),
    }
}

/// How far a place is: what is nearer counts.
fn distance(origin: &Origin) -> u8 {
    match origin {
        Origin::Option(_) => 0,
        Origin::Variable(_) => 1,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(file: &str, environment: Environment) -> Layers {
        let file = ConfigFile::parse(file, Path::new("/etc/qd/q.toml")).unwrap();
        Layers {
            environment: environment.with_os_user("osuser"),
            file: Some(file),
        }
    }

    #[test]
    fn an_option_counts_before_a_variable_and_that_before_the_file_and_that_before_the_default() {
        let variable = || Environment::empty().with("QUAY_DOCTOR_READERS", "5");
        let file = "readers = 4";
        let of = |layers: &Layers, option| layers.given(&key::READERS.key, option).unwrap();
        let option = of(&layers(file, variable()), Some(6));
        let option = option.unwrap();
        assert_eq!(
            (option.value, option.origin),
            (6, Origin::Option("--readers"))
        );
        assert_eq!(of(&layers(file, variable()), None).unwrap().value, 5);
        let in_file = of(&layers(file, Environment::empty()), None).unwrap();
        assert_eq!(in_file.value, 4);
        assert_eq!(in_file.origin.to_string(), "/etc/qd/q.toml:1");
        let nobody = layers("", Environment::empty());
        assert_eq!(of(&nobody, None), None);
        assert_eq!(nobody.value(&key::READERS, None).unwrap(), 2);
    }

    #[test]
    fn a_path_in_the_file_is_beside_it_and_another_is_not() {
        let path = |layers: &Layers| layers.path(&key::CHECKS, None).unwrap().unwrap();
        let in_file = layers("checks = 'rules'", Environment::empty());
        assert_eq!(path(&in_file), Path::new("/etc/qd/rules"));
        let variable = layers("", Environment::empty().with("QUAY_DOCTOR_CHECKS", "rules"));
        assert_eq!(path(&variable), Path::new("rules"));
    }

    #[test]
    fn the_nearest_place_says_which_database() {
        let file = "database-url = 'host=infile dbname=q'";
        let host = |layers: Layers, options: &DatabaseOptions| {
            layers.connection(options).unwrap().targets[0].to_string()
        };
        let none = DatabaseOptions::default();
        let empty = Environment::empty;
        assert_eq!(host(layers(file, empty()), &none), "infile:5432");
        // A variable that names no database fills gaps only.
        let port = empty().with("PGPORT", "6432");
        assert_eq!(host(layers(file, port), &none), "infile:6432");
        let pg = empty().with("PGHOST", "pghost");
        assert_eq!(host(layers(file, pg.clone()), &none), "pghost:5432");
        let url = pg.with("DATABASE_URL", "host=url");
        assert_eq!(host(layers(file, url.clone()), &none), "url:5432");
        let option = DatabaseOptions {
            url: Some(Secret::new("host=option")),
            quay_config: None,
        };
        assert_eq!(host(layers(file, url), &option), "option:5432");
    }

    #[test]
    fn what_is_shown_says_whence_and_no_secret() {
        let file = "database-url = 'postgresql://u:hunter2@db/q?sslmode=require'\ngrace = '1m'";
        let environment = Environment::empty().with("PGAPPNAME", "nightly");
        let stated = [("actor", "me".to_owned())];
        let (settings, connection) = layers(file, environment)
            .shown(&DatabaseOptions::default(), &stated)
            .unwrap();
        assert_eq!(settings.len(), ALL.len());
        let of = |all: &[Shown], name: &str| {
            let shown = all.iter().find(|shown| shown.name == name).unwrap();
            (
                shown.value.clone().unwrap_or_default(),
                shown.origin.to_string(),
            )
        };
        let place = |line| format!("/etc/qd/q.toml:{line}");
        assert_eq!(of(&settings, "grace"), ("1m".to_owned(), place(2)));
        assert_eq!(
            of(&settings, "actor"),
            ("me".to_owned(), "--actor".to_owned())
        );
        assert_eq!(of(&settings, "limit").1, "the default");
        assert_eq!(of(&connection, "host"), ("db".to_owned(), place(1)));
        assert_eq!(of(&connection, "password"), ("****".to_owned(), place(1)));
        let name = of(&connection, "application_name");
        assert_eq!(name.0, "nightly");
        assert!(!format!("{settings:?} {connection:?}").contains("hunter2"));
    }
}
