//! One connection through a fault proxy: two threads, one a direction, that share how it is.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Shared;
use super::rule::{Effect, Way};
use super::transaction::Transaction;
use super::wire::{Content, Meaning, Message, Splitter, Statements};

/// How a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Open,
    /// Nothing comes through.
    Hole,
    Ended,
}

/// An exchange that the server has not answered to its end.
#[derive(Debug, Default)]
struct Exchange {
    /// Whether the client has said all of it.
    said: bool,
    /// What befalls the answer.
    answer: Option<Effect>,
}

#[derive(Debug)]
struct State {
    condition: Condition,
    /// The first is the start-up, which the server ends by being ready as well.
    exchanges: VecDeque<Exchange>,
    /// The server takes rows in: it ignores the Sync that belongs to the statement's own message.
    copying: bool,
    /// Questions that one byte answers.
    questions: u32,
    encrypted: bool,
}

/// What the client of a connection has said so far.
#[derive(Debug, Default)]
struct Said {
    statements: Statements,
    transaction: Transaction,
}

/// A connection through the proxy.
#[derive(Debug)]
pub(super) struct Link {
    program: TcpStream,
    server: TcpStream,
    state: Mutex<State>,
    changed: Condvar,
}

impl Link {
    /// Begins to hand on in both directions.
    pub(super) fn start(
        program: TcpStream,
        server: TcpStream,
        shared: &Arc<Shared>,
    ) -> std::io::Result<Arc<Self>> {
        // An exchange is many small messages: none of them waits for another.
        program.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (from_program, from_server) = (program.try_clone()?, server.try_clone()?);
        let link = Arc::new(Self {
            program,
            server,
            state: Mutex::new(State {
                condition: Condition::Open,
                exchanges: VecDeque::from([Exchange {
                    said: true,
                    answer: None,
                }]),
                copying: false,
                questions: 0,
                encrypted: false,
            }),
            changed: Condvar::new(),
        });
        for (way, from) in [(Way::ToServer, from_program), (Way::ToProgram, from_server)] {
            let (link, shared) = (Arc::clone(&link), Arc::clone(shared));
            thread::spawn(move || {
                link.carry(way, from, &shared);
                link.end();
            });
        }
        Ok(link)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection on both sides.
    pub(super) fn end(&self) {
        self.state().condition = Condition::Ended;
        self.changed.notify_all();
        // Ended by the other side already is as good.
        let _ = self.program.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// From here on nothing comes through.
    pub(super) fn sink(&self) {
        let mut state = self.state();
        if state.condition == Condition::Open {
            state.condition = Condition::Hole;
        }
    }

    /// What was held back comes through.
    pub(super) fn let_through(&self) {
        let mut state = self.state();
        if state.condition == Condition::Hole {
            state.condition = Condition::Open;
        }
        self.changed.notify_all();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.state().condition == Condition::Ended
    }

    /// Waits until something comes through; false where nothing will any more.
    fn comes_through(&self) -> bool {
        let state = self.state();
        let state = self
            .changed
            .wait_while(state, |state| state.condition == Condition::Hole)
            .unwrap_or_else(PoisonError::into_inner);
        state.condition == Condition::Open
    }

    fn carry(self: &Arc<Self>, way: Way, mut from: TcpStream, shared: &Shared) {
        let mut splitter = Splitter::new(match way {
            Way::ToServer => Content::Opening,
            Way::ToProgram => Content::Messages,
        });
        let mut said = Said::default();
        let mut withheld = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = match from.read(&mut buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(0) | Err(_) => {
                    // In a black hole an end does not come through either.
                    self.comes_through();
                    return;
                }
                Ok(read) => read,
            };
            splitter.feed(buffer.get(..read).unwrap_or_default());
            loop {
                if way == Way::ToProgram {
                    splitter.content = self.content_from_server();
                }
                let Ok(next) = splitter.next() else { return };
                let Some(message) = next else { break };
                let goes_on = match way {
                    Way::ToServer => {
                        self.said_by_program(&message, &mut splitter, &mut said, shared)
                    }
                    Way::ToProgram => self.said_by_server(message, &mut withheld, shared),
                };
                if !goes_on {
                    return;
                }
            }
        }
    }

    fn content_from_server(&self) -> Content {
        let state = self.state();
        match (state.encrypted, state.questions) {
            (true, _) => Content::Encrypted,
            (false, 0) => Content::Messages,
            (false, _) => Content::OneByte,
        }
    }

    /// Hands a client's message on; false where the connection has ended.
    fn said_by_program(
        self: &Arc<Self>,
        message: &Message,
        splitter: &mut Splitter,
        said: &mut Said,
        shared: &Shared,
    ) -> bool {
        if splitter.content == Content::Opening {
            if message.asks_for_protection() {
                self.state().questions += 1;
            } else {
                splitter.content = Content::Messages;
            }
        } else if self.state().encrypted {
            splitter.content = Content::Encrypted;
        }
        let meaning = match splitter.content {
            Content::Messages if message.kind != 0 => said.statements.understand(message),
            _ => Meaning::Other,
        };
        let (text, ends) = match &meaning {
            Meaning::Runs(text) => (Some(text), false),
            Meaning::RunsAndEnds(text) => (Some(text), true),
            Meaning::Ends => (None, true),
            Meaning::Names(_) | Meaning::Other => (None, false),
        };
        let named = match &meaning {
            Meaning::Names(text) | Meaning::RunsAndEnds(text) => {
                shared.named(text, &mut said.transaction)
            }
            _ => None,
        };
        let (itself, answer) = text.map_or((None, None), |text| {
            shared.statement(text, &mut said.transaction)
        });
        if message.kind != 0 {
            self.state().said(ends, answer);
        }
        for effect in named.into_iter().chain(itself) {
            if !self.suffer(effect, shared) {
                return false;
            }
        }
        self.hand_on(Way::ToServer, &message.bytes, shared)
    }

    /// Hands a server's message on, or holds it back where the answer is to be lost; false where
    /// the connection has ended.
    fn said_by_server(
        self: &Arc<Self>,
        message: Message,
        withheld: &mut Vec<Message>,
        shared: &Shared,
    ) -> bool {
        let mut ready = false;
        let effect = {
            let mut state = self.state();
            if message.kind == 0 && state.questions > 0 {
                state.questions -= 1;
                state.encrypted = message.bytes.first() != Some(&b'N');
            }
            let effect = state
                .exchanges
                .front()
                .and_then(|front| front.answer.clone());
            match message.kind {
                b'Z' => {
                    ready = true;
                    state.exchanges.pop_front();
                }
                b'G' => state.copying = true,
                _ => {}
            }
            effect
        };
        let Some(effect) = effect else {
            return self.hand_on(Way::ToProgram, &message.bytes, shared);
        };
        withheld.push(message);
        if !ready {
            return true;
        }
        self.suffer(effect, shared)
            && withheld
                .drain(..)
                .all(|message| self.hand_on(Way::ToProgram, &message.bytes, shared))
    }

    /// Lets an effect befall the connection; false where it has ended.
    fn suffer(self: &Arc<Self>, effect: Effect, shared: &Shared) -> bool {
        match effect {
            Effect::Cut => {
                shared.has_struck();
                self.end();
                false
            }
            Effect::BlackHole => {
                self.sink();
                shared.has_struck();
                self.comes_through()
            }
            Effect::Hold(hold) => {
                let stands = hold.reach(self);
                shared.has_struck();
                !stands || self.comes_through()
            }
            Effect::Delay(time) => {
                shared.has_struck();
                thread::sleep(time);
                self.comes_through()
            }
        }
    }

    /// Hands bytes on, unless a rule strikes among them; false where the connection has ended.
    fn hand_on(self: &Arc<Self>, way: Way, bytes: &[u8], shared: &Shared) -> bool {
        if !self.comes_through() {
            return false;
        }
        let Some((at, effect)) = shared.message(way, bytes.len()) else {
            return self.write(way, bytes);
        };
        let (first, rest) = bytes.split_at(at.min(bytes.len()));
        self.write(way, first) && self.suffer(effect, shared) && self.write(way, rest)
    }

    fn write(&self, way: Way, bytes: &[u8]) -> bool {
        let mut to = match way {
            Way::ToServer => &self.server,
            Way::ToProgram => &self.program,
        };
        to.write_all(bytes).is_ok()
    }
}

impl State {
    /// The client says something: a part of an exchange, or its end.
    fn said(&mut self, ends: bool, answer: Option<Effect>) {
        if ends && self.copying {
            self.copying = false;
            return;
        }
        if self.exchanges.back().is_none_or(|last| last.said) {
            self.exchanges.push_back(Exchange::default());
        }
        if let Some(last) = self.exchanges.back_mut() {
            last.said = ends;
            last.answer = last.answer.take().or(answer);
        }
    }
}
