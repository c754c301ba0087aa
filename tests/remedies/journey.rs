//! There and back: a world with a violation, its plan, a clean check, and the world as it was.

use quay_doctor::pg::{Columns, Statements};
use serde_json::Value;

use crate::line::script::{psql, run as run_script};
use crate::line::stage::Stage;

/// What is stated about Quay in these worlds; no audit entry is written, so that the whole database
/// can be compared.
const STATED: [&str; 4] = [
    "--immutable-tags-can-expire",
    "false",
    "--immutable-tags",
    "true",
];

/// A violation's way.
pub struct Journey {
    pub stage: Stage,
    rule: &'static str,
    remedies: Vec<&'static str>,
}

impl Journey {
    /// A migrated world, changed by SQL where a description cannot say it.
    pub fn through(world: &str, sql: &str, rule: &'static str) -> Self {
        let stage = Stage::migrated(world);
        stage.sql(sql);
        Self {
            stage,
            rule,
            remedies: Vec::new(),
        }
    }

    /// The same with options of `fix`.
    pub fn with(mut self, options: &[&'static str]) -> Self {
        self.remedies.extend(options);
        self
    }

    /// `check` with what is stated.
    pub fn check(&self, more: &[&str]) -> crate::program::Ended {
        let mut args = vec!["check"];
        args.extend(STATED);
        args.extend(more);
        self.stage.run(&args)
    }

    /// `fix` with the options.
    pub fn fix(&self, more: &[&str]) -> crate::program::Ended {
        let mut args = vec!["fix", "--audit", "none"];
        args.extend(STATED);
        args.extend(&self.remedies);
        args.extend(more);
        self.stage.run(&args)
    }

    /// The plan for people.
    pub fn plan(&self) -> String {
        let ended = self.fix(&[]);
        // What depends on a policy that nobody can decide is not known.
        assert!(matches!(ended.status, 1 | 3), "{ended:#?}");
        ended.stdout
    }

    /// Carries the plan out; all of it goes through.
    pub fn apply(&self) -> Value {
        let ended = self.fix(&["--apply", "--format", "json"]);
        let run = ended.expect_status(0).json();
        crate::line::output::valid("apply", &run);
        assert_eq!(run["skipped"], 0, "{run:#}");
        run
    }

    /// Takes a run back; every row of it.
    pub fn undo(&self, run: &Value) {
        let id = run["run"].to_string();
        let mut args = vec!["fix", "undo", &id, "--audit", "none", "--format", "json"];
        args.extend(STATED);
        let undone = self.stage.run(&args).expect_status(0).json();
        assert_eq!(undone["refused"], 0, "{undone:#}");
    }

    /// How many subjects violate the rule.
    pub fn violations(&self) -> u64 {
        let report = self.check(&["--format", "json"]).json();
        let rules = report["rules"].as_array().expect("rules");
        let rule = rules.iter().find(|rule| rule["id"] == self.rule);
        rule.expect("the rule")["violations"]
            .as_u64()
            .expect("a number")
    }

    /// All of Quay's tables, every row and column.
    pub fn dump(&self) -> String {
        dump(&self.stage)
    }

    /// The whole way; the plan and the run.
    pub fn there_and_back(&self) -> (String, Value) {
        assert!(self.violations() > 0, "nothing violates {}", self.rule);
        let before = self.dump();
        let plan = self.plan();
        crate::line::output::valid("plan", &self.fix(&["--format", "json"]).json());
        assert_eq!(self.dump(), before, "a plan changes nothing");
        let run = self.apply();
        assert_eq!(self.violations(), 0);
        self.check(&["--fail-on", "info"]).expect_status(0);
        let after = self.dump();
        let again = self.fix(&["--apply", "--format", "json"]);
        assert_eq!(again.expect_status(0).json()["applied"], 0);
        assert_eq!(self.dump(), after, "a second run changes nothing");
        self.undo(&run);
        assert_eq!(self.dump(), before, "byte for byte");
        self.by_script(&run, (&before, &after));
        (plan, run)
    }

    /// The plan as a script: psql leaves Quay's tables as the run did, and what is no plain SQL is
    /// named with its command.
    fn by_script(&self, run: &Value, (before, after): (&str, &str)) {
        let Some(psql) = psql() else { return };
        let script = self.fix(&["--print-sql"]).stdout;
        let operations = run["operations"].as_array().expect("operations").len();
        let commands = script
            .lines()
            .filter(|line| line.starts_with("--     quay-doctor "))
            .count();
        assert_eq!(commands, operations, "{script}");
        let (through, said) = run_script(&psql, &self.stage, &script);
        assert!(through && said.contains("changed: 0"), "{said}");
        // No plan of these worlds mixes the two.
        let left = if operations > 0 { before } else { after };
        assert_eq!(self.dump(), left, "{script}");
        let id = self
            .stage
            .count("SELECT max(id) FROM quay_doctor.operation WHERE kind = 'fix'");
        self.undo(&serde_json::json!({ "run": id }));
        assert_eq!(self.dump(), before, "the script's run is taken back");
    }
}

/// All of Quay's tables, every row and column.
pub fn dump(stage: &Stage) -> String {
    let mut session = stage.session();
    let tables = session
        .query(
            "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1",
            &[],
        )
        .expect("tables");
    let mut dump = String::new();
    for row in &tables {
        let table: String = row.read(0).expect("a name");
        let rows = session
            .query_one(
                &format!(
                    r#"SELECT coalesce(string_agg(t::text, E'\n' ORDER BY t::text), '')
                       FROM "{table}" t"#
                ),
                &[],
            )
            .expect("a dump");
        dump.push_str(&format!(
            "-- {table}\n{}\n",
            rows.read::<&str>(0).expect("text")
        ));
    }
    dump
}
