//! Simple patterns as SQL, so that PostgreSQL can leave out rows before they travel.
//!
//! The condition holds for exactly the texts that the pattern matches, whatever the column's
//! collation: every comparison says COLLATE "C", which compares bytes. No LIKE, hence no escapes.

use sea_query::prepare::SqlWriterValues;
use sea_query::{
    Cond, Expr, ExprTrait as _, IntoColumnRef, PostgresQueryBuilder, QueryBuilder as _, Value,
};

use super::shape::{Gap, Shape, Simple};

/// A condition on a text column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlCondition {
    any_of: Vec<Simple>,
}

/// A condition's text, and the texts for its parameters in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlText {
    /// With `$n` where a parameter goes.
    pub text: String,
    /// The parameters' values, all of type text.
    pub parameters: Vec<String>,
}

impl SqlCondition {
    /// The condition of a shape; none if PostgreSQL cannot hold one of its texts, or there is none.
    pub(super) fn of(shape: &Shape) -> Option<Self> {
        let has_null = |text: &String| text.contains('\0');
        let impossible = shape.any_of.iter().any(|simple| match simple {
            Simple::Literal(text) | Simple::Contains { text, .. } => has_null(text),
            Simple::Affixes { prefix, suffix, .. } => has_null(prefix) || has_null(suffix),
        });
        (!impossible && !shape.any_of.is_empty()).then(|| Self {
            any_of: shape.any_of.clone(),
        })
    }

    /// The condition on a column, for a statement that sea-query builds.
    pub fn on(&self, column: &Expr) -> Cond {
        let literals = self.any_of.iter().filter_map(|simple| match simple {
            Simple::Literal(text) => Some(text.as_str()),
            _ => None,
        });
        let literals: Vec<&str> = literals.collect();
        let mut any = Cond::any();
        if !literals.is_empty() {
            any = any.add(one_of(column, &literals));
        }
        for simple in &self.any_of {
            match simple {
                Simple::Literal(_) => {}
                Simple::Affixes {
                    prefix,
                    gap,
                    suffix,
                } => any = any.add(affixes(column, prefix, *gap, suffix)),
                Simple::Contains { text, line_feeds } => {
                    any = any.add(contains(column, text, *line_feeds));
                }
            }
        }
        any
    }

    /// The condition on a column as text, for a reader.
    pub fn render(&self, column: impl IntoColumnRef) -> SqlText {
        let condition = self.on(&Expr::col(column));
        let mut writer = SqlWriterValues::new("$", true);
        PostgresQueryBuilder.prepare_expr(&condition.into(), &mut writer);
        let (text, values) = writer.into_parts();
        let parameters = values.into_iter().filter_map(|value| match value {
            Value::String(text) => text,
            _ => None,
        });
        SqlText {
            text,
            parameters: parameters.collect(),
        }
    }
}

/// The plain comparison lets an index be used; the other makes it exact under any collation.
fn one_of(column: &Expr, texts: &[&str]) -> Cond {
    let bytes = Expr::cust_with_expr("$1 COLLATE \"C\"", column.clone());
    Cond::all()
        .add(column.clone().is_in(texts.iter().copied()))
        .add(bytes.is_in(texts.iter().copied()))
}

fn affixes(column: &Expr, prefix: &str, gap: Gap, suffix: &str) -> Cond {
    let with = |text: &str| [column.clone(), Expr::val(text)];
    let length = || Expr::cust_with_expr("char_length($1)", column.clone());
    let mut all = Cond::all();
    if !prefix.is_empty() {
        let starts = Expr::cust_with_exprs("starts_with($1 COLLATE \"C\", $2)", with(prefix));
        all = all.add(starts);
    }
    if !suffix.is_empty() {
        let text = "right($1, char_length($2::text)) COLLATE \"C\" = $2";
        all = all.add(Expr::cust_with_exprs(text, with(suffix)));
    }
    let fixed = prefix.chars().count() + suffix.chars().count();
    let least = fixed + gap.minimum as usize;
    if gap.minimum > 0 || !(prefix.is_empty() || suffix.is_empty()) {
        all = all.add(length().gte(number(least)));
    }
    if let Some(maximum) = gap.maximum {
        all = all.add(length().lte(number(fixed + maximum as usize)));
    }
    if !gap.line_feeds {
        all = all.add(no_line_feed(column));
    }
    if all.is_empty() {
        return all.add(column.clone().is_not_null());
    }
    all
}

/// A number that belongs to the pattern's text, and is no parameter.
fn number(number: usize) -> Expr {
    Expr::Constant(i32::try_from(number).unwrap_or(i32::MAX).into())
}

fn contains(column: &Expr, text: &str, line_feeds: bool) -> Cond {
    let holds = "strpos($1 COLLATE \"C\", $2) > 0";
    let all = Cond::all().add(Expr::cust_with_exprs(
        holds,
        [column.clone(), Expr::val(text)],
    ));
    if line_feeds {
        all
    } else {
        all.add(no_line_feed(column))
    }
}

/// The dot takes everything but a line feed. No tag has one, but then nothing in the column's
/// type says so.
fn no_line_feed(column: &Expr) -> Expr {
    Expr::cust_with_expr("strpos($1 COLLATE \"C\", chr(10)) = 0", column.clone())
}
