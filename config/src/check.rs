//! Compares a file with what may stand in it, to the end: everything wrong is found at once. Owns the words for what one
//! field can have wrong; what fields have to do with each other is `contradictions`' part.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::str::FromStr;

use serde_json::{Map, Value as Json};

use crate::problem::{self, Place, Problem, below, excerpt};
use crate::schema::{Range, Shape, What};
use crate::units::{Bytes, Duration, Factor, Lasting};
use crate::yaml::{Key, Node, Scalar, Value};

/// What came of a comparison.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// Where each field stands, by its path.
    pub(crate) places: BTreeMap<String, Place>,
    /// Fields that seem to be meant by others that are not known.
    pub(crate) meant: Vec<String>,
    /// Where every field name belongs, by name.
    homes: BTreeMap<String, Vec<String>>,
}

impl Checked {
    /// Compares a document with its shape. Returns all of it that is sound.
    pub(crate) fn document(&mut self, node: &Node, shape: &Shape) -> Json {
        homes(shape, "", &mut self.homes);
        self.value(node, shape, "").unwrap_or_else(|| Json::Object(Map::new()))
    }

    fn wrong(&mut self, at: Place, path: &str, text: impl Into<String>) -> Option<Json> {
        self.problems.push(Problem { at: Some(at), field: path.to_owned(), text: text.into() });
        None
    }

    /// `None` if it is nothing, or not sound.
    fn value(&mut self, node: &Node, shape: &Shape, path: &str) -> Option<Json> {
        self.places.entry(path.to_owned()).or_insert(node.at);
        match (&node.value, &shape.what) {
            (Value::Scalar(scalar), _) if scalar.is_null() && shape.nullable => None,
            (Value::Map(fields), What::Map { fields: known, required }) => {
                Some(self.map(node.at, fields, known, required, path))
            }
            (Value::List(items), What::List { .. }) => self.list(node.at, items, shape, path),
            (Value::Scalar(scalar), _) => match word(scalar, shape) {
                Ok(value) => Some(value),
                Err(said) => self.wrong(node.at, path, said),
            },
            (found, _) => {
                let found = if matches!(found, Value::List(_)) { "a list" } else { "fields" };
                self.wrong(node.at, path, format!("found {found}, expected {}", shape.expected()))
            }
        }
    }

    fn map(
        &mut self,
        at: Place,
        fields: &[(Key, Node)],
        known: &[(String, Shape)],
        required: &[String],
        path: &str,
    ) -> Json {
        let mut sound = Map::new();
        let mut seen: BTreeMap<&str, Place> = BTreeMap::new();
        for (key, node) in fields {
            let field = below(path, &problem::shown(&key.name));
            if let Some(first) = seen.get(key.name.as_str()) {
                let said = format!("stands twice, first in line {}; remove one of them", first.line);
                self.wrong(key.at, &field, said);
                continue;
            }
            seen.insert(&key.name, key.at);
            let Some((_, shape)) = known.iter().find(|(name, _)| *name == key.name) else {
                let said = self.unknown(&key.name, known, path);
                self.wrong(key.at, &field, said);
                continue;
            };
            if let Some(value) = self.value(node, shape, &field) {
                sound.insert(key.name.clone(), value);
            }
        }
        for (name, shape) in
            known.iter().filter(|(name, _)| required.contains(name) && !seen.contains_key(name.as_str()))
        {
            self.wrong(at, &below(path, name), format!("is missing; add it: {}", shape.expected()));
        }
        Json::Object(sound)
    }

    /// What to say of a field that is not known here.
    fn unknown(&mut self, name: &str, known: &[(String, Shape)], path: &str) -> String {
        let names = || known.iter().map(|(name, _)| name.as_str());
        if let Some(near) = problem::nearest(name, names()) {
            self.meant.push(below(path, near));
            return format!("is not a field; did you mean `{near}`?");
        }
        let elsewhere = self.homes.get(name).and_then(|homes| homes.first()).filter(|home| *home != path);
        if let Some(home) = elsewhere {
            let place = if home.is_empty() { "at the top of the file".to_owned() } else { format!("under `{home}`") };
            return format!("is not a field here; it belongs {place}");
        }
        format!("is not a field; those there are: {}", problem::list(names()))
    }

    /// A list is sound if each item is; items that are fields are kept with what is sound in them.
    fn list(&mut self, at: Place, nodes: &[Node], shape: &Shape, path: &str) -> Option<Json> {
        let What::List { items, least, most, unique } = &shape.what else { return None };
        let count = nodes.len() as u64;
        if count < *least || count > *most {
            let expected = if count < *least { format!("at least {least}") } else { format!("at most {most}") };
            return self.wrong(at, path, format!("found {count} items, expected {expected}"));
        }
        let mut sound = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let item = format!("{path}[{index}]");
            let value = self.value(node, items, &item);
            let first = value.as_ref().and_then(|value| sound.iter().position(|one| one == &Some(value.clone())));
            if let Some(first) = first.filter(|_| *unique) {
                let line = nodes[first].at.line;
                self.wrong(node.at, &item, format!("stands twice, first in line {line}; remove one of them"));
            }
            sound.push(value);
        }
        sound.into_iter().collect::<Option<Vec<Json>>>().map(Json::Array)
    }
}

/// Collects where each field belongs.
fn homes(shape: &Shape, path: &str, found: &mut BTreeMap<String, Vec<String>>) {
    let What::Map { fields, .. } = &shape.what else { return };
    for (name, shape) in fields {
        found.entry(name.clone()).or_default().push(path.to_owned());
        homes(shape, &below(path, name), found);
    }
}

/// A word as what it must be here.
fn word(scalar: &Scalar, shape: &Shape) -> Result<Json, String> {
    let found = if scalar.is_null() { "nothing".to_owned() } else { excerpt(&scalar.text) };
    let wrong = |advice: &str| format!("found {found}, expected {}{advice}", shape.expected());
    // What would be right without its quotes.
    let bare = Scalar { plain: true, ..scalar.clone() };
    let unquote = if scalar.plain { "" } else { "; take away the quotes" };
    match &shape.what {
        What::Truth => scalar.truth().map(Json::Bool).ok_or_else(|| match (bare.truth(), scalar.text.as_str()) {
            (Some(_), _) => wrong(unquote),
            (None, "yes" | "on") => wrong("; write `true`"),
            (None, "no" | "off") => wrong("; write `false`"),
            _ => wrong(""),
        }),
        What::Number { least, most } => match scalar.text.parse::<i64>() {
            Ok(number) if scalar.plain && (*least..=*most).contains(&number) => Ok(number.into()),
            Ok(_) => Err(wrong(unquote)),
            Err(_) => Err(wrong("")),
        },
        What::Choice(names) => {
            let known = || names.iter().map(|(name, _)| name.as_str());
            if known().any(|name| name == scalar.text) {
                return Ok(scalar.text.clone().into());
            }
            let near = problem::nearest(&scalar.text, known()).filter(|_| names.len() > 1);
            Err(wrong(&near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()))
        }
        What::Text { kind, range } => {
            let kind = kind.as_deref();
            if scalar.is_number() && matches!(kind, Some("duration" | "duration-or-forever")) && scalar.text != "0" {
                return Err(wrong(&format!("; give it a unit, as in `{}s`", problem::shown(&scalar.text))));
            }
            let number =
                scalar.is_number() && matches!(kind, Some("duration" | "duration-or-forever" | "bytes" | "factor"));
            if !scalar.is_text() && !number {
                let meant = "; where it is meant as text, put it in quotes";
                return Err(wrong(if scalar.is_null() { "" } else { meant }));
            }
            let sound = text(&scalar.text, kind, range).map(|()| scalar.text.clone().into());
            sound.map_err(|said| said.map_or_else(|| wrong(""), |said| format!("found {found}, {said}")))
        }
        What::Map { .. } | What::List { .. } => {
            Err(wrong(if scalar.is_null() { "; leave the whole field out for its default" } else { "" }))
        }
    }
}

/// Is a text as its kind demands? `Err(None)` where what is expected says it all.
fn text(text: &str, kind: Option<&str>, range: &Range) -> Result<(), Option<String>> {
    let ok = |sound: bool| if sound { Ok(()) } else { Err(None) };
    match kind {
        Some("duration") => within::<Duration>(text, range),
        Some("duration-or-forever") if text == "forever" => Ok(()),
        Some("duration-or-forever") => within::<Lasting>(text, range),
        Some("bytes") => within::<Bytes>(text, range),
        Some("factor") => within::<Factor>(text, range),
        Some("name") => ok(is_name(text)),
        Some("namespace") => ok(is_name(text) && text.len() <= 63 && !text.contains('.')),
        Some("label-key") => ok(is_label_key(text)),
        Some("bind-address") => ok(bind_address(text).is_some()),
        _ => {
            let chars = text.chars().count() as u64;
            if chars < range.least_chars {
                return Err(Some("expected some text; leave the whole field out for its default".to_owned()));
            }
            let most = range.most_chars.unwrap_or(u64::MAX);
            if chars > most { Err(Some(format!("which is longer than {most} characters"))) } else { Ok(()) }
        }
    }
}

/// Is what a text stands for in its range?
fn within<T: FromStr<Err = String> + Ord + Display>(text: &str, range: &Range) -> Result<(), Option<String>> {
    let value: T = text.parse().map_err(Some)?;
    let bound = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<T>().ok());
    let low = bound(&range.least).is_some_and(|least| value < least);
    let high = bound(&range.most).is_some_and(|most| value > most);
    if low || high { Err(None) } else { Ok(()) }
}

/// A DNS subdomain, as Kubernetes names most objects.
pub(crate) fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-');
    text.len() <= 253 && text.split('.').all(label)
}

/// The key of a label or annotation: an optional DNS subdomain and `/`, then at most 63 characters.
pub(crate) fn is_label_key(text: &str) -> bool {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let ends = [name.bytes().next(), name.bytes().last()];
    let name_ok = name.len() <= 63
        && name.bytes().all(inner)
        && ends.iter().all(|end| end.is_some_and(|byte| byte.is_ascii_alphanumeric()));
    name_ok && prefix.is_none_or(is_name)
}

/// The address to listen on; `:port` is every address. `None` if it is none.
pub fn bind_address(text: &str) -> Option<SocketAddr> {
    let every = text.strip_prefix(':').map(|port| format!("0.0.0.0:{port}"));
    every.as_deref().unwrap_or(text).parse().ok()
}
