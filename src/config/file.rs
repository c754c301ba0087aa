//! quay-doctor.toml: where it is looked for, and what may stand in it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::key::ALL;
use super::suggestion::{line_of, meant_by};
use super::{ConfigError, Environment, Origin};

/// The variable that names the file.
const VARIABLE: &str = "QUAY_DOCTOR_CONFIG";
/// Where it is looked for where nobody names it: the first that is there counts.
const PLACES: [&str; 2] = ["quay-doctor.toml", "/etc/quay-doctor/quay-doctor.toml"];
/// The longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// A quay-doctor.toml that can be used.
pub(super) struct ConfigFile {
    pub(super) path: PathBuf,
    /// Each setting's text, and the line that gives it.
    given: BTreeMap<&'static str, (String, usize)>,
}

/// As typed: each key as its option is called.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Raw {
    database_url: Option<Spanned<String>>,
    quay_config: Option<Spanned<String>>,
    immutable_tags: Option<Spanned<bool>>,
    immutable_tags_can_expire: Option<Spanned<bool>>,
    actor: Option<Spanned<String>>,
    grace: Option<Spanned<String>>,
    stale_after: Option<Spanned<String>>,
    accept_undecided: Option<Spanned<Vec<String>>>,
    fail_on: Option<Spanned<String>>,
    strict: Option<Spanned<bool>>,
    allow_settling: Option<Spanned<bool>>,
    checks: Option<Spanned<String>>,
    baseline: Option<Spanned<String>>,
    limit: Option<Spanned<u64>>,
    readers: Option<Spanned<u64>>,
    timeout: Option<Spanned<String>>,
    every: Option<Spanned<String>>,
    listen: Option<Spanned<String>>,
    token_file: Option<Spanned<String>>,
}

impl Raw {
    /// Every key that is there, with its text and its place in the file.
    fn texts(self) -> impl Iterator<Item = (&'static str, String, usize)> {
        fn said<T: ToString>(given: Option<Spanned<T>>) -> Option<(String, usize)> {
            let given = given?;
            let at = given.span().start;
            Some((given.into_inner().to_string(), at))
        }
        let list = self.accept_undecided.map(|given| {
            let at = given.span().start;
            (given.into_inner().join(","), at)
        });
        [
            ("database-url", said(self.database_url)),
            ("quay-config", said(self.quay_config)),
            ("immutable-tags", said(self.immutable_tags)),
            (
                "immutable-tags-can-expire",
                said(self.immutable_tags_can_expire),
            ),
            ("actor", said(self.actor)),
            ("grace", said(self.grace)),
            ("stale-after", said(self.stale_after)),
            ("accept-undecided", list),
            ("fail-on", said(self.fail_on)),
            ("strict", said(self.strict)),
            ("allow-settling", said(self.allow_settling)),
            ("checks", said(self.checks)),
            ("baseline", said(self.baseline)),
            ("limit", said(self.limit)),
            ("readers", said(self.readers)),
            ("timeout", said(self.timeout)),
            ("every", said(self.every)),
            ("listen", said(self.listen)),
            ("token-file", said(self.token_file)),
        ]
        .into_iter()
        .filter_map(|(name, given)| given.map(|(text, at)| (name, text, at)))
    }
}

impl ConfigFile {
    /// Reads the file that is named, by an option before the environment, or the first that is
    /// where it is looked for.
    pub(super) fn find(
        named: Option<&Path>,
        environment: &Environment,
    ) -> Result<Option<Self>, ConfigError> {
        let named = named.or_else(|| environment.get(VARIABLE).map(Path::new));
        if let Some(path) = named {
            return Self::read(path).map(Some);
        }
        for place in PLACES {
            match Self::read(Path::new(place)) {
                Err(ConfigError::Unreadable { error, .. })
                    if error.kind() == ErrorKind::NotFound => {}
                read => return read.map(Some),
            }
        }
        Ok(None)
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |error| ConfigError::unreadable("the configuration", path, error);
        let about = std::fs::metadata(path).map_err(unreadable)?;
        if about.len() > LONGEST {
            return Err(unreadable(std::io::Error::new(
                ErrorKind::FileTooLarge,
                "it is longer than 1 MiB",
            )));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(&text, path)
    }

    pub(super) fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(|error| ConfigError::BadFile {
            file: path.to_owned(),
            line: line_of(&error),
            reason: plain(error.message()),
            help: meant_by(error.message())
                .unwrap_or_else(|| "docs/configuration.md describes every key".to_owned()),
        })?;
        let mut given = BTreeMap::new();
        for (name, value, at) in raw.texts() {
            let line = 1 + text.as_bytes()[..at]
                .iter()
                .filter(|b| **b == b'\n')
                .count();
            let origin = Origin::File {
                file: path.to_owned(),
                line,
            };
            let key = ALL.iter().find(|key| key.spec().name == name);
            if let Some(Err(reason)) = key.map(|key| key.check(&value)) {
                return Err(ConfigError::BadValue {
                    key: name,
                    origin,
                    reason,
                });
            }
            given.insert(name, (value, line));
        }
        Ok(Self {
            path: path.to_owned(),
            given,
        })
    }

    /// A setting's text, and the line that gives it.
    pub(super) fn get(&self, name: &str) -> Option<(&str, Origin)> {
        let (text, line) = self.given.get(name)?;
        let origin = Origin::File {
            file: self.path.clone(),
            line: *line,
        };
        Some((text, origin))
    }
}

/// The reader's words without a value that it quotes: that may be a password in the wrong place.
fn plain(message: &str) -> String {
    match message.strip_prefix("invalid type: ") {
        Some(rest) => match rest.rsplit_once(", expected ") {
            Some((_, expected)) => format!("the value must be {expected}"),
            None => "the value has a wrong type".to_owned(),
        },
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<ConfigFile, ConfigError> {
        ConfigFile::parse(text, Path::new("/etc/q.toml"))
    }

    #[test]
    fn every_key_has_its_setting_and_every_setting_its_key() {
        let text = "actor = 'a'\nlimit = 7\nreaders = 2\nstrict = true\nallow-settling = true\n\
            immutable-tags = true\nimmutable-tags-can-expire = true\ntimeout = '1h'\ngrace = '1m'\n\
            stale-after = '1h'\nfail-on = 'info'\nchecks = 'c'\nbaseline = 'b'\n\
            accept-undecided = ['u']\nevery = '5m'\nlisten = '[::1]:1'\ntoken-file = 't'\nquay-config = 'q'\ndatabase-url = 'd'\n";
        let file = parsed(text).unwrap();
        let names: Vec<&str> = file.given.keys().copied().collect();
        let mut all: Vec<&str> = ALL.iter().map(|key| key.spec().name).collect();
        all.sort_unstable();
        assert_eq!(names, all);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_was_meant() {
        for (text, line, says) in [
            ("limit = 1\ngrade = '15m'", "2", "did you mean `grace`?"),
            ("\n\ngrace = 15", "3", "must be a string"),
            ("strict = 'hunter2'", "1", "must be a boolean"),
            ("limit = -1", "1", "docs/configuration.md"),
            ("[section]\ngrace = '1m'", "1", "docs/configuration.md"),
            ("grace = '1m'\ngrace = '2m'", "2", "duplicate"),
            ("# a comment\ngrace = '15 parsecs'", "2", "like 90s"),
            ("readers = 99", "1", "from 1 to 16"),
            ("fail-on = 'bad'", "1", "critical"),
        ] {
            let why = parsed(text).err().unwrap_or_else(|| panic!("{text}"));
            let help = miette::Diagnostic::help(&why).map(|help| help.to_string());
            let told = format!("{why} {help:?}");
            assert!(
                told.contains(&format!("/etc/q.toml:{line}")),
                "{text}: {told}"
            );
            assert!(
                told.contains(says) && !told.contains("hunter2"),
                "{text}: {told}"
            );
        }
    }
}
