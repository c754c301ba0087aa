//! What is asked of a session: the kind of server, the order of trying, and how long to wait.

use std::time::Duration;

use super::ConfigError;
use super::parameters::{Parameters, one_of, whole_number};

/// libpq waits as long as the operating system does. A command that runs at night should rather
/// say that a server does not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait that can be asked for.
const LONGEST_WAIT_S: i32 = 24 * 60 * 60;

/// Which kind of server will do (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSession {
    /// Any.
    Any,
    /// One whose sessions can write.
    ReadWrite,
    /// One whose sessions cannot.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is.
    Standby,
    /// A standby; any other where there is none.
    PreferStandby,
}

/// Whether SCRAM is bound to the TLS channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where both sides can.
    Prefer,
    /// Always.
    Require,
}

/// The order in which servers are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostOrder {
    /// As given.
    AsGiven,
    /// By chance (`load_balance_hosts=random`).
    Random,
}

/// When a dead peer is noticed. `None` leaves a value to the operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSettings {
    /// Whether an idle connection is probed.
    pub keepalives: bool,
    /// After how long.
    pub idle: Option<Duration>,
    /// How far apart the probes are.
    pub interval: Option<Duration>,
    /// How many may stay without an answer.
    pub count: Option<u32>,
    /// For how long sent data may stay unacknowledged (Linux).
    pub user_timeout: Option<Duration>,
}

pub(super) fn channel_binding(parameters: &Parameters) -> Result<ChannelBinding, ConfigError> {
    let words = [
        ("disable", ChannelBinding::Disable),
        ("prefer", ChannelBinding::Prefer),
        ("require", ChannelBinding::Require),
    ];
    let stated = parameters.read("channel_binding", one_of(&words))?;
    Ok(stated.unwrap_or(ChannelBinding::Prefer))
}

pub(super) fn target_session(parameters: &Parameters) -> Result<TargetSession, ConfigError> {
    let words = [
        ("any", TargetSession::Any),
        ("read-write", TargetSession::ReadWrite),
        ("read-only", TargetSession::ReadOnly),
        ("primary", TargetSession::Primary),
        ("standby", TargetSession::Standby),
        ("prefer-standby", TargetSession::PreferStandby),
    ];
    let stated = parameters.read("target_session_attrs", one_of(&words))?;
    Ok(stated.unwrap_or(TargetSession::Any))
}

pub(super) fn order(parameters: &Parameters) -> Result<HostOrder, ConfigError> {
    let words = [
        ("disable", HostOrder::AsGiven),
        ("random", HostOrder::Random),
    ];
    let stated = parameters.read("load_balance_hosts", one_of(&words))?;
    Ok(stated.unwrap_or(HostOrder::AsGiven))
}

/// Zero and less mean no limit, as in libpq.
pub(super) fn connect_timeout(parameters: &Parameters) -> Result<Option<Duration>, ConfigError> {
    Ok(match parameters.read("connect_timeout", whole_number)? {
        None => Some(CONNECT_TIMEOUT),
        Some(seconds) => positive(seconds).map(|s| Duration::from_secs(u64::from(s))),
    })
}

/// Our defaults notice a peer that has vanished within a minute; a failover should not leave a
/// batch waiting for hours.
pub(super) fn tcp(parameters: &Parameters) -> Result<TcpSettings, ConfigError> {
    let number = |name: &'static str, default: i32| -> Result<Option<u32>, ConfigError> {
        let stated = parameters.read(name, whole_number)?;
        Ok(positive(stated.unwrap_or(default)))
    };
    let seconds = |value: Option<u32>| value.map(|s| Duration::from_secs(u64::from(s)));
    Ok(TcpSettings {
        keepalives: parameters.read("keepalives", whole_number)?.unwrap_or(1) != 0,
        idle: seconds(number("keepalives_idle", 30)?),
        interval: seconds(number("keepalives_interval", 10)?),
        count: number("keepalives_count", 3)?,
        // The one setting in milliseconds.
        user_timeout: number("tcp_user_timeout", 60_000)?
            .map(|ms| Duration::from_millis(u64::from(ms))),
    })
}

/// A number above zero, as zero and less leave a limit to the operating system.
fn positive(number: i32) -> Option<u32> {
    let capped = number.min(LONGEST_WAIT_S * 1000);
    u32::try_from(capped).ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn given(words: &[(&'static str, &str)]) -> Parameters {
        let mut parameters = Parameters::default();
        for (name, value) in words {
            parameters.set(name, value, &Origin::Caller);
        }
        parameters
    }

    #[test]
    fn zero_means_no_limit_and_nothing_said_means_ours() {
        let none = given(&[]);
        assert_eq!(connect_timeout(&none).unwrap(), Some(CONNECT_TIMEOUT));
        assert!(tcp(&none).unwrap().keepalives);
        let zero = given(&[
            ("connect_timeout", "0"),
            ("tcp_user_timeout", "0"),
            ("keepalives", "0"),
            ("keepalives_idle", "-1"),
        ]);
        assert_eq!(connect_timeout(&zero).unwrap(), None);
        let tcp = tcp(&zero).unwrap();
        assert_eq!((tcp.user_timeout, tcp.idle), (None, None));
        assert!(!tcp.keepalives);
    }

    #[test]
    fn an_empty_text_is_no_number_and_no_kind() {
        let empty = given(&[("connect_timeout", ""), ("target_session_attrs", "")]);
        assert!(connect_timeout(&empty).is_err());
        assert!(target_session(&empty).is_err());
    }
}
