//! What is wrong with an object, told so that its owner can mend it. Owns the shape of the message; judges nothing.

use std::fmt;

use crate::objects::Key;

/// One thing about an object that cannot be used as it is. It never keeps other objects from being used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The object.
    pub object: Key,
    /// The field, as a path in the object: `spec.containers[0].resources.requests[cpu]`.
    pub field: String,
    /// What was found there.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// What it means for the object.
    pub effect: Effect,
}

/// What a problem means for the object it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It is not used: a pod waits, a node gets no pods, a queue is not there.
    Refused,
    /// It is used as if the field were not there.
    FieldIgnored,
}

impl fmt::Display for Problem {
    /// One line.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem { object, field, what, remedy, effect } = self;
        let effect = match effect {
            Effect::Refused => "not used",
            Effect::FieldIgnored => "field ignored",
        };
        write!(out, "{object} ({effect}): {field}: {what}; {remedy}")
    }
}

/// Something wrong with a field, before it is known of which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// As in [`Problem`].
    pub field: String,
    /// As in [`Problem`].
    pub what: String,
    /// As in [`Problem`].
    pub remedy: String,
    /// As in [`Problem`].
    pub effect: Effect,
}

impl Fault {
    /// The object cannot be used.
    pub fn refused(field: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Fault { field: field.into(), what: what.into(), remedy: remedy.into(), effect: Effect::Refused }
    }

    /// The field says nothing that could be used; the object can.
    pub fn ignored(field: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Fault { effect: Effect::FieldIgnored, ..Fault::refused(field, what, remedy) }
    }

    /// It is about this object.
    pub fn of(self, object: Key) -> Problem {
        let Fault { field, what, remedy, effect } = self;
        Problem { object, field, what, remedy, effect }
    }
}

/// Text of an object as messages repeat it: in backticks, short, without control characters.
pub(crate) fn found(text: &str) -> String {
    const LONGEST: usize = 60;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    format!("found `{shown}`")
}

/// Is any of these a reason not to use the object?
pub(crate) fn refuses(faults: &[Fault]) -> bool {
    faults.iter().any(|fault| fault.effect == Effect::Refused)
}
