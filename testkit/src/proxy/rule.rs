//! What a fault proxy is told to do, and when.

use std::time::Duration;

use super::hold::Hold;
use super::transaction::{Seen, plain};

/// A direction of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// From the program to the server.
    ToServer,
    /// From the server to the program.
    ToProgram,
}

/// Statements, told by their texts: case, double quotes and white space do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that contain this; the empty text is in every statement.
    Containing(String),
    /// Those that contain this and are the first of their transaction. What is to befall one befalls it
    /// before it is prepared or bound, so that the transaction has locked nothing yet; never its answer.
    Opening(String),
    /// The COMMITs of transactions in which a statement contained this; of every transaction where it
    /// is empty.
    CommitOf(String),
}

impl Which {
    fn plain(self) -> Self {
        match self {
            Self::Containing(text) => Self::Containing(plain(&text)),
            Self::Opening(text) => Self::Opening(plain(&text)),
            Self::CommitOf(text) => Self::CommitOf(plain(&text)),
        }
    }

    fn is(&self, seen: Seen<'_>) -> bool {
        match self {
            Self::Containing(text) => seen.text.contains(text),
            Self::Opening(text) => seen.opens && seen.text.contains(text),
            Self::CommitOf(text) => {
                let texts = seen.before.unwrap_or_default();
                seen.is_commit() && (text.is_empty() || texts.iter().any(|of| of.contains(text)))
            }
        }
    }
}

/// When a fault strikes. Counts begin when the rule is made known to the proxy, go over all of its
/// connections, and are of what the proxy has been given to hand on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// After so many bytes have gone this way: the next one does not any more. It may be in the
    /// middle of a message.
    Bytes(Way, u64),
    /// In place of the nth message that goes this way, from 1.
    Message(Way, u64),
    /// In place of the nth of these statements, from 1: the server never has it.
    Statement(Which, u64),
    /// In place of the server's answer to the nth of these statements, from 1: the server has done it,
    /// and the program does not know.
    Answer(Which, u64),
}

impl When {
    fn plain(self) -> Self {
        match self {
            Self::Statement(which, nth) => Self::Statement(which.plain(), nth),
            Self::Answer(which, nth) => Self::Answer(which.plain(), nth),
            other => other,
        }
    }
}

/// What befalls the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Both sides find their connection ended; what was under way is lost.
    Cut,
    /// The connection stays open and nothing comes through in either direction, until
    /// [`super::FaultProxy::heal`] lets it, or ends it.
    BlackHole,
    /// The connection stands still like one in a black hole, until its own hold is let go, or ended.
    Hold(Hold),
    /// What was about to go on goes on so much later.
    Delay(Duration),
}

/// A fault, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// When.
    pub when: When,
    /// What.
    pub effect: Effect,
}

impl Rule {
    /// The stream is cut after so many bytes.
    pub fn cut_after(way: Way, bytes: u64) -> Self {
        Self {
            when: When::Bytes(way, bytes),
            effect: Effect::Cut,
        }
    }

    /// The answer to the nth COMMIT is lost, and the connection with it: whether it was committed
    /// nobody has told the program. It was.
    pub fn lost_commit(nth: u64) -> Self {
        Self {
            when: When::Answer(Which::CommitOf(String::new()), nth),
            effect: Effect::Cut,
        }
    }

    /// The answer to the nth statement that contains this is lost, and the connection with it.
    pub fn lost_answer(containing: &str, nth: u64) -> Self {
        Self {
            when: When::Answer(Which::Containing(containing.to_owned()), nth),
            effect: Effect::Cut,
        }
    }

    /// The connection is lost before the nth statement that contains this has gone out.
    pub fn lost_statement(containing: &str, nth: u64) -> Self {
        Self {
            when: When::Statement(Which::Containing(containing.to_owned()), nth),
            effect: Effect::Cut,
        }
    }

    /// The same moment, another effect.
    #[must_use]
    pub fn with(mut self, effect: Effect) -> Self {
        self.effect = effect;
        self
    }
}

/// A rule, and how far it is from striking.
#[derive(Debug)]
struct Armed {
    rule: Rule,
    seen: u64,
}

/// The rules that have not struck yet.
#[derive(Debug, Default)]
pub(super) struct Rules {
    armed: Vec<Armed>,
    struck: u64,
}

impl Rules {
    pub(super) fn add(&mut self, mut rule: Rule) {
        rule.when = rule.when.plain();
        self.armed.push(Armed { rule, seen: 0 });
    }

    pub(super) fn clear(&mut self) {
        self.armed.clear();
    }

    /// An effect is there: only now is it told. A black hole that is healed before there is one
    /// would stay for ever.
    pub(super) fn has_struck(&mut self) {
        self.struck += 1;
    }

    pub(super) fn struck(&self) -> u64 {
        self.struck
    }

    pub(super) fn waiting(&self) -> usize {
        self.armed.len()
    }

    /// A message is about to go this way: how many bytes of it still do, and what befalls it then.
    pub(super) fn message(&mut self, way: Way, length: usize) -> Option<(usize, Effect)> {
        let mut strikes = None;
        for armed in &mut self.armed {
            let (at, counted) = match &armed.rule.when {
                When::Bytes(of, after) if *of == way => {
                    let left = after.saturating_sub(armed.seen);
                    (
                        usize::try_from(left).ok().filter(|left| *left < length),
                        length as u64,
                    )
                }
                When::Message(of, nth) if *of == way => ((armed.seen + 1 == *nth).then_some(0), 1),
                _ => continue,
            };
            armed.seen = armed.seen.saturating_add(counted);
            if let (Some(at), None) = (at, &strikes) {
                strikes = Some((at, armed.rule.effect.clone()));
                armed.seen = SPENT;
            }
        }
        self.bury(strikes)
    }

    /// A statement is about to be prepared or bound: what befalls it already then.
    pub(super) fn named(&mut self, seen: Seen<'_>) -> Option<Effect> {
        self.befalls(seen, |when| match when {
            When::Statement(which @ Which::Opening(_), nth) => Some((which, *nth)),
            _ => None,
        })
    }

    /// A statement is about to go out: what befalls it, or the answer to it.
    pub(super) fn statement(&mut self, seen: Seen<'_>) -> (Option<Effect>, Option<Effect>) {
        let itself = self.befalls(seen, |when| match when {
            When::Statement(Which::Opening(_), _) => None,
            When::Statement(which, nth) => Some((which, *nth)),
            _ => None,
        });
        let answer = self.befalls(seen, |when| match when {
            When::Answer(which, nth) => Some((which, *nth)),
            _ => None,
        });
        (itself, answer)
    }

    /// Counts a statement for the rules that are asked, and strikes.
    fn befalls(
        &mut self,
        seen: Seen<'_>,
        asked: impl Fn(&When) -> Option<(&Which, u64)>,
    ) -> Option<Effect> {
        let mut struck = None;
        for armed in &mut self.armed {
            let Some((which, nth)) = asked(&armed.rule.when) else {
                continue;
            };
            if !which.is(seen) {
                continue;
            }
            armed.seen += 1;
            if armed.seen == nth && struck.is_none() {
                struck = Some(armed.rule.effect.clone());
                armed.seen = SPENT;
            }
        }
        self.bury(struck)
    }

    fn bury<T>(&mut self, struck: Option<T>) -> Option<T> {
        self.armed.retain(|armed| armed.seen != SPENT);
        struck
    }
}

/// No count ever gets there.
const SPENT: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_in_the_middle_of_a_message_is_found() {
        let mut rules = Rules::default();
        rules.add(Rule::cut_after(Way::ToServer, 25));
        assert_eq!(rules.message(Way::ToServer, 10), None);
        assert_eq!(rules.message(Way::ToProgram, 100), None);
        assert_eq!(rules.message(Way::ToServer, 10), None);
        assert_eq!(
            rules.message(Way::ToServer, 10),
            Some((5, Effect::Cut)),
            "20 went before"
        );
        assert_eq!(rules.message(Way::ToServer, 100), None, "once");
        assert_eq!(rules.waiting(), 0);
    }

    #[test]
    fn a_message_that_ends_at_the_byte_goes_as_a_whole() {
        let mut rules = Rules::default();
        rules.add(Rule::cut_after(Way::ToServer, 10));
        assert_eq!(rules.message(Way::ToServer, 10), None);
        assert_eq!(rules.message(Way::ToServer, 1), Some((0, Effect::Cut)));
    }

    fn outside(text: &str) -> Seen<'_> {
        Seen {
            text,
            before: None,
            opens: false,
        }
    }

    #[test]
    fn the_nth_statement_with_a_text_is_struck_once() {
        let mut rules = Rules::default();
        rules.add(Rule::lost_commit(2));
        rules.add(Rule::lost_statement("", 3));
        assert_eq!(rules.statement(outside("commit")), (None, None));
        assert_eq!(
            rules.statement(outside("commit")),
            (None, Some(Effect::Cut))
        );
        assert_eq!(rules.statement(outside("begin")), (Some(Effect::Cut), None));
        assert_eq!(rules.statement(outside("commit")), (None, None));
        assert_eq!(rules.waiting(), 0);
    }

    #[test]
    fn a_commit_is_told_by_what_its_transaction_has_run() {
        let which = Which::CommitOf("\"tag\" SET".to_owned()).plain();
        let batch = ["select 1".to_owned(), "update tag set x".to_owned()];
        let of = |text, before| {
            which.is(Seen {
                text,
                before: Some(before),
                opens: false,
            })
        };
        assert!(of("commit", &batch[..]));
        assert!(!of("commit", &batch[..1]));
        assert!(!of("update tag set x", &batch[..]));
        assert!(!which.is(outside("commit")));
    }

    #[test]
    fn the_first_of_a_transaction_is_told_from_later_ones() {
        let which = Which::Opening("for share".to_owned());
        let mut rules = Rules::default();
        rules.add(Rule {
            when: When::Statement(which, 1),
            effect: Effect::Cut,
        });
        let mut of = |opens| {
            let seen = Seen {
                text: "select 2 for share",
                before: Some(&[]),
                opens,
            };
            (rules.named(seen), rules.statement(seen).0)
        };
        assert_eq!(of(false), (None, None));
        assert_eq!(of(true), (Some(Effect::Cut), None));
        assert_eq!(of(true), (None, None), "once");
    }
}
