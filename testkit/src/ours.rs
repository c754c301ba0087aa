//! Our own way to create a policy, as a subject of the same faults as Quay's ways.

use std::time::Duration;

use crate::subject::{Blow, Subject, Told, bury_workers};
use quay_doctor::apply::ApplyOptions;
use quay_doctor::config::ConnectionSettings;
use quay_doctor::evaluate::{Features, Stated};
use quay_doctor::journal::{Identity, Phase};
use quay_doctor::policy::{
    Create, How, NewPattern, OnFault, Pick, PolicyError, PolicyOptions, Strategy, Watcher, create,
};
use quay_doctor::quay::{NamespaceId, Polarity};
use quay_doctor::sandbox::SandboxError;

use quay_doctor::run::{RecoverRequest, recover};

/// The engine, through the library.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ours {
    /// Whether the Quay in front of the database knows the column `active`, where it is stated.
    pub quay_knows_active: Option<bool>,
}

/// Watches nothing and stops nothing.
struct Nobody;

impl Watcher for Nobody {
    fn expected(&mut self, _tags: u64) {}
    fn reached(&mut self, _: Phase, _: u64) {}

    fn interrupted(&self) -> bool {
        false
    }
}

impl Ours {
    fn options(self) -> PolicyOptions {
        let mut options = PolicyOptions::new(identity());
        options.features = Features {
            immutable_tags: Stated::On,
            can_expire: Stated::Off,
        };
        options.quay_knows_active = self.quay_knows_active;
        options.strategy = Strategy::Phased;
        options
    }
}

fn identity() -> Identity {
    Identity {
        actor: "subject".to_owned(),
        reason: None,
        worker: format!("process {}", std::process::id()),
    }
}

impl Subject for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn create(
        &self,
        settings: &ConnectionSettings,
        (_, namespace): (NamespaceId, &str),
        pattern: &str,
        blow: Blow,
    ) -> Result<Told, SandboxError> {
        let mut options = self.options();
        if matches!(blow, Blow::Worker(_)) {
            // Nothing is done about the fault: as if the process were gone.
            options.on_fault = OnFault::Stop;
        }
        let request = Create {
            pick: Pick {
                namespace: namespace.to_owned(),
                repository: None,
            },
            new: NewPattern {
                pattern: pattern.to_owned(),
                polarity: Polarity::Matching,
                allow_slow: false,
            },
            inactive: false,
            if_absent: false,
        };
        Ok(match create(settings, &request, &options, &mut Nobody) {
            Ok(_) => Told::Success,
            Err(PolicyError::Refused { .. }) => Told::Duplicate,
            Err(error) => Told::Failure(error.to_string()),
        })
    }

    fn clean_up(&self, settings: &ConnectionSettings) -> Result<(), SandboxError> {
        bury_workers(settings)?;
        let request = RecoverRequest {
            only: None,
            how: How::Default,
            wait: Duration::from_secs(30),
            policy: self.options(),
            apply: ApplyOptions::new(identity()),
        };
        // What could not be recovered shows in the database, where the test looks.
        let _ = recover(settings, &request, &mut Nobody);
        Ok(())
    }
}
