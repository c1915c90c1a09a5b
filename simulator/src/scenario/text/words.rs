//! Lines of a text scenario as words: bare ones and `key=value` pairs, with the lines indented below them.
//! Owns what is left unread: a word nobody asked for is an error that says what might have been asked for.

use std::collections::BTreeMap;

use super::super::problem::Finding;
use crate::input::Excerpt;

/// Deepest nesting of lines; gangs in gangs are rarely three deep.
const DEPTH_MAX: usize = 16;

/// A line with those indented below it.
#[derive(Debug, Clone)]
pub(super) struct Line {
    /// Counted from 1.
    pub(super) number: u64,
    /// Its words.
    pub(super) words: Vec<String>,
    /// Lines indented below it.
    pub(super) below: Vec<Line>,
}

/// The lines of a text as a forest, by indentation. Blank lines and comments (`#`) are left out.
pub(super) fn forest(numbered: &[(u64, &str)], findings: &mut Vec<Finding>) -> Vec<Line> {
    let lines = numbered.iter().filter(|(_, text)| !text.trim().is_empty() && !text.trim_start().starts_with('#'));
    let lines: Vec<(usize, Line)> = lines.map(|(number, text)| (indent(text), line(*number, text))).collect();
    let mut roots = Vec::new();
    // The last line of each depth, with its indentation; a line closes those that are not left of it.
    let mut open: Vec<(usize, Line)> = Vec::new();
    for (indent, line) in lines {
        close(&mut open, &mut roots, indent);
        if open.len() >= DEPTH_MAX {
            findings.push(Finding::at(line.number, format!("indented more than {DEPTH_MAX} deep")));
            continue;
        }
        open.push((indent, line));
    }
    close(&mut open, &mut roots, 0);
    roots
}

fn close(open: &mut Vec<(usize, Line)>, roots: &mut Vec<Line>, indent: usize) {
    while let Some((_, line)) = open.pop_if(|(left, _)| *left >= indent) {
        open.last_mut().map_or(&mut *roots, |(_, parent)| &mut parent.below).push(line);
    }
}

fn indent(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

fn line(number: u64, text: &str) -> Line {
    Line { number, words: text.split_whitespace().map(str::to_owned).collect(), below: Vec::new() }
}

/// The words of one line that are still to be read, and what has been asked for.
pub(super) struct Words<'a> {
    line: u64,
    bare: Vec<&'a str>,
    pairs: Vec<(&'a str, &'a str)>,
    asked: Vec<String>,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Words<'a> {
    /// The words of a line from the `skip`th on.
    pub(super) fn of(line: &'a Line, skip: usize, findings: &'a mut Vec<Finding>) -> Self {
        let mut words = Words { line: line.number, bare: Vec::new(), pairs: Vec::new(), asked: Vec::new(), findings };
        for word in line.words.iter().skip(skip) {
            match word.split_once('=') {
                Some(pair) => words.pairs.push(pair),
                None => words.bare.push(word),
            }
        }
        words
    }

    /// Something is wrong with this line.
    pub(super) fn complain(&mut self, text: impl Into<String>) {
        self.findings.push(Finding::at(self.line, text));
    }

    /// The next bare word.
    pub(super) fn next(&mut self) -> Option<&'a str> {
        (!self.bare.is_empty()).then(|| self.bare.remove(0))
    }

    /// The next bare word, if it is one of these.
    pub(super) fn next_if(&mut self, is: impl Fn(&str) -> bool) -> Option<&'a str> {
        self.bare.first().filter(|word| is(word))?;
        self.next()
    }

    /// The bare word that names the object; complains where there is none.
    pub(super) fn name(&mut self, what: &str) -> String {
        let name = self.next();
        if name.is_none() {
            self.complain(format!("expected the name of the {what} here"));
        }
        name.unwrap_or_default().to_owned()
    }

    /// All bare words that are left.
    pub(super) fn rest(&mut self) -> Vec<&'a str> {
        std::mem::take(&mut self.bare)
    }

    /// Is the bare word there? It is read.
    pub(super) fn flag(&mut self, word: &str) -> bool {
        self.asked.push(word.to_owned());
        let at = self.bare.iter().position(|bare| *bare == word);
        at.map(|at| self.bare.remove(at)).is_some()
    }

    /// The value of a key, as text.
    pub(super) fn text(&mut self, key: &str) -> Option<&'a str> {
        self.asked.push(format!("{key}="));
        let at = self.pairs.iter().position(|(name, _)| *name == key)?;
        Some(self.pairs.remove(at).1)
    }

    /// The value of a key as `read` reads it; complains where it cannot.
    pub(super) fn value<T>(&mut self, key: &str, expected: &str, read: impl Fn(&str) -> Option<T>) -> Option<T> {
        let text = self.text(key)?;
        let value = read(text);
        if value.is_none() {
            self.complain(format!("`{key}`: found {}, expected {expected}", Excerpt::of(text)));
        }
        value
    }

    /// The value of a key as a plain number.
    pub(super) fn number<T: std::str::FromStr>(&mut self, key: &str) -> Option<T> {
        self.value(key, "a number", |text| text.parse().ok())
    }

    /// The value of a key as names with commas between.
    pub(super) fn names(&mut self, key: &str) -> Option<Vec<String>> {
        self.text(key).map(split)
    }

    /// Every pair whose key begins so, without that beginning.
    pub(super) fn prefixed(&mut self, prefix: &str) -> Vec<(String, String)> {
        self.asked.push(format!("{prefix}KEY="));
        let (found, left) = self.pairs.iter().partition(|(key, _)| key.starts_with(prefix));
        self.pairs = left;
        let found: Vec<(&str, &str)> = found;
        found.into_iter().map(|(key, value)| (key[prefix.len()..].to_owned(), value.to_owned())).collect()
    }

    /// The whole number of every pair whose key begins so, by the rest of the key.
    pub(super) fn amounts(&mut self, prefix: &str) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        for (name, text) in self.prefixed(prefix) {
            match text.parse() {
                Ok(amount) => {
                    found.insert(name, amount);
                }
                Err(_) => {
                    let found = Excerpt::of(&text);
                    self.complain(format!("`{prefix}{name}`: found {found}, expected a whole number"));
                }
            }
        }
        found
    }

    /// Complains about what nobody has read.
    pub(super) fn done(mut self) {
        let left: Vec<String> = self.bare.iter().map(|word| (*word).to_owned()).collect();
        let left = left.into_iter().chain(self.pairs.iter().map(|(key, _)| format!("{key}=")));
        let left: Vec<String> = left.collect();
        if let Some(first) = left.first() {
            let known = self.asked.join(", ");
            let text = format!("{} is not known here (or stands here twice), expected {known}", Excerpt::of(first));
            self.complain(text);
        }
    }
}

/// Names with commas between.
pub(super) fn split(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
