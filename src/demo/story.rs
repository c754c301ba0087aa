//! The story, step by step.

use std::time::Duration;

use chrono::Utc;

use super::DemoError;
use crate::apply::ApplyOptions;
use crate::config::ConnectionSettings;
use crate::correction::Choices;
use crate::evaluate::{Features, Stated};
use crate::journal::Identity;
use crate::migrate::{self, Patience};
use crate::pg::{Columns, ReadSession, Statements};
use crate::quay::NamespaceId;
use crate::report::{
    CheckReport, Settling, apply_for_people, check_for_people, plan_for_people, undo_for_people,
};
use crate::rules::{Catalogue, Severity};
use crate::run::{CheckRequest, FixRequest, NoProgress, apply_fix, check, plan_fix, undo_fix};
use crate::sandbox::Cluster;
use crate::sandbox::quays_way::{self, Fault, PolicyFate};
use crate::sandbox::world::World;

/// The database that the story plays in.
const DATABASE: &str = "quay";
/// The pattern of both policies.
const PATTERN: &str = "v.*";
/// Tags that Quay gets to before the fault.
const HALF: u64 = 5_000;

/// Tells the story to somebody.
pub trait Narrator {
    /// A new chapter.
    fn chapter(&mut self, title: &str);
    /// What is done, and why.
    fn say(&mut self, text: &str);
    /// A command as an operator would type it.
    fn command(&mut self, line: &str);
    /// What the command answered.
    fn output(&mut self, text: &str);
    /// Whether to stop: the listener has gone.
    fn interrupted(&self) -> bool;
}

/// How the story ended.
pub struct Ending {
    /// The server, still running.
    pub cluster: Cluster,
    /// The URL of the database that it played in.
    pub url: String,
}

/// Tells the whole story; the server is still up at its end.
///
/// # Errors
/// [`DemoError`], also where a step does not come out as it should.
pub fn tell(to: &mut dyn Narrator) -> Result<Ending, DemoError> {
    to.chapter("A registry of its own");
    to.say(
        "Starting a throw-away PostgreSQL, and in it a database with the tables of Quay: two \
            organisations with 10,000 release tags each, 1,000 of which have an expiry date.",
    );
    let cluster = Cluster::start()?;
    cluster.create_database(DATABASE)?;
    let stage = Stage {
        settings: cluster.settings(DATABASE)?,
    };
    World::parse(include_str!("../../fixtures/worlds/demo.toml"))?
        .settle(&stage.settings, Utc::now())?;
    go_on(to)?;

    stage.faults(to)?;
    go_on(to)?;
    stage.migrate(to)?;
    go_on(to)?;
    stage.find(to)?;
    go_on(to)?;
    stage.mend_and_undo(to)?;
    let url = cluster.url(DATABASE);
    Ok(Ending { cluster, url })
}

fn go_on(to: &dyn Narrator) -> Result<(), DemoError> {
    if to.interrupted() {
        Err(DemoError::Interrupted)
    } else {
        Ok(())
    }
}

struct Stage {
    settings: ConnectionSettings,
}

impl Stage {
    fn faults(&self, to: &mut dyn Narrator) -> Result<(), DemoError> {
        to.chapter("Two failures that Quay really has (PROJQUAY-10826)");
        to.say(
            "Quay creates the policy `v.*` for acme: it commits the policy, then marks matching \
                tags in batches, each a transaction of its own. Half-way a statement times out. \
                Quay deletes the policy again, and only the policy.",
        );
        let ending = self.quay_creates("acme", Fault::TimeOut { after: HALF })?;
        to.output(&told(&ending));
        expect(
            ending.policy == PolicyFate::Deleted,
            "the policy of acme was to be deleted",
        )?;
        to.say(
            "Quay creates the same policy for globex. Half-way the connection is lost, so that \
                it cannot even delete the policy, which now looks complete.",
        );
        let ending = self.quay_creates("globex", Fault::ConnectionLost { after: HALF })?;
        to.output(&told(&ending));
        expect(
            ending.policy == PolicyFate::Kept,
            "the policy of globex was to stay",
        )
    }

    fn quay_creates(&self, name: &str, fault: Fault) -> Result<quays_way::Ending, DemoError> {
        let mut session = ReadSession::open(&self.settings)?;
        let id = session.query_one(r#"SELECT id FROM "user" WHERE username = $1"#, &[&name])?;
        let namespace = NamespaceId(id.read(0)?);
        Ok(quays_way::create_namespace_policy(
            &self.settings,
            namespace,
            PATTERN,
            fault,
        )?)
    }

    fn migrate(&self, to: &mut dyn Narrator) -> Result<(), DemoError> {
        to.chapter("Migrate");
        to.say(
            "A schema of our own for the journal, the column `active` on Quay's two policy \
                tables, and an index on each. Quay goes on working meanwhile.",
        );
        to.command("quay-doctor migrate up");
        let ended = migrate::up(&self.settings, None, &Patience::default(), &mut |_| {});
        if let Some(fault) = ended.fault {
            return Err(Box::new(fault).into());
        }
        for applied in &ended.report.applied {
            to.output(&format!("V{} {}: applied\n", applied.version, applied.name));
        }
        Ok(())
    }

    fn find(&self, to: &mut dyn Narrator) -> Result<(), DemoError> {
        to.chapter("Check");
        to.say(
            "One consistent snapshot, every rule, and a second look at each suspicion. The \
                golden and the signed tags are immutable without a policy, too, but the audit log \
                and a label account for them.",
        );
        to.command("quay-doctor check");
        let report = self.check()?;
        to.output(&check_for_people(&report));
        let total = report.total_violations();
        expect(
            total == 2 * HALF,
            &format!("{} violations were expected, {total} found", 2 * HALF),
        )
    }

    fn mend_and_undo(&self, to: &mut dyn Narrator) -> Result<(), DemoError> {
        let before = self.digest()?;
        to.chapter("Fix");
        to.say(
            "The plan. Protecting what a policy says is protected is safe. Releasing an orphan \
                takes protection away: nobody but you can say whether that is meant.",
        );
        to.command("quay-doctor fix --immutable-tags-can-expire false");
        let plan = plan_fix(&self.settings, &self.fix(&[])?, &mut NoProgress)?;
        to.output(&plan_for_people(&plan));
        to.say(
            "The decision is: release. acme's policy was never completed, and its tags are to \
                be as they were. Every change is written to the journal with the values before it.",
        );
        to.command(
            "quay-doctor fix --apply --remedy orphaned-immutable-tag=release \
             --immutable-tags-can-expire false",
        );
        let plan = plan_fix(
            &self.settings,
            &self.fix(&["orphaned-immutable-tag=release".to_owned()])?,
            &mut NoProgress,
        )?;
        let applied = apply_fix(&self.settings, &plan, &self.options(), &mut NoProgress)?;
        to.output(&apply_for_people(&applied));
        to.chapter("Check again");
        to.command("quay-doctor check");
        let report = self.check()?;
        to.output(&check_for_people(&report));
        expect(
            report.total_violations() == 0,
            "after the fix the check was to be clean",
        )?;

        to.chapter("Undo");
        to.say("Nothing that was done is lost: the run can be taken back, row by row.");
        to.command(&format!("quay-doctor fix undo {}", applied.run));
        let undone = undo_fix(
            &self.settings,
            applied.run,
            &self.options(),
            &mut NoProgress,
        )?;
        to.output(&undo_for_people(&undone));
        expect(
            self.digest()? == before,
            "after the undo every tag was to be as before",
        )?;
        to.say(
            "Every tag is again exactly as it was before the fix, expiry dates included: a \
                digest over the whole table says so.",
        );
        Ok(())
    }

    fn check(&self) -> Result<CheckReport, DemoError> {
        Ok(check(&self.settings, &self.request()?, &mut NoProgress)?)
    }

    fn request(&self) -> Result<CheckRequest, DemoError> {
        let rules = Catalogue::built_in().map_err(crate::run::RunError::from)?;
        let mut request = CheckRequest::of(rules);
        request.features = Features {
            immutable_tags: Stated::On,
            can_expire: Stated::Off,
        };
        // The story's Quay is surely dead: nobody waits for its pass.
        request.grace = Duration::ZERO;
        request.keep = 20_000;
        Ok(request)
    }

    fn fix(&self, remedies: &[String]) -> Result<FixRequest, DemoError> {
        let check = self.request()?;
        let choices = Choices::parse::<crate::run::RunError>(remedies, &check.rules)?;
        Ok(FixRequest {
            check,
            choices,
            settling: Settling::default(),
            fail_on: Severity::Warning,
        })
    }

    fn options(&self) -> ApplyOptions {
        let mut options = ApplyOptions::new(Identity {
            actor: "demo".to_owned(),
            reason: Some("the demo".to_owned()),
            worker: format!("process {}", std::process::id()),
        });
        options.features.can_expire = Stated::Off;
        options
    }

    /// A digest over every row of `tag`.
    fn digest(&self) -> Result<String, DemoError> {
        let mut session = ReadSession::open(&self.settings)?;
        let row = session.query_one(
            "SELECT md5(string_agg(t::text, '|' ORDER BY id)) FROM tag t",
            &[],
        )?;
        Ok(row.read(0)?)
    }
}

fn told(ending: &quays_way::Ending) -> String {
    let error = ending.error.as_deref().unwrap_or("nothing went wrong");
    let fate = match ending.policy {
        PolicyFate::Kept => "the policy is still there",
        PolicyFate::Deleted => "the policy is gone",
    };
    format!(
        "Quay: {error}\n{} tags are immutable by now, and {fate}.\n",
        ending.marked
    )
}

fn expect(holds: bool, what: &str) -> Result<(), DemoError> {
    if holds {
        Ok(())
    } else {
        Err(DemoError::Unexpected(what.to_owned()))
    }
}
