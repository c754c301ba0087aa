//! The servers to try, in order.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::parameters::Parameters;
use super::{ConfigError, Origin, Secret};

/// The port of a server that names none.
const DEFAULT_PORT: u16 = 5432;

/// Where a server keeps its socket: Debian's and Red Hat's place, then PostgreSQL's own.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// How many servers one connection string may name.
const MOST_TARGETS: usize = 64;

/// One server to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it is.
    pub host: Host,
    /// Its port; also part of a socket's name.
    pub port: u16,
    /// The password for it. Each server has its own line in the password file.
    pub password: Option<Password>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Over the network.
    Network {
        /// Its name, which a certificate is compared with; or its address, where that is all.
        name: String,
        /// Its address, where it is given and need not be looked up.
        address: Option<IpAddr>,
    },
    /// On this machine, by a socket in a folder.
    Socket(PathBuf),
}

/// A password, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Password {
    /// The password.
    pub secret: Secret,
    /// Who gave it.
    pub origin: Origin,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Network { name, .. } if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Network { name, .. } => write!(f, "{name}:{}", self.port),
            Host::Socket(folder) => write!(f, "{}/.s.PGSQL.{}", folder.display(), self.port),
        }
    }
}

impl Target {
    /// The host as the password file names it.
    pub(super) fn host_in_password_file(&self) -> String {
        match &self.host {
            Host::Network { name, .. } => name.clone(),
            Host::Socket(folder) if is_default_folder(folder) => "localhost".into(),
            Host::Socket(folder) => folder.display().to_string(),
        }
    }
}

/// libpq knows its own default folder only; we cannot know which one that is on this machine.
fn is_default_folder(folder: &Path) -> bool {
    SOCKET_FOLDERS
        .iter()
        .any(|default| folder == Path::new(default))
}

/// Reads the lists of hosts, addresses and ports.
pub(super) fn read(parameters: &Parameters) -> Result<Vec<Target>, ConfigError> {
    let list = |name: &str| -> Vec<String> {
        let text = parameters.get(name).unwrap_or_default();
        text.split(',').map(|item| item.trim().to_owned()).collect()
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let given = |name: &str| parameters.get(name).is_some();
    let count = if given("hostaddr") {
        addresses.len()
    } else {
        names.len()
    };
    let fits = |name: &'static str, counted: usize, one_for_all: bool| {
        parameters.read_unless_empty(name, |_| match counted {
            _ if count > MOST_TARGETS => Err(format!("more than {MOST_TARGETS} servers are named")),
            1 if one_for_all => Ok(()),
            n if n == count => Ok(()),
            n => Err(format!(
                "it has {n} entries where {count} servers are named"
            )),
        })
    };
    fits("host", names.len(), false)?;
    fits("hostaddr", addresses.len(), false)?;
    fits("port", ports.len(), true)?;
    (0..count)
        .map(|i| {
            let at = |list: &[String]| list.get(i).cloned().unwrap_or_default();
            let port = ports.get(i).or_else(|| ports.first());
            let port = read_port(parameters, port.map_or("", String::as_str))?;
            Ok(Target {
                host: read_host(parameters, &at(&names), &at(&addresses), port)?,
                port,
                password: None,
            })
        })
        .collect()
}

fn read_port(parameters: &Parameters, text: &str) -> Result<u16, ConfigError> {
    if text.is_empty() {
        return Ok(DEFAULT_PORT);
    }
    let port = parameters.read_unless_empty("port", |_| match text.parse() {
        Ok(0) | Err(_) => Err("a port is a number from 1 to 65535".to_owned()),
        Ok(port) => Ok(port),
    })?;
    Ok(port.unwrap_or(DEFAULT_PORT))
}

fn read_host(
    parameters: &Parameters,
    name: &str,
    address: &str,
    port: u16,
) -> Result<Host, ConfigError> {
    if !address.is_empty() {
        let address: Option<IpAddr> = parameters.read_unless_empty("hostaddr", |_| {
            address
                .parse()
                .map_err(|_| "it must be an IPv4 or IPv6 address".to_owned())
        })?;
        let name = match (name, address) {
            ("", Some(address)) => address.to_string(),
            (name, _) => name.to_owned(),
        };
        return Ok(Host::Network { name, address });
    }
    if name.is_empty() {
        return Ok(Host::Socket(default_folder(port)));
    }
    if name.starts_with('/') {
        return Ok(Host::Socket(PathBuf::from(name)));
    }
    parameters.read_unless_empty("host", |_| {
        match name.contains(['@', '/']) || name.contains(char::is_whitespace) {
            true => Err(
                "a host name has no @, no / and no blank in it; is the password encoded?"
                    .to_owned(),
            ),
            false => Ok(()),
        }
    })?;
    let name = name.to_owned();
    // An address is known without a look-up, and a certificate may name it.
    let address = name.parse().ok();
    Ok(Host::Network { name, address })
}

/// The folder where a server of this machine has its socket.
fn default_folder(port: u16) -> PathBuf {
    let has_socket = |folder: &&&str| Path::new(folder).join(format!(".s.PGSQL.{port}")).exists();
    let found = SOCKET_FOLDERS.iter().find(has_socket);
    PathBuf::from(found.unwrap_or(&SOCKET_FOLDERS[0]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(words: &[(&str, &str)]) -> Result<Vec<String>, ConfigError> {
        let mut parameters = Parameters::default();
        for (name, value) in words {
            let words = [((*name).to_owned(), (*value).to_owned())];
            parameters.set_words(&words, &Origin::Caller)?;
        }
        let targets = read(&parameters)?;
        Ok(targets.iter().map(Target::to_string).collect())
    }

    #[test]
    fn several_hosts_have_their_own_ports_or_share_one() {
        assert_eq!(
            targets(&[("host", "a,b,::1"), ("port", "1,,3")]).unwrap(),
            ["a:1", "b:5432", "[::1]:3"]
        );
        assert_eq!(
            targets(&[("host", "a,/run/pg"), ("port", "7")]).unwrap(),
            ["a:7", "/run/pg/.s.PGSQL.7"]
        );
    }

    #[test]
    fn lists_of_different_lengths_are_refused() {
        assert!(targets(&[("host", "a,b"), ("port", "1,2,3")]).is_err());
        assert!(targets(&[("host", "a,b"), ("hostaddr", "::1")]).is_err());
        assert!(targets(&[("host", &["a"; MOST_TARGETS + 1].join(","))]).is_err());
    }

    #[test]
    fn a_part_of_a_password_that_landed_in_the_host_or_port_is_not_shown() {
        for words in [
            [("host", "user"), ("port", "hunter2")],
            [("host", "hunter2@db1"), ("port", "5432")],
            [("hostaddr", "hunter2"), ("port", "5432")],
        ] {
            let complaint = targets(&words).unwrap_err().to_string();
            assert!(!complaint.contains("hunter2"), "{complaint}");
        }
    }

    #[test]
    fn an_address_needs_no_name_and_a_name_stays_for_the_certificate() {
        let mut parameters = Parameters::default();
        parameters.set("hostaddr", "127.0.0.1,::1", &Origin::Caller);
        parameters.set("host", ",db1", &Origin::Caller);
        let hosts: Vec<_> = read(&parameters)
            .unwrap()
            .into_iter()
            .map(|t| t.host)
            .collect();
        let network = |name: &str, address: &str| Host::Network {
            name: name.into(),
            address: address.parse().ok(),
        };
        assert_eq!(
            hosts,
            [network("127.0.0.1", "127.0.0.1"), network("db1", "::1")]
        );
    }
}
