//! The settings of our own that a file or a variable can give, each with what its text may be.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

/// One setting: how it is named in each place, and how its text is read.
pub struct Key<T> {
    pub(super) spec: Spec,
    pub(super) read: fn(&str) -> Result<T, String>,
}

/// A setting with a value where nobody says anything.
pub struct KeyOr<T> {
    pub(super) key: Key<T>,
    pub(super) default: T,
}

impl<T> KeyOr<T> {
    /// Reads a text.
    ///
    /// # Errors
    /// What the text must be, in words.
    pub fn read(&self, text: &str) -> Result<T, String> {
        self.key.read(text)
    }
}

/// What there is to know of a setting apart from its type.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name in quay-doctor.toml.
    pub name: &'static str,
    /// The option of the command line.
    pub option: &'static str,
    /// The variable of the environment.
    pub variable: &'static str,
    /// What counts where nobody says anything, where there is such a thing.
    pub default: Option<&'static str>,
    /// Whether its text is shown to nobody.
    pub secret: bool,
}

impl<T> Key<T> {
    const fn new(
        name: &'static str,
        option: &'static str,
        variable: &'static str,
        read: fn(&str) -> Result<T, String>,
    ) -> Self {
        let spec = Spec {
            name,
            option,
            variable,
            default: None,
            secret: false,
        };
        Self { spec, read }
    }

    const fn or(mut self, text: &'static str, default: T) -> KeyOr<T>
    where
        T: Copy,
    {
        self.spec.default = Some(text);
        KeyOr { key: self, default }
    }

    /// Reads a text.
    ///
    /// # Errors
    /// What the text must be, in words.
    pub fn read(&self, text: &str) -> Result<T, String> {
        (self.read)(text)
    }

    const fn secret(mut self) -> Self {
        self.spec.secret = true;
        self
    }
}

/// Where Quay's database is.
pub static DATABASE_URL: Key<Secret> =
    Key::new("database-url", "--database-url", "DATABASE_URL", secret).secret();
/// Quay's config.yaml.
pub static QUAY_CONFIG: Key<PathBuf> = Key::new(
    "quay-config",
    "--quay-config",
    "QUAY_DOCTOR_QUAY_CONFIG",
    path,
);
/// Whether Quay runs with `FEATURE_IMMUTABLE_TAGS`.
pub static IMMUTABLE_TAGS: Key<bool> = Key::new(
    "immutable-tags",
    "--immutable-tags",
    "QUAY_DOCTOR_IMMUTABLE_TAGS",
    switch,
);
/// Whether Quay runs with `FEATURE_IMMUTABLE_TAGS_CAN_EXPIRE`.
pub static CAN_EXPIRE: Key<bool> = Key::new(
    "immutable-tags-can-expire",
    "--immutable-tags-can-expire",
    "QUAY_DOCTOR_IMMUTABLE_TAGS_CAN_EXPIRE",
    switch,
);
/// Who does something, for the journal.
pub static ACTOR: Key<String> = Key::new("actor", "--actor", "QUAY_DOCTOR_ACTOR", text);
/// How long Quay may be applying a policy that it has just created.
pub static GRACE: KeyOr<Duration> =
    Key::new("grace", "--grace", "QUAY_DOCTOR_GRACE", time).or("15m", Duration::from_secs(15 * 60));
/// How long an inactive policy may stay inactive without being stale.
pub static STALE_AFTER: KeyOr<Duration> = Key::new(
    "stale-after",
    "--stale-after",
    "QUAY_DOCTOR_STALE_AFTER",
    time,
)
.or("1h", Duration::from_secs(3600));
/// Policies of which it is accepted that they cannot be decided.
pub static ACCEPT_UNDECIDED: Key<Vec<String>> = Key::new(
    "accept-undecided",
    "--accept-undecided",
    "QUAY_DOCTOR_ACCEPT_UNDECIDED",
    list,
);
/// The least severity that makes the exit status of `check` 1.
pub static FAIL_ON: KeyOr<&'static str> =
    Key::new("fail-on", "--fail-on", "QUAY_DOCTOR_FAIL_ON", severity).or("warning", "warning");
/// Whether what evidence explains counts as a violation, too.
pub static STRICT: KeyOr<bool> =
    Key::new("strict", "--strict", "QUAY_DOCTOR_STRICT", switch).or("false", false);
/// Whether tags pass under a policy that Quay may still be applying.
pub static ALLOW_SETTLING: KeyOr<bool> = Key::new(
    "allow-settling",
    "--allow-settling",
    "QUAY_DOCTOR_ALLOW_SETTLING",
    switch,
)
.or("false", false);
/// A folder with rules of one's own.
pub static CHECKS: Key<PathBuf> = Key::new("checks", "--checks", "QUAY_DOCTOR_CHECKS", path);
/// Known violations.
pub static BASELINE: Key<PathBuf> =
    Key::new("baseline", "--baseline", "QUAY_DOCTOR_BASELINE", path);
/// How many violations are listed.
pub static LIMIT: KeyOr<u64> =
    Key::new("limit", "--limit", "QUAY_DOCTOR_LIMIT", count).or("10000", 10_000);
/// How many sessions read tags side by side.
pub static READERS: KeyOr<u8> =
    Key::new("readers", "--readers", "QUAY_DOCTOR_READERS", readers).or("2", 2);
/// How long a scan may take.
pub static TIMEOUT: Key<Duration> = Key::new("timeout", "--timeout", "QUAY_DOCTOR_TIMEOUT", time);
/// The time between two scans of `watch`.
pub static EVERY: KeyOr<Duration> =
    Key::new("every", "--every", "QUAY_DOCTOR_EVERY", time).or("15m", Duration::from_secs(15 * 60));
/// Where `watch` listens: loopback, unless somebody says otherwise.
pub static LISTEN: KeyOr<SocketAddr> =
    Key::new("listen", "--listen", "QUAY_DOCTOR_LISTEN", address).or(
        "127.0.0.1:9478",
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9478),
    );
/// The file with the token that whoever asks `watch` has to give.
pub static TOKEN_FILE: Key<PathBuf> =
    Key::new("token-file", "--token-file", "QUAY_DOCTOR_TOKEN_FILE", path);

/// A setting, whatever its type.
pub(super) trait AnyKey: Sync {
    fn spec(&self) -> Spec;
    /// Whether a text can be read.
    fn check(&self, text: &str) -> Result<(), String>;
}

impl<T> AnyKey for Key<T> {
    fn spec(&self) -> Spec {
        self.spec
    }

    fn check(&self, text: &str) -> Result<(), String> {
        (self.read)(text).map(drop)
    }
}

impl<T: Sync> AnyKey for KeyOr<T> {
    fn spec(&self) -> Spec {
        self.key.spec
    }

    fn check(&self, text: &str) -> Result<(), String> {
        self.key.check(text)
    }
}

/// Every setting, in the order in which they are shown.
pub(super) static ALL: [&dyn AnyKey; 19] = [
    &DATABASE_URL,
    &QUAY_CONFIG,
    &IMMUTABLE_TAGS,
    &CAN_EXPIRE,
    &ACTOR,
    &GRACE,
    &STALE_AFTER,
    &ACCEPT_UNDECIDED,
    &FAIL_ON,
    &STRICT,
    &ALLOW_SETTLING,
    &CHECKS,
    &BASELINE,
    &LIMIT,
    &READERS,
    &TIMEOUT,
    &EVERY,
    &LISTEN,
    &TOKEN_FILE,
];

/// The severities that a violation can have, the mildest first; `rules` has them as a type.
const SEVERITIES: [&str; 4] = ["info", "warning", "error", "critical"];

fn secret(given: &str) -> Result<Secret, String> {
    Ok(Secret::new(given))
}

fn text(given: &str) -> Result<String, String> {
    Ok(given.to_owned())
}

fn path(given: &str) -> Result<PathBuf, String> {
    if given.is_empty() {
        return Err("it must name a file or a folder".to_owned());
    }
    Ok(PathBuf::from(given))
}

fn switch(given: &str) -> Result<bool, String> {
    given
        .parse()
        .map_err(|_| "it must be true or false".to_owned())
}

fn time(given: &str) -> Result<Duration, String> {
    humantime::parse_duration(given)
        .map_err(|_| "it must be a time with its unit, like 90s, 15m or 1h".to_owned())
}

fn address(given: &str) -> Result<SocketAddr, String> {
    given
        .parse()
        .map_err(|_| "it must be an address with its port, like 127.0.0.1:9478".to_owned())
}

fn count(given: &str) -> Result<u64, String> {
    given
        .parse()
        .map_err(|_| "it must be a whole number".to_owned())
}

fn readers(given: &str) -> Result<u8, String> {
    let number = given
        .parse()
        .ok()
        .filter(|number| (1..=16).contains(number));
    number.ok_or_else(|| "it must be a whole number from 1 to 16".to_owned())
}

fn severity(given: &str) -> Result<&'static str, String> {
    let found = SEVERITIES.iter().find(|known| **known == given);
    found
        .copied()
        .ok_or_else(|| format!("it must be one of {}", SEVERITIES.join(", ")))
}

/// With commas; a list in a file arrives in the same form.
fn list(given: &str) -> Result<Vec<String>, String> {
    let items = given.split(',').map(str::trim);
    Ok(items
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown_as_it_is<T: PartialEq + std::fmt::Debug>(key: &KeyOr<T>) {
        let text = key.key.spec.default.unwrap();
        assert_eq!(key.read(text).as_ref(), Ok(&key.default), "{text}");
    }

    #[test]
    fn a_default_is_what_is_shown_of_it() {
        shown_as_it_is(&GRACE);
        shown_as_it_is(&STALE_AFTER);
        shown_as_it_is(&FAIL_ON);
        shown_as_it_is(&STRICT);
        shown_as_it_is(&ALLOW_SETTLING);
        shown_as_it_is(&LIMIT);
        shown_as_it_is(&READERS);
        shown_as_it_is(&EVERY);
        shown_as_it_is(&LISTEN);
        let with_default = ALL.iter().filter(|key| key.spec().default.is_some());
        assert_eq!(with_default.count(), 9);
    }

    #[test]
    fn a_setting_is_named_alike_in_every_place() {
        for key in ALL {
            let spec = key.spec();
            assert_eq!(spec.option, format!("--{}", spec.name));
            let variable = spec.name.to_uppercase().replace('-', "_");
            let ours = format!("QUAY_DOCTOR_{variable}");
            assert!(spec.variable == ours || spec.variable == "DATABASE_URL");
        }
    }

    #[test]
    fn what_a_text_may_not_be_is_told_by_example() {
        assert!(time("15").is_err_and(|why| why.contains("15m")));
        assert!(readers("0").is_err() && readers("17").is_err() && readers("16").is_ok());
        assert!(severity("bad").is_err_and(|why| why.contains("critical")));
        assert_eq!(list(" a, ,b,").unwrap(), ["a", "b"]);
    }
}
