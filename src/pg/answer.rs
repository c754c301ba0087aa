//! The wait for an answer: begun by what is sent, prolonged by what comes.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::AnswerLimit;

/// A session that lay idle is read before anything is written: a ring of the alarm counts only
/// where nothing is said for so long after it.
const LAST_CALL: Duration = Duration::from_secs(1);

/// The connection is open, and nothing comes.
#[derive(Debug, Error)]
#[error("the server did not answer in time, though its connection is open")]
pub(super) struct Unanswered;

/// Since when an answer is waited for. Nobody asks it while a session lies idle: the driver polls
/// its stream only where something is under way.
#[derive(Debug)]
pub(super) struct Waiting {
    limit: AnswerLimit,
    /// The last sign of either side.
    last: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
    overdue: bool,
}

impl Waiting {
    pub fn new(limit: AnswerLimit) -> Self {
        Self {
            limit,
            last: Instant::now(),
            alarm: None,
            overdue: false,
        }
    }

    /// Something was sent: from here on an answer is due. The alarm rings only for somebody who has
    /// looked at it, and the driver reads before it writes.
    pub fn asked(&mut self, cx: &mut Context<'_>) {
        self.sign();
        let Some(end) = self.end() else { return };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(end)));
        alarm.as_mut().reset(end.max(Instant::now()));
        let _ = alarm.as_mut().poll(cx);
    }

    /// Something came.
    pub fn heard(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.sign();
        }
    }

    fn sign(&mut self) {
        if self.limit != AnswerLimit::None {
            self.last = Instant::now();
            self.overdue = false;
        }
    }

    /// Ready once the time for an answer is over.
    pub fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let (Some(end), Some(alarm)) = (self.end(), &mut self.alarm) else {
            return Poll::Pending;
        };
        loop {
            ready!(alarm.as_mut().poll(cx));
            let now = Instant::now();
            if now < end {
                // It was set before the last sign.
                alarm.as_mut().reset(end);
            } else if self.overdue {
                return Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, Unanswered));
            } else {
                self.overdue = true;
                alarm.as_mut().reset(now + LAST_CALL);
            }
        }
    }

    fn end(&self) -> Option<Instant> {
        match self.limit {
            AnswerLimit::None => None,
            AnswerLimit::Each(limit) => Some(self.last + limit),
            AnswerLimit::Until(end) => Some(Instant::from_std(end)),
        }
    }
}
