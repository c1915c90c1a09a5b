//! What is wrong with a scenario file, told so that its author can mend it: file, line where known, object, field, what
//! stands there and what belongs there. Owns the wording's shape; the checks themselves are `load`'s, `text`'s and
//! `validate`'s.

use std::fmt;

use crate::input::Excerpt;

/// One thing wrong with a scenario, before it is known in which file it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line, counted from 1, where it is known.
    pub line: Option<u64>,
    /// The object it is about, such as ``job `train` ``; empty where it is the whole file.
    pub object: String,
    /// What is wrong, and what to do.
    pub text: String,
}

impl Finding {
    /// About an object, such as ``job `train` ``.
    pub fn about(object: &str, text: impl Into<String>) -> Finding {
        Finding { line: None, object: object.to_owned(), text: text.into() }
    }

    /// About a line.
    pub fn at(line: u64, text: impl Into<String>) -> Finding {
        Finding { line: Some(line), object: String::new(), text: text.into() }
    }
}

/// Everything found wrong with scenario files. Not worth a retry before the files are mended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(pub Vec<(Box<str>, Finding)>);

impl Problems {
    /// The findings of one file; `Ok` if there are none.
    ///
    /// # Errors
    /// If there are some.
    pub fn of(file: &str, findings: Vec<Finding>) -> Result<(), Problems> {
        if findings.is_empty() {
            return Ok(());
        }
        Err(Problems(findings.into_iter().map(|finding| (file.into(), finding)).collect()))
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (file, Finding { line, object, text })) in self.0.iter().enumerate() {
            let line = line.map(|line| format!("{line}:")).unwrap_or_default();
            let object = if object.is_empty() { String::new() } else { format!(" {object}:") };
            let separator = if index > 0 { "\n" } else { "" };
            write!(out, "{separator}{file}:{line}{object} {text}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// An object as messages name it.
pub(super) fn object(kind: &str, name: &str) -> String {
    format!("{kind} {}", Excerpt::of(name))
}

/// Words as messages list them, cut where there are many.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 12;
    let mut shown: Vec<String> = words.into_iter().take(SHOWN + 1).map(|word| Excerpt::of(word).to_string()).collect();
    if shown.len() > SHOWN {
        shown[SHOWN] = "…".to_owned();
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}
