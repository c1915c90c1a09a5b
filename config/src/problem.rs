//! What is wrong with a file, told so that its owner can mend it: where, which field, what stands there, what belongs
//! there. Owns the wording's shape; reads nothing and knows no field.

use std::fmt;

/// Characters of a wrong value that a message repeats: enough to find it, short enough for one terminal line.
const EXCERPT_CHARS: usize = 40;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Counted from 1.
    pub line: u64,
    /// In characters, counted from 1.
    pub column: u64,
}

impl Place {
    /// Where a file begins.
    pub(crate) const START: Place = Place { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where it stands, unless it came from no file.
    pub at: Option<Place>,
    /// The field, as in `leaderElection.leaseDuration`; empty where it is about the whole file.
    pub field: String,
    /// What was found and what to do about it.
    pub text: String,
}

impl Problem {
    /// About a place in a file.
    pub(crate) fn at(at: Place, text: impl Into<String>) -> Problem {
        Problem { at: Some(at), field: String::new(), text: text.into() }
    }
}

/// Everything wrong with a file, in the order of the file. Not worth a retry before the file is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The file, as the user named it.
    pub file: String,
    /// At least one.
    pub all: Vec<Problem>,
}

impl Problems {
    pub(crate) fn of(file: &str, mut all: Vec<Problem>) -> Problems {
        all.sort();
        Problems { file: escaped(file, usize::MAX), all }
    }
}

impl fmt::Display for Problems {
    /// One line for each.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.all.iter().enumerate() {
            let separator = if index > 0 { "\n" } else { "" };
            write!(out, "{separator}{}", self.file)?;
            if let Some(at) = problem.at {
                write!(out, ":{at}")?;
            }
            if !problem.field.is_empty() {
                write!(out, ": {}", problem.field)?;
            }
            write!(out, ": {}", problem.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A piece of input in backticks: cut where it is long, with control characters as escapes, so that a hostile file cannot
/// write to the terminal.
pub(crate) fn excerpt(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { format!("`{}`", shown(text)) }
}

/// A piece of input, cut and made safe in the same way, without backticks.
pub(crate) fn shown(text: &str) -> String {
    escaped(text, EXCERPT_CHARS)
}

/// `text` with control characters as escapes, cut after `limit` characters.
fn escaped(text: &str, limit: usize) -> String {
    let escape = |c: char| if matches!(c, '\\' | '\'' | '"') { c.to_string() } else { c.escape_debug().to_string() };
    let mut shown: String = text.chars().take(limit).map(escape).collect();
    if text.chars().nth(limit).is_some() {
        shown.push('…');
    }
    shown
}

/// A field below another.
pub(crate) fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Names as messages list them.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The known name a misspelt one was likely meant to be.
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let wrong = plain(&wrong.chars().take(100).collect::<String>());
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(&wrong, &plain(name)), name));
    let (distance, name) = distances.min()?;
    (distance <= wrong.chars().count() / 3).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["leaseDuration", "renewDeadline", "retryPeriod"];
        for (wrong, expected) in [
            ("leaseDuraton", Some("leaseDuration")),
            ("lease_duration", Some("leaseDuration")),
            ("renewdeadline", Some("renewDeadline")),
            ("LeaseDuration", Some("leaseDuration")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, known), expected, "{wrong}");
        }
    }

    #[test]
    fn excerpts_are_short_and_harmless() {
        assert_eq!(excerpt("a\u{1b}[2Jb"), "`a\\u{1b}[2Jb`");
        assert_eq!(excerpt(&"x".repeat(99)).chars().count(), EXCERPT_CHARS + 3);
        assert_eq!(excerpt(""), "nothing");
    }
}
