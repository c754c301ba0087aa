//! Where a property test of another project can start from: whatever changes immutability policies,
//! cut off at its first statement, its second, and so on until it gets through, and after each cut
//! and a recovery the database is whole.
//!
//! Here the subject is quay-doctor's own `policy create`. Put your own into [`subject`] and, if it
//! has one, its clean-up into [`clean_up`]; the rest stays as it is.
//!
//! ```console
//! cargo run --example fault_property
//! ```

use std::error::Error;
use std::time::Duration;

use quay_doctor::pg::WriteSession;
use quay_doctor::quay::{Polarity, Scope, StoredPolicy};
use quay_doctor::relations::namespace_by_name;
use quay_doctor::sandbox::{Cluster, fixture, world::World};
use quay_doctor::{
    ApplyOptions, ConnectionSettings, Create, Features, How, Identity, NewPattern, OnFault,
    Patience, Phase, Pick, PolicyOptions, RecoverRequest, Stated, Strategy, Watcher, migrate_up,
    policy_create, recover, unfinished,
};
use testkit::oracle::{Case, Operation, Pushes, State};
use testkit::proxy::{FaultProxy, Rule};
use testkit::subject::bury_workers;

/// acme has tags that its new policy covers, one with an expiry, one that nobody may touch.
const WORLD: &str = r#"
    seed = 1
    [[namespace]]
    name = "acme"
    [[namespace.repository]]
    name = "shop"
    [[namespace.repository.tags]]
    name = "v1.{n}"
    count = 5
    [[namespace.repository.tags]]
    name = "v2.{n}"
    count = 3
    life = "expiring"
    expires_in = "30d"
    [[namespace.repository.tags]]
    name = "golden"
    immutable = true
    evidence = "set-by-user"
"#;

/// No run needs as many statements: whoever does, does not end.
const MOST: u64 = 400;

/// Nobody watches, nobody interrupts.
struct Nobody;

impl Watcher for Nobody {
    fn expected(&mut self, _tags: u64) {}
    fn reached(&mut self, _phase: Phase, _changed: u64) {}
    fn interrupted(&self) -> bool {
        false
    }
}

/// What is put to the test. It may fail: its connection is cut. Whether it did is told.
fn subject(settings: &ConnectionSettings) -> bool {
    let request = Create {
        pick: Pick {
            namespace: "acme".to_owned(),
            repository: None,
        },
        new: NewPattern {
            pattern: "v.*".to_owned(),
            polarity: Polarity::Matching,
            allow_slow: false,
        },
        inactive: false,
        if_absent: false,
    };
    policy_create(settings, &request, &options(), &mut Nobody).is_ok()
}

/// What is meant to be done after a fault.
fn clean_up(settings: &ConnectionSettings) -> Result<(), Box<dyn Error>> {
    // It is known that the worker is dead; nobody has to wait until its heartbeat says so.
    bury_workers(settings)?;
    let request = RecoverRequest {
        only: None,
        how: How::Default,
        wait: Duration::from_secs(30),
        policy: options(),
        apply: ApplyOptions::new(options().who),
    };
    recover(settings, &request, &mut Nobody)?;
    Ok(())
}

fn options() -> PolicyOptions {
    let mut options = PolicyOptions::new(Identity {
        actor: "example".to_owned(),
        reason: None,
        worker: "example".to_owned(),
    });
    options.features = Features {
        immutable_tags: Stated::On,
        can_expire: Stated::Off,
    };
    // Batch by batch, and left as it is when the connection is lost: recovery is what is tried here.
    options.strategy = Strategy::Phased;
    options.batch_time = Duration::from_micros(1);
    options.on_fault = OnFault::Stop;
    options
}

fn main() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start()?;
    cluster.create_database("template")?;
    let mut session = WriteSession::open(&cluster.settings("template")?)?;
    fixture::load_schema(&mut session)?;
    World::parse(WORLD)?.seed(&mut session, chrono::Utc::now())?;
    drop(session);
    let settings = cluster.settings("template")?;
    if let Some(fault) = migrate_up(&settings, None, &Patience::default(), &mut |_| {}).fault {
        return Err(fault.into());
    }
    for nth in 1..MOST {
        let name = format!("cut_{nth}");
        cluster.clone_database("template", &name)?;
        let struck = holds_when_cut_before(&cluster, &name, nth)?;
        cluster.drop_database(&name)?;
        if nth % 20 == 0 {
            say(&format!("{nth} …"));
        }
        if !struck {
            say(&format!(
                "Cut at each of {} statements, and whole after each.",
                nth - 1
            ));
            return Ok(());
        }
    }
    Err(format!("it has not ended after {MOST} statements").into())
}

/// Cuts the subject off before its nth statement, cleans up, and asks the oracle; whether there was
/// an nth statement.
fn holds_when_cut_before(cluster: &Cluster, name: &str, nth: u64) -> Result<bool, Box<dyn Error>> {
    let mut session = WriteSession::open(&cluster.settings(name)?)?;
    let acme = namespace_by_name(&mut session, "acme")?.ok_or("acme is there")?;
    let before = State::read(&mut session)?;

    let proxy = FaultProxy::before(&cluster.tcp_url(name))?;
    proxy.arm(Rule::lost_statement("", nth));
    let succeeded = subject(&ConnectionSettings::resolve(Some(&proxy.url()))?);
    let struck = proxy.struck() > 0;
    drop(proxy);
    let settings = cluster.settings(name)?;
    clean_up(&settings)?;

    let after = State::read(&mut session)?;
    let policy = StoredPolicy {
        pattern: "v.*".to_owned(),
        polarity: Polarity::Matching,
    };
    let verdict = Case {
        before: &before,
        operations: &[Operation::Create {
            scope: Scope::Namespace(acme.id),
            text: policy.to_text(),
            inactive: false,
        }],
        acts: &[],
        pushes: Pushes::Locked,
    }
    .judge(&after);
    if !verdict.is_consistent() {
        return Err(format!("cut before statement {nth}: {verdict}").into());
    }
    if !unfinished(&settings)?.is_empty() {
        return Err(format!("cut before statement {nth}: something is unfinished").into());
    }
    if !struck && !succeeded {
        return Err("undisturbed, the subject failed".into());
    }
    Ok(struck)
}

#[allow(clippy::print_stdout)]
fn say(text: &str) {
    println!("{text}");
}
