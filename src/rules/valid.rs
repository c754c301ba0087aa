//! A rule file: raw as typed, then valid as meant.

use std::time::Duration;

use serde::Deserialize;

use super::{
    Evidence, Example, Fact, Milder, Remedy, RowQuery, Rule, RuleError, RuleId, Severity,
    SubjectKind,
};

/// How long a query may take whose file does not say.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A rule file, as typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RuleFile {
    id: RuleId,
    summary: String,
    reason: String,
    severity: Severity,
    milder: Option<Milder>,
    subject: SubjectKind,
    #[serde(default)]
    condition: Vec<Fact>,
    #[serde(default)]
    must_hold: Vec<Fact>,
    #[serde(default)]
    excused_by: Vec<Evidence>,
    message: String,
    #[serde(default)]
    remedy: Vec<Remedy>,
    #[serde(default)]
    example: Vec<Example>,
    query: Option<QueryTable>,
}

/// The table of a rule about rows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct QueryTable {
    sql: String,
    time_limit: Option<String>,
}

impl Rule {
    /// Parses and validates a rule file.
    ///
    /// # Errors
    /// [`RuleError`], naming the file and, where the text itself is wrong, the line.
    pub fn parse(file: &str, text: &str) -> Result<Self, RuleError> {
        let raw: RuleFile =
            toml::from_str(text).map_err(|error| RuleError::syntax(file, &error))?;
        raw.validate(file).map_err(|reason| RuleError::Invalid {
            file: file.to_owned(),
            reason,
        })
    }
}

impl RuleFile {
    fn validate(self, file: &str) -> Result<Rule, String> {
        let stem = file
            .rsplit('/')
            .next()
            .and_then(|n| n.strip_suffix(".toml"));
        if stem != Some(&self.id.0) {
            return Err(format!("its id is {}, its file's name is not", self.id));
        }
        self.vocabulary()?;
        self.shape()?;
        placeholders(&self.message, self.subject)?;
        let query = self.query.map(RowQuery::try_from).transpose()?;
        Ok(Rule {
            id: self.id,
            summary: self.summary,
            reason: self.reason.trim().to_owned(),
            severity: self.severity,
            milder: self.milder,
            subject: self.subject,
            condition: self.condition,
            must_hold: self.must_hold,
            excused_by: self.excused_by,
            message: self.message,
            remedies: self.remedy,
            examples: self.example,
            query,
        })
    }

    /// Every fact and every piece of evidence is about the rule's subject.
    fn vocabulary(&self) -> Result<(), String> {
        let milder = self.milder.iter().flat_map(|milder| &milder.when);
        for fact in self.condition.iter().chain(&self.must_hold).chain(milder) {
            if fact.subject() != self.subject {
                return Err(format!(
                    "`{fact}` is a fact about a {}, and the rule is about a {}",
                    fact.subject(),
                    self.subject
                ));
            }
        }
        match self.excused_by.iter().find(|e| !e.is_about(self.subject)) {
            Some(evidence) => Err(format!(
                "`{evidence}` is no evidence about a {}",
                self.subject
            )),
            None => Ok(()),
        }
    }

    fn shape(&self) -> Result<(), String> {
        let is_query = self.subject == SubjectKind::Row;
        if is_query != self.query.is_some() {
            return Err("a rule about a row has a [query], and no other has one".into());
        }
        if is_query && !(self.must_hold.is_empty() && self.example.is_empty()) {
            return Err("a query is the whole rule: no must-hold and no examples".into());
        }
        if !is_query && self.must_hold.is_empty() {
            return Err("must-hold names at least one fact".into());
        }
        let dead = self.condition.contains(&Fact::Dead);
        if self.subject == SubjectKind::Tag && !dead && !self.condition.contains(&Fact::Live) {
            return Err("the condition of a rule about tags names `live` or `dead`".into());
        }
        // Most rows of an old registry are dead; only those that rules ask for are read.
        if dead && !self.condition.contains(&Fact::Immutable) {
            return Err("a condition with `dead` names `immutable`, too".into());
        }
        Ok(())
    }
}

impl TryFrom<QueryTable> for RowQuery {
    type Error = String;

    fn try_from(table: QueryTable) -> Result<Self, String> {
        let time_limit = match &table.time_limit {
            None => TIME_LIMIT,
            Some(text) => humantime::parse_duration(text)
                .ok()
                .filter(|limit| !limit.is_zero())
                .ok_or_else(|| format!("`{text}` is no time limit; write `30s`"))?,
        };
        Ok(Self {
            sql: table.sql.trim().trim_end_matches(';').to_owned(),
            time_limit,
        })
    }
}

/// What `{name}` may stand for in messages.
fn placeholders(message: &str, subject: SubjectKind) -> Result<(), String> {
    let known: &[&str] = match subject {
        SubjectKind::Tag => &[],
        SubjectKind::Policy => &["why", "twin"],
        SubjectKind::Operation => &["kind", "phase", "worker"],
        // The query's columns; they are known when it runs.
        SubjectKind::Row => return Ok(()),
    };
    for piece in message.split('{').skip(1) {
        let name = piece.split('}').next().unwrap_or_default();
        if !known.contains(&name) {
            return Err(format!(
                "`{{{name}}}` stands for nothing in a message about a {subject}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOUND: &str = r#"
        id = "x"
        summary = "s"
        reason = "r"
        severity = "error"
        subject = "tag"
        condition = ["live"]
        must-hold = ["immutable"]
        message = "m"
    "#;

    #[test]
    fn a_mistyped_key_is_an_error_with_its_line() {
        let error = Rule::parse("x.toml", &SOUND.replace("message", "mesage"));
        let text = error.err().map(|e| e.to_string()).unwrap_or_default();
        assert!(text.contains("x.toml:9"), "{text}");
        assert!(text.contains("mesage"), "{text}");
    }

    #[test]
    fn a_fact_about_another_subject_is_an_error() {
        let text = SOUND.replace("[\"live\"]", "[\"inactive\"]");
        assert!(matches!(
            Rule::parse("x.toml", &text),
            Err(RuleError::Invalid { .. })
        ));
        assert!(Rule::parse("x.toml", SOUND).is_ok());
    }

    #[test]
    fn a_placeholder_that_stands_for_nothing_is_an_error() {
        let text = SOUND.replace("\"m\"", "\"m {why}\"");
        assert!(Rule::parse("x.toml", &text).is_err());
    }

    #[test]
    fn dead_rows_are_read_only_where_they_are_immutable() {
        let dead = SOUND.replace("[\"live\"]", "[\"dead\"]");
        assert!(Rule::parse("x.toml", &dead).is_err());
        let immutable = SOUND.replace("[\"live\"]", "[\"dead\", \"immutable\"]");
        assert!(Rule::parse("x.toml", &immutable).is_ok());
        assert!(Rule::parse("x.toml", &SOUND.replace("[\"live\"]", "[]")).is_err());
    }

    #[test]
    fn a_query_is_the_whole_rule() {
        let query = r#"
            id = "x"
            summary = "s"
            reason = "r"
            severity = "info"
            subject = "row"
            message = "{note}"
            query = { sql = "SELECT 1 AS note;", time-limit = "2s" }
        "#;
        let rule = Rule::parse("x.toml", query).expect("valid");
        let query_of = rule.query.expect("a query");
        assert_eq!(query_of.sql, "SELECT 1 AS note");
        assert_eq!(query_of.time_limit, Duration::from_secs(2));
        assert!(Rule::parse("x.toml", &query.replace("2s", "soon")).is_err());
        assert!(Rule::parse("x.toml", &query.replace("\"row\"", "\"tag\"")).is_err());
    }

    #[test]
    fn a_rule_is_called_as_its_file() {
        assert!(Rule::parse("checks/x.toml", SOUND).is_ok());
        assert!(Rule::parse("checks/y.toml", SOUND).is_err());
    }
}
