//! libpq's connection service file (PostgreSQL manual, "The Connection Service File").

use std::path::{Path, PathBuf};

use super::keyword;
use super::parameters::Parameters;
use super::{ConfigError, Environment, Origin};

/// Where a service may be described, nearest first; the first file that has it counts.
pub(super) fn places(named: Option<&str>, environment: &Environment) -> Vec<PathBuf> {
    let own = match named {
        Some(file) => Some(PathBuf::from(file)),
        None => environment.home_file(".pg_service.conf"),
    };
    let of_the_system = match environment.get("PGSYSCONFDIR") {
        Some(folder) => vec![PathBuf::from(folder)],
        // Where Debian's, Red Hat's and Homebrew's libpq look.
        None => ["/etc/postgresql-common", "/etc", "/opt/homebrew/etc"]
            .map(PathBuf::from)
            .to_vec(),
    };
    let of_the_system = of_the_system
        .into_iter()
        .map(|folder| folder.join("pg_service.conf"));
    own.into_iter().chain(of_the_system).collect()
}

/// Fills what is missing from the section of a service.
pub(super) fn fill(
    parameters: &mut Parameters,
    service: &str,
    environment: &Environment,
) -> Result<(), ConfigError> {
    let named = parameters
        .get("servicefile")
        .or_else(|| environment.get("PGSERVICEFILE"))
        .map(str::to_owned);
    let places = places(named.as_deref(), environment);
    for (place, path) in places.iter().enumerate() {
        let must_exist = place == 0 && named.is_some();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if must_exist || error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ConfigError::unreadable("the service file", path, error));
            }
            Err(_) => continue,
        };
        if fill_from_text(parameters, service, &text, path)? {
            return Ok(());
        }
    }
    Err(ConfigError::NoSuchService {
        service: service.to_owned(),
        looked_in: places
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
            .join(", "),
    })
}

/// Whether the text has the section.
fn fill_from_text(
    parameters: &mut Parameters,
    service: &str,
    text: &str,
    file: &Path,
) -> Result<bool, ConfigError> {
    let origin = Origin::Service {
        name: service.to_owned(),
        file: file.to_owned(),
    };
    let mut found = false;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(heading) = line.strip_prefix('[') {
            if found {
                break;
            }
            found = heading
                .strip_prefix(service)
                .is_some_and(|rest| rest.starts_with(']'));
            continue;
        }
        if found {
            let wrong = |reason: &str| ConfigError::BadServiceFile {
                file: file.to_owned(),
                line: number,
                reason: reason.to_owned(),
            };
            let (name, value) = line.split_once('=').ok_or_else(|| wrong("it has no ="))?;
            let keyword = keyword::find(name)
                .ok_or_else(|| wrong("what stands before the = is no connection keyword"))?;
            if matches!(keyword.name, "service" | "servicefile") {
                return Err(wrong("a service cannot name another one"));
            }
            parameters.fill(keyword.name, value, &origin);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "# ours\n[other]\nport=1\n\n[quay]\nhost=db1\n port=6432 \nport=7\n[quay]\nuser=no\n";

    fn filled(service: &str, text: &str) -> Result<(bool, Parameters), ConfigError> {
        let mut parameters = Parameters::default();
        parameters.set("host", "explicit", &Origin::Caller);
        let found = fill_from_text(&mut parameters, service, text, Path::new("f"))?;
        Ok((found, parameters))
    }

    #[test]
    fn a_section_fills_what_is_missing_and_its_first_line_counts() {
        let (found, parameters) = filled("quay", FILE).unwrap();
        assert!(found);
        assert_eq!(parameters.get("host"), Some("explicit"));
        assert_eq!(parameters.get("port"), Some("6432"));
        assert_eq!(parameters.get("user"), None);
    }

    #[test]
    fn a_section_that_is_not_there_is_not_found() {
        assert!(!filled("qua", FILE).unwrap().0);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_by_its_number_and_not_by_its_text() {
        let text = "[quay]\nhost=a\npasswort=hunter2\n";
        let complaint = filled("quay", text).unwrap_err().to_string();
        assert!(complaint.contains("line 3"), "{complaint}");
        assert!(!complaint.contains("hunter2"), "{complaint}");
    }

    #[test]
    fn a_file_that_the_operator_named_stands_before_those_of_the_system() {
        let environment = Environment::empty()
            .with("HOME", "/home/q")
            .with("PGSYSCONFDIR", "/etc/pg");
        assert_eq!(
            places(None, &environment),
            ["/home/q/.pg_service.conf", "/etc/pg/pg_service.conf"].map(PathBuf::from)
        );
        assert_eq!(places(Some("/x"), &environment)[0], PathBuf::from("/x"));
    }
}
