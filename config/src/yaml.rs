//! YAML as a tree that knows where everything stands. Owns what of YAML is accepted; knows no field and no type: what a
//! scalar means is for whoever knows what belongs there.

use std::borrow::Cow;

use granit_parser::{Event, Options, Parser, ScalarStyle, Span, Tag};

use crate::problem::{Place, Problem};

/// Bytes a file may have. A configuration has a few thousand; this keeps a wrong file from filling the memory.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Something in a file.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Place,
    pub(crate) value: Value,
}

/// What it is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    /// In the order of the file; a name may stand twice.
    Map(Vec<(Key, Node)>),
}

/// A word of the file, not yet interpreted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    /// Without quotes, so that `true` is not text.
    pub(crate) plain: bool,
}

/// The name of a field, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) at: Place,
    pub(crate) name: String,
}

impl Scalar {
    /// Nothing: `field:` with no value, `~` or `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// The truth value it stands for, if any.
    pub(crate) fn truth(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.plain => Some(true),
            "false" | "False" | "FALSE" if self.plain => Some(false),
            _ => None,
        }
    }

    /// Would a reader of YAML take it for a number?
    pub(crate) fn is_number(&self) -> bool {
        let special =
            matches!(self.text.trim_start_matches(['-', '+']), ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN");
        let digits =
            self.text.trim_start_matches(['-', '+']).starts_with(|first: char| first.is_ascii_digit() || first == '.');
        let prefixed = ["0x", "0o"].iter().any(|prefix| self.text.starts_with(prefix));
        self.plain && (special || prefixed || (digits && self.text.parse::<f64>().is_ok()))
    }

    /// Text, unless it is something else for lack of quotes.
    pub(crate) fn is_text(&self) -> bool {
        !self.plain || !(self.is_null() || self.truth().is_some() || self.is_number())
    }
}

impl Node {
    /// The fields of a map; nothing for anything else.
    pub(crate) fn fields(&self) -> &[(Key, Node)] {
        match &self.value {
            Value::Map(fields) => fields,
            _ => &[],
        }
    }

    /// The first field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&Node> {
        self.fields().iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    /// Is it `null`, or nothing at all?
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar(scalar) if scalar.is_null())
    }
}

/// The one document of a file.
///
/// # Errors
/// If it is no YAML, has no document or several, or uses what a configuration has no use for (aliases, tags). One
/// problem: what follows a broken place cannot be trusted.
pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
    if text.len() > FILE_BYTES_MAX {
        let said = format!("the file has more than {FILE_BYTES_MAX} bytes; check that it is the right one");
        return Err(Problem::at(Place::START, said));
    }
    let mut options = Options::default();
    options.set_emit_comments(false);
    let mut reader = Reader { events: Parser::new_from_str_with_options(text, options) };
    let document = reader.document()?;
    document.ok_or_else(|| {
        let advice = "the file is empty; start from what `berth config print-defaults` prints";
        Problem::at(Place::START, advice)
    })
}

struct Reader<'text, I: granit_parser::BorrowedInput<'text>> {
    events: Parser<'text, I>,
}

impl<'text, I: granit_parser::BorrowedInput<'text>> Reader<'text, I> {
    fn next(&mut self) -> Result<Option<(Event<'text>, Place)>, Problem> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, place(&span)))),
            Some(Err(error)) => {
                let mark = error.marker();
                let at = Place { line: mark.line() as u64, column: mark.col() as u64 + 1 };
                Err(Problem::at(at, format!("not YAML: {}; mend this place first", error.info())))
            }
        }
    }

    fn document(&mut self) -> Result<Option<Node>, Problem> {
        let mut found: Option<Node> = None;
        while let Some((event, at)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if found.is_some() => {
                    return Err(Problem::at(at, "a second document starts here; keep one document in a file"));
                }
                Event::DocumentStart(..) => {}
                Event::StreamEnd => break,
                event => found = Some(self.node(event, at)?),
            }
        }
        Ok(found.filter(|node| !node.is_null()))
    }

    /// The node that begins with `event`. Nesting is bounded by the parser.
    fn node(&mut self, event: Event<'text>, at: Place) -> Result<Node, Problem> {
        let value = match event {
            Event::Scalar(text, style, _, tag) => {
                no_tag(tag, at)?;
                Value::Scalar(Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain })
            }
            Event::SequenceStart(_, _, tag) => {
                no_tag(tag, at)?;
                self.list()?
            }
            Event::MappingStart(_, _, tag) => {
                no_tag(tag, at)?;
                self.map()?
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return Err(Problem::at(at, "an alias (`*name`) stands here; write the value out"));
            }
            _ => return Err(Problem::at(at, "found the end of something that did not begin; mend this place first")),
        };
        Ok(Node { at, value })
    }

    fn list(&mut self) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                None | Some((Event::SequenceEnd, _)) => return Ok(Value::List(items)),
                Some((event, at)) => items.push(self.node(event, at)?),
            }
        }
    }

    fn map(&mut self) -> Result<Value, Problem> {
        let mut fields = Vec::new();
        loop {
            let (event, at) = match self.next()? {
                None | Some((Event::MappingEnd, _)) => return Ok(Value::Map(fields)),
                Some(next) => next,
            };
            let Value::Scalar(name) = self.node(event, at)?.value else {
                return Err(Problem::at(at, "a list or a map stands here as the name of a field; write a name"));
            };
            let Some((event, value_at)) = self.next()? else { return Ok(Value::Map(fields)) };
            let node = self.node(event, value_at)?;
            fields.push((Key { at, name: name.text }, node));
        }
    }
}

fn no_tag(tag: Option<Cow<'_, Tag>>, at: Place) -> Result<(), Problem> {
    match tag {
        None => Ok(()),
        Some(tag) => Err(Problem::at(at, format!("a tag (`{tag}`) stands before this value; take it away"))),
    }
}

fn place(span: &Span) -> Place {
    Place { line: span.start.line() as u64, column: span.start.col() as u64 + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_and_value_knows_its_place() {
        let node = parse("a: 1\nb:\n  - c: {d: x}\n").expect("YAML");
        let (key, list) = &node.fields()[1];
        let Value::List(items) = &list.value else { panic!("{list:?}") };
        let inner = items[0].field("c").and_then(|c| c.field("d")).expect("b[0].c.d");
        assert_eq!((key.at, inner.at), (Place { line: 2, column: 1 }, Place { line: 3, column: 12 }));
    }

    #[test]
    fn what_a_configuration_has_no_use_for_is_refused_with_its_place() {
        for (text, line, said) in [
            ("", 1, "empty"),
            ("# only words\n", 1, "empty"),
            ("---\n", 1, "empty"),
            ("a: 1\n---\nb: 2\n", 2, "second document"),
            ("a: &x 1\nb: *x\n", 2, "alias"),
            ("a: !!str 1\n", 1, "tag"),
            ("a: [1, 2\nb: 3\n", 2, "not YAML"),
            ("? [a]\n: 1\n", 1, "name of a field"),
            ("a:\n\tb: 2\n", 2, "not YAML"),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.text.contains(said), "{text:?}: {problem:?}");
            assert_eq!(problem.at.map(|at| at.line), Some(line), "{text:?}: {problem:?}");
        }
    }

    #[test]
    fn words_without_quotes_mean_what_yaml_says() {
        let plain = |text: &str| Scalar { text: text.to_owned(), plain: true };
        for text in ["1", "-1.5", "1e3", "0x10", "0o7", ".inf", "-.5"] {
            assert!(plain(text).is_number(), "{text}");
        }
        for text in ["15s", "1m30s", "berth", "yes", "1.2.3", "0.0.0.0:80", "infinity", "nan", "-"] {
            assert!(plain(text).is_text(), "{text}");
        }
        assert!(Scalar { text: "1".to_owned(), plain: false }.is_text());
    }

    #[test]
    fn deep_and_huge_files_are_refused() {
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse(&"- ".repeat(100_000)).is_err());
        assert!(parse(&"a: b\n".repeat(300_000)).is_err());
    }
}
