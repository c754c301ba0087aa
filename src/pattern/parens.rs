//! Everything that begins with a parenthesis: groups, look-around, flags, conditions, calls.

use super::error::{Complaint, Refusal};
use super::escape::Numbers;
use super::flags::Flags;
use super::parse::{Parser, Stop, number};
use super::tree::{Conditional, Look, LookConditional, Node, Target};

impl Parser {
    /// Reads what follows an opening parenthesis; none for flags and comments.
    pub(super) fn parenthesis(&mut self) -> Result<Option<Node>, Stop> {
        let before = self.source.position;
        match self.source.get_raw() {
            Some('?') => return self.extension(),
            Some('*') => {
                if let Some(verb) = self.verb()? {
                    return Ok(Some(verb));
                }
            }
            _ => {}
        }
        self.source.position = before;
        let group = self.groups.open(None);
        self.group(group).map(Some)
    }

    fn group(&mut self, group: i32) -> Result<Node, Stop> {
        let node = self.scoped_pattern()?;
        self.groups.close();
        Ok(Node::Group(group, Box::new(node)))
    }

    fn named_group(&mut self) -> Result<Option<Node>, Stop> {
        let group = match self.name(Numbers::Refused)? {
            Target::Name(name) => self.groups.open(Some(&name)),
            Target::Number(_) => return Err(self.complain(Complaint::BadGroupName).into()),
        };
        self.expect(">")?;
        self.group(group).map(Some)
    }

    /// `(?...`
    fn extension(&mut self) -> Result<Option<Node>, Stop> {
        let before = self.source.position;
        let Some(character) = self.source.get_raw() else {
            return self.flags_or_subpattern();
        };
        match character {
            '<' => {
                let after = self.source.position;
                match self.source.get() {
                    Some('=') => return self.look(Look::Behind),
                    Some('!') => return self.look(Look::NotBehind),
                    _ => self.source.position = after,
                }
                self.named_group()
            }
            '=' => self.look(Look::Ahead),
            '!' => self.look(Look::NotAhead),
            'P' => self.python_extension(),
            '#' => self.comment(),
            '(' => self.conditional().map(Some),
            '>' => Ok(Some(Node::Atomic(Box::new(self.scoped_pattern()?)))),
            '|' => self.branch_reset().map(Some),
            'R' => self.call_by_number(String::from("0"), before),
            '0'..='9' => {
                let digits = format!("{character}{}", self.digits());
                self.call_by_number(digits, before)
            }
            '&' => self.call_by_name(before),
            '+' | '-' if self.source.peek().is_some_and(|c| c.is_ascii_digit()) => {
                self.call_relative(character, before)
            }
            _ => {
                self.source.position = before;
                self.flags_or_subpattern()
            }
        }
    }

    fn look(&mut self, look: Look) -> Result<Option<Node>, Stop> {
        Ok(Some(Node::Look(look, Box::new(self.scoped_pattern()?))))
    }

    /// `(?P...`
    fn python_extension(&mut self) -> Result<Option<Node>, Stop> {
        let before = self.source.position;
        match self.source.get() {
            Some('<') => self.named_group(),
            Some('=') => {
                let target = self.name(Numbers::Allowed)?;
                self.expect(")")?;
                self.refer(target, before).map(Some)
            }
            Some('>' | '&') => self.call_by_name(before),
            _ => Err(Refusal::invalid(before, Complaint::UnknownExtension).into()),
        }
    }

    /// `(?#...)`; a backslash protects the next character.
    fn comment(&mut self) -> Result<Option<Node>, Stop> {
        loop {
            match self.source.get_raw() {
                Some(')') => return Ok(None),
                Some('\\') => {
                    self.source.get_raw();
                }
                Some(_) => {}
                None => return Err(self.complain(Complaint::Missing(")")).into()),
            }
        }
    }

    /// `(*FAIL)` and the like; none if this is a group after all.
    fn verb(&mut self) -> Result<Option<Node>, Stop> {
        let before = self.source.position;
        let word = self.source.get_while(|c| c != ')' && c != '>');
        if !word.starts_with(char::is_alphabetic) {
            return Ok(None);
        }
        let verb = match word.as_str() {
            "F" | "FAIL" => Node::Fail,
            "PRUNE" | "SKIP" => Node::Verb,
            _ => return Err(Refusal::invalid(before, Complaint::UnknownVerb).into()),
        };
        self.expect(")")?;
        Ok(Some(verb))
    }

    /// `(?(...)yes|no)`
    fn conditional(&mut self) -> Result<Node, Stop> {
        let saved = self.flags;
        let position = self.source.position;
        if self.source.get() == Some('?') {
            let look = match self.source.get() {
                Some('=') => Some(Look::Ahead),
                Some('!') => Some(Look::NotAhead),
                Some('<') => match self.source.get() {
                    Some('=') => Some(Look::Behind),
                    Some('!') => Some(Look::NotBehind),
                    _ => None,
                },
                _ => None,
            };
            return match look {
                Some(look) => self.look_conditional(look),
                None => Err(Refusal::invalid(position, Complaint::ExpectedLookaround).into()),
            };
        }
        self.source.position = position;
        let target = self.name(Numbers::Allowed)?;
        self.expect(")")?;
        let (yes, no) = self.two_branches()?;
        self.restore_flags(saved);
        if yes.is_empty() && no.is_empty() {
            return Ok(Node::nothing());
        }
        Ok(Node::Conditional(Box::new(Conditional {
            target,
            yes,
            no,
            position,
        })))
    }

    fn look_conditional(&mut self, look: Look) -> Result<Node, Stop> {
        let condition = self.scoped_pattern()?;
        let (yes, no) = self.two_branches()?;
        Ok(Node::LookConditional(Box::new(LookConditional {
            look,
            condition,
            yes,
            no,
        })))
    }

    fn two_branches(&mut self) -> Result<(Node, Node), Stop> {
        let yes = self.sequence()?;
        let no = if self.source.accept("|") {
            self.sequence()?
        } else {
            Node::nothing()
        };
        self.expect(")")?;
        Ok((yes, no))
    }

    /// `(?|...|...)`: the branches number their groups alike, and flags set inside stay set.
    fn branch_reset(&mut self) -> Result<Node, Stop> {
        let first = self.groups.count;
        let mut branches = vec![self.sequence()?];
        let mut last = self.groups.count;
        while self.source.accept("|") {
            self.groups.count = first;
            branches.push(self.sequence()?);
            last = last.max(self.groups.count);
        }
        self.groups.count = last;
        self.expect(")")?;
        Ok(match branches.len() {
            1 => branches.remove(0),
            _ => Node::Branch(branches),
        })
    }

    fn call_by_number(&mut self, digits: String, position: usize) -> Result<Option<Node>, Stop> {
        self.expect(")")?;
        Ok(Some(Node::Call(Target::Number(number(&digits)), position)))
    }

    fn call_by_name(&mut self, position: usize) -> Result<Option<Node>, Stop> {
        let target = self.name(Numbers::Refused)?;
        self.expect(")")?;
        Ok(Some(Node::Call(target, position)))
    }

    fn call_relative(&mut self, sign: char, position: usize) -> Result<Option<Node>, Stop> {
        let offset = number(&self.digits());
        let count = self.groups.count;
        let group = match sign {
            '+' => Some(count.saturating_add(offset)),
            _ => (count + 1).checked_sub(offset),
        };
        match group {
            Some(group @ 1..) => {
                self.expect(")")?;
                Ok(Some(Node::Call(Target::Number(group), position)))
            }
            _ => Err(self.complain(Complaint::BadRelativeGroup).into()),
        }
    }

    /// `(?i)`, `(?i-s:...)`, `(?:...)`
    fn flags_or_subpattern(&mut self) -> Result<Option<Node>, Stop> {
        let on = self.flag_letters();
        let mut off = Flags::NONE;
        if self.source.accept("-") {
            off = self.flag_letters();
            if off.is_none() {
                return Err(self.complain(Complaint::NoOffFlags).into());
            }
        }
        if off.has(Flags::GLOBAL) {
            return Err(self.complain(Complaint::BadFlags).into());
        }
        if on.has(off) {
            return Err(self.complain(Complaint::OnAndOff).into());
        }
        let new_global = on & !self.global_flags & Flags::GLOBAL;
        if !new_global.is_none() {
            return Err(Stop::StartOver(self.global_flags | new_global));
        }
        let on = on & !Flags::GLOBAL;
        self.uses_locale |= on.has(Flags::LOCALE);
        if self.source.accept(":") {
            return self.subpattern(on, off).map(Some);
        }
        if self.source.accept(")") {
            self.restore_flags((self.flags | on) & !off);
            return Ok(None);
        }
        Err(self.complain(Complaint::UnknownExtension).into())
    }

    fn subpattern(&mut self, on: Flags, off: Flags) -> Result<Node, Stop> {
        let saved = self.flags;
        let mut flags = (saved | on) & !off;
        if flags.has(Flags::ENCODINGS) {
            // Of the three alphabets only the one named here holds inside.
            flags = (flags & !Flags::ENCODINGS) | on;
        }
        self.restore_flags(flags);
        let node = self.pattern()?;
        self.expect(")")?;
        self.restore_flags(saved);
        Ok(node)
    }

    fn flag_letters(&mut self) -> Flags {
        let mut flags = Flags::NONE;
        loop {
            let before = self.source.position;
            let flag = match self.source.get() {
                Some('V') => {
                    let version = self.source.get();
                    version.and_then(|version| Flags::from_letter('V', Some(version)))
                }
                Some(letter) => Flags::from_letter(letter, None),
                None => None,
            };
            match flag {
                Some(flag) => flags |= flag,
                None => {
                    self.source.position = before;
                    return flags;
                }
            }
        }
    }
}
