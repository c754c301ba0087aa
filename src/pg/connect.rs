//! Opening a connection: servers in turn, TLS, the kind of session that was asked for.
//!
//! The role's own `search_path` is kept: Quay finds its tables by it, and so must we. What could
//! make a query of ours silently mean something else is pinned for every session instead (`profile`).

use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use postgres::config::{SslMode, SslNegotiation};
use postgres::{Client, Config, NoTls, SimpleQueryMessage};
use rustls::pki_types::ServerName;

use super::handshake::{Handshake, Progress, Protection};
use super::profile::{self, Known, Purpose};
use super::refusal::{Next, Refusal};
use super::{PgError, pooler, tls};
use crate::config::{
    ChannelBinding, ConnectionSettings, Host, HostOrder, Target, TargetSession, TlsMode, TlsStart,
};

/// How many addresses of one name are tried.
const MOST_ADDRESSES: usize = 16;

/// An open connection, and what is known of it.
pub(super) type Opened = (Client, Known);

/// Opens a connection.
pub(super) fn open(settings: &ConnectionSettings, purpose: Purpose) -> Result<Opened, PgError> {
    let opening = Opening {
        settings,
        purpose,
        ways: ways(settings)?,
    };
    match settings.target_session {
        // Once round for a standby, and once for whatever there is.
        TargetSession::PreferStandby => opening
            .round(TargetSession::Standby)
            .or_else(|_| opening.round(TargetSession::Any)),
        wanted => opening.round(wanted),
    }
    .map_err(|refusals| PgError::connect(settings, &refusals))
}

/// What is tried at one address: `allow` and `prefer` have a second way (libpq's table in "SSL Mode
/// Descriptions").
struct Ways {
    first: Protection,
    second: Option<Protection>,
}

impl Ways {
    fn only(first: Protection) -> Self {
        Self {
            first,
            second: None,
        }
    }
}

fn ways(settings: &ConnectionSettings) -> Result<Ways, PgError> {
    let over_network = |target: &Target| matches!(target.host, Host::Network { .. });
    if settings.tls.mode == TlsMode::Disable || !settings.targets.iter().any(over_network) {
        return Ok(Ways::only(Protection::Plain));
    }
    let connector = match tls::connector(&settings.tls) {
        Ok(connector) => connector,
        Err(error) if settings.tls.mode <= TlsMode::Prefer => {
            tracing::warn!(%error, "TLS cannot be used: connecting without");
            return Ok(Ways::only(Protection::Plain));
        }
        Err(error) => return Err(error),
    };
    Ok(match (settings.tls.mode, settings.tls.start) {
        (TlsMode::Disable, _) => Ways::only(Protection::Plain),
        (TlsMode::Allow, _) => Ways {
            first: Protection::Plain,
            second: Some(Protection::Required(connector)),
        },
        (TlsMode::Prefer, _) => Ways {
            first: Protection::Preferred(connector),
            second: Some(Protection::Plain),
        },
        (_, TlsStart::Negotiated) => Ways::only(Protection::Required(connector)),
        (_, TlsStart::Direct) => Ways::only(Protection::Direct(connector)),
    })
}

/// One attempt to get a session, over all servers.
struct Opening<'s> {
    settings: &'s ConnectionSettings,
    purpose: Purpose,
    ways: Ways,
}

/// Each server that gave no session, and why.
pub(super) type Refusals = Vec<(Target, Refusal)>;

impl Opening<'_> {
    /// Tries every server once.
    fn round(&self, wanted: TargetSession) -> Result<Opened, Refusals> {
        let mut refusals = Refusals::new();
        let mut targets: Vec<_> = self.settings.targets.iter().collect();
        self.shuffle(&mut targets);
        for target in targets {
            let refusal = match self.try_target(target, wanted) {
                Ok(opened) => return Ok(opened),
                Err(refusal) => refusal,
            };
            tracing::debug!(server = %target, reason = %refusal.sentence, "no session");
            let stop = matches!(refusal.next, Next::Nothing | Next::Never);
            refusals.push((target.clone(), refusal));
            if stop {
                break;
            }
        }
        Err(refusals)
    }

    fn shuffle<T>(&self, items: &mut [T]) {
        if self.settings.order == HostOrder::Random {
            fastrand::shuffle(items);
        }
    }

    fn try_target(&self, target: &Target, wanted: TargetSession) -> Result<Opened, Refusal> {
        let (name, given) = match &target.host {
            Host::Socket(folder) => return self.try_socket(target, folder, wanted),
            Host::Network { name, address } => (name, *address),
        };
        let mut addresses = match given {
            Some(address) => vec![address],
            None => look_up(name, target.port).map_err(|error| Refusal::unknown_name(&error))?,
        };
        self.shuffle(&mut addresses);
        let mut last = None;
        for address in addresses.into_iter().take(MOST_ADDRESSES) {
            match self.try_address(target, name, address, wanted) {
                Ok(opened) => return Ok(opened),
                Err(refusal) if refusal.next == Next::Address => last = Some(refusal),
                Err(refusal) => return Err(refusal),
            }
        }
        // A look-up that succeeds has at least one address.
        let none = || Refusal::unknown_name(&std::io::ErrorKind::NotFound.into());
        Err(last.unwrap_or_else(none))
    }

    fn try_address(
        &self,
        target: &Target,
        name: &str,
        address: IpAddr,
        wanted: TargetSession,
    ) -> Result<Opened, Refusal> {
        let mut config = self.driver_config(target);
        // The driver gets no name: it would take one that begins with a slash for a socket.
        config.host(&address.to_string()).hostaddr(address);
        // The driver hands the bare socket over: see `handshake`.
        config
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct);
        // A name that no certificate can bear is of no use to TLS; the address will do.
        let server_name = match ServerName::try_from(name) {
            Ok(_) => name.to_owned(),
            Err(_) => address.to_string(),
        };
        let limit = self.settings.connect_timeout;
        let attempt = |protection: &Protection| {
            let progress = Arc::new(Progress::default());
            let handshake = Handshake {
                protection: protection.clone(),
                server_name: server_name.clone(),
                deadline: limit.map(|limit| Instant::now() + limit),
                answer_limit: self.settings.answer_limit,
                progress: Arc::clone(&progress),
            };
            let again = {
                let (config, progress) = (config.clone(), Arc::default());
                let handshake = Handshake {
                    progress,
                    ..handshake.clone()
                };
                move || config.connect(handshake)
            };
            let opened = config
                .connect(handshake)
                .map_err(|error| Refusal::of_driver(&error, target))
                .and_then(|mut client| {
                    pooler::refuse_shared(&mut client, target, progress.backend(), limit, again)?;
                    prepare(client, target, wanted, self.purpose)
                });
            let encrypted = progress.is_encrypted();
            if opened.is_ok() {
                progress.finish();
                tracing::debug!(server = %target, %address, encrypted, "session opened");
            }
            opened.map_err(|refusal| (refusal, encrypted))
        };
        let (first, encrypted) = match attempt(&self.ways.first) {
            Ok(opened) => return Ok(opened),
            Err(refused) => refused,
        };
        match &self.ways.second {
            Some(second) if self.is_worth_another_way(&first, encrypted) => {
                attempt(second).map_err(|(second, _)| self.with_and_without_tls(first, second))
            }
            _ => Err(first),
        }
    }

    /// One account of both ways. The one with TLS is the one that somebody wants to hear about.
    fn with_and_without_tls(&self, first: Refusal, second: Refusal) -> Refusal {
        if first.sentence == second.sentence {
            return first;
        }
        let (with, without) = match self.settings.tls.mode {
            TlsMode::Allow => (second, first),
            _ => (first, second),
        };
        Refusal {
            sentence: format!("{}; without TLS, {}", with.sentence, without.sentence),
            ..with
        }
    }

    /// Whether the second way is worth a try: the server refused, or TLS failed. A server that is
    /// not there is no more there without TLS.
    fn is_worth_another_way(&self, refusal: &Refusal, encrypted: bool) -> bool {
        match self.settings.tls.mode {
            TlsMode::Allow => refusal.sqlstate.is_some(),
            _ => encrypted && refusal.next == Next::Nothing,
        }
    }

    /// A socket of this machine: never TLS, as in libpq. The driver knows no time-out there, so it
    /// works on a thread of its own, which ends as soon as the server answers or goes away.
    fn try_socket(
        &self,
        target: &Target,
        folder: &Path,
        wanted: TargetSession,
    ) -> Result<Opened, Refusal> {
        let mut config = self.driver_config(target);
        config.host_path(folder).ssl_mode(SslMode::Disable);
        let (sender, receiver) = mpsc::sync_channel(1);
        let owned = target.clone();
        let (limit, purpose) = (self.settings.connect_timeout, self.purpose);
        let open = move || {
            let again = {
                let config = config.clone();
                move || config.connect(NoTls)
            };
            let opened = config
                .connect(NoTls)
                .map_err(|error| Refusal::of_driver(&error, &owned))
                .and_then(|mut client| {
                    pooler::refuse_shared(&mut client, &owned, None, limit, again)?;
                    prepare(client, &owned, wanted, purpose)
                });
            // Nobody waits any more: the session ends with the thread.
            let _ = sender.send(opened);
        };
        std::thread::Builder::new()
            .name("pg-connect".into())
            .spawn(open)
            .map_err(|error| Refusal::no_thread(&error))?;
        let opened = receiver
            .recv_timeout(limit.unwrap_or(Duration::MAX))
            .unwrap_or_else(|_| Err(Refusal::timed_out()))?;
        tracing::debug!(server = %target, encrypted = false, "session opened");
        Ok(opened)
    }

    /// What is the same for every address.
    fn driver_config(&self, target: &Target) -> Config {
        let settings = self.settings;
        let mut config = Config::new();
        config
            .user(&settings.user)
            .dbname(&settings.database)
            .application_name(&settings.application_name)
            .port(target.port)
            .channel_binding(match settings.channel_binding {
                ChannelBinding::Disable => postgres::config::ChannelBinding::Disable,
                ChannelBinding::Prefer => postgres::config::ChannelBinding::Prefer,
                ChannelBinding::Require => postgres::config::ChannelBinding::Require,
            });
        if let Some(password) = &target.password {
            config.password(password.secret.reveal());
        }
        if let Some(options) = &settings.options {
            config.options(options);
        }
        if let Some(limit) = settings.connect_timeout {
            config.connect_timeout(limit);
        }
        self.set_tcp(&mut config);
        config
    }

    fn set_tcp(&self, config: &mut Config) {
        let tcp = &self.settings.tcp;
        config.keepalives(tcp.keepalives);
        if let Some(idle) = tcp.idle {
            config.keepalives_idle(idle);
        }
        if let Some(interval) = tcp.interval {
            config.keepalives_interval(interval);
        }
        if let Some(count) = tcp.count {
            config.keepalives_retries(count);
        }
        if let Some(limit) = tcp.user_timeout {
            config.tcp_user_timeout(limit);
        }
    }
}

/// The addresses of a name. The system's resolver has its own time-out, as for libpq.
fn look_up(name: &str, port: u16) -> std::io::Result<Vec<IpAddr>> {
    Ok((name, port)
        .to_socket_addrs()?
        .map(|found: SocketAddr| found.ip())
        .collect())
}

/// Looks whether the session is of the kind that was asked for, and pins its settings.
fn prepare(
    mut client: Client,
    target: &Target,
    wanted: TargetSession,
    purpose: Purpose,
) -> Result<Opened, Refusal> {
    let of_driver = |error: postgres::Error| Refusal::of_driver(&error, target);
    if let Some(refusal) = mismatch(&mut client, wanted).map_err(of_driver)? {
        return Err(refusal);
    }
    let known = profile::apply(&mut client, target, purpose)?;
    Ok((client, known))
}

fn mismatch(
    client: &mut Client,
    wanted: TargetSession,
) -> Result<Option<Refusal>, postgres::Error> {
    let read_only = "SHOW transaction_read_only";
    let in_recovery = "SELECT pg_catalog.pg_is_in_recovery()";
    let (question, good, name, found) = match wanted {
        TargetSession::Any | TargetSession::PreferStandby => return Ok(None),
        TargetSession::ReadWrite => (read_only, "off", "read-write", "accepts no writes"),
        TargetSession::ReadOnly => (read_only, "on", "read-only", "accepts writes"),
        TargetSession::Primary => (in_recovery, "f", "primary", "is a standby"),
        TargetSession::Standby => (in_recovery, "t", "standby", "is no standby"),
    };
    let answers = client.simple_query(question)?;
    let answer = answers.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    let fits = answer == Some(good);
    Ok((!fits).then(|| Refusal::wrong_session(name, found)))
}
