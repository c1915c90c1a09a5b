//! The configuration as users look it up: the printed defaults, the reference in `docs/`, the JSON Schema. All of it is
//! worked out from the types. Owns how they are laid out.

use std::fmt::Write as _;

use crate::rules::PolicySet;
use crate::scheduler::SchedulerConfiguration;
use crate::schema::{self, Shape, What};
use crate::yaml::{self, Node, Value};

/// Where lines of comments are broken.
const WIDTH: usize = 110;

/// A field with all that is known of it.
pub(crate) struct Field<'a> {
    /// As in `leaderElection.leaseDuration`; `topologies[].name` for a field of each item of a list.
    pub(crate) path: String,
    pub(crate) shape: &'a Shape,
    /// What it is where nobody says anything; `None` where it is unset.
    default: Option<Node>,
    /// The same with the policy sets whose values differ, for fields that are as the policy set says.
    by_set: Vec<(PolicySet, Option<Node>)>,
}

impl Field<'_> {
    fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    /// How many sections it is in.
    fn depth(&self) -> usize {
        self.path.matches('.').count()
    }

    fn is_section(&self) -> bool {
        matches!(self.shape.what, What::Map { .. })
    }

    /// Is it told of, not set, since it is unset or as the policy set says?
    fn is_silent(&self) -> bool {
        self.default.is_none()
    }
}

/// The JSON Schema (2020-12) of the configuration file.
pub fn json_schema() -> serde_json::Value {
    schema::of::<SchedulerConfiguration>()
}

/// The shape of the configuration file.
pub(crate) fn shape() -> Shape {
    Shape::of(&json_schema())
}

/// A configuration as a tree, in the order of its types; `None` where it cannot be written, which never is.
fn tree(configuration: &SchedulerConfiguration) -> Option<Node> {
    yaml::parse(&serde_json::to_string(configuration).ok()?).ok()
}

/// Every field, sections before what is in them, in the order of the types.
pub(crate) fn fields(shape: &Shape) -> Vec<Field<'_>> {
    let default = SchedulerConfiguration::default();
    let of_set = |set: PolicySet| {
        let (placement, rules) = set.written();
        let configuration = SchedulerConfiguration { placement, rules, ..default.clone() };
        tree(&configuration).map(|node| (set, node))
    };
    let sets: Vec<(PolicySet, Node)> = PolicySet::ALL.into_iter().filter_map(of_set).collect();
    let mut found = Vec::new();
    if let Some(tree) = tree(&default) {
        collect(shape, &tree, &sets, "", &mut found);
    }
    found
}

fn collect<'a>(shape: &'a Shape, tree: &Node, sets: &[(PolicySet, Node)], path: &str, found: &mut Vec<Field<'a>>) {
    for (key, node) in tree.fields() {
        let Some(field) = shape.field(&key.name) else { continue };
        let path = crate::problem::below(path, &key.name);
        let below: Vec<(PolicySet, Node)> =
            sets.iter().filter_map(|(set, tree)| Some((*set, tree.field(&key.name)?.clone()))).collect();
        let is_map = matches!(field.what, What::Map { .. });
        let by_set = below.iter().map(|(set, node)| (*set, Some(node.clone()).filter(|node| !node.is_null())));
        let by_set = if node.is_null() { by_set.collect() } else { Vec::new() };
        let default = Some(node.clone()).filter(|node| !node.is_null());
        found.push(Field { path: path.clone(), shape: field, default, by_set });
        if is_map {
            collect(field, node, &below, &path, found);
        }
        if let (What::List { items, .. }, Value::List(nodes)) = (&field.what, &node.value)
            && let Some(first) = nodes.first()
        {
            collect(items, first, &[], &format!("{path}[]"), found);
        }
    }
}

/// A value as it is written in a file, on one line.
fn flow(node: &Node) -> String {
    let join = |parts: Vec<String>| parts.join(", ");
    match &node.value {
        Value::Scalar(scalar) => {
            let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | ':' | '-');
            let unquoted = yaml::Scalar { plain: true, ..scalar.clone() };
            if scalar.plain || (unquoted.is_text() && scalar.text.chars().all(safe)) {
                scalar.text.clone()
            } else {
                format!("{:?}", scalar.text)
            }
        }
        Value::List(items) => format!("[{}]", join(items.iter().map(flow).collect())),
        Value::Map(fields) => {
            let pair = |(key, node): &(yaml::Key, Node)| format!("{}: {}", key.name, flow(node));
            format!("{{{}}}", join(fields.iter().map(pair).collect()))
        }
    }
}

/// The whole file with every default, each field with its meaning, unit and range.
pub fn print_defaults() -> String {
    let shape = shape();
    let fields = fields(&shape);
    let mut text = String::new();
    comment(
        "Berth's scheduler: every field with its default. What is not written is as here. Where a line begins with `#` and a \
         field follows at once, the field is unset, or as the policy set says: take away the `#` there, and before the \
         section it is in, to set it. `Reload` says that a change takes effect without a restart.",
        0,
        &mut text,
    );
    for (index, field) in fields.iter().enumerate().filter(|(_, field)| !field.path.contains("[]")) {
        let indent = field.depth() * 2;
        let below = format!("{}.", field.path);
        let inner: Vec<&Field<'_>> =
            fields[index + 1..].iter().filter(|inner| inner.path.starts_with(&below)).collect();
        let silent = if field.is_section() {
            inner.iter().all(|inner| inner.is_section() || inner.is_silent())
        } else {
            field.is_silent()
        };
        if indent == 0 && (field.is_section() || is_list_of_fields(field)) {
            text.push('\n');
        }
        comment(&words(field), indent, &mut text);
        let mark = if silent { "#" } else { "" };
        let pad = " ".repeat(indent);
        let _ = match value(field) {
            Some(value) => writeln!(text, "{mark}{pad}{}: {value}", field.name()),
            None => writeln!(text, "{mark}{pad}{}:", field.name()),
        };
        if let Some(list @ Node { value: Value::List(_), .. }) = &field.default {
            block(list, indent + 2, &mut text);
        }
    }
    text
}

/// A list or fields, each on a line of its own.
fn block(node: &Node, indent: usize, text: &mut String) {
    let pad = " ".repeat(indent);
    match &node.value {
        Value::Scalar(_) => {
            let _ = writeln!(text, "{pad}{}", flow(node));
        }
        Value::List(items) => items.iter().for_each(|item| {
            let mut inner = String::new();
            block(item, indent + 2, &mut inner);
            let _ = writeln!(text, "{pad}- {}", inner.trim());
        }),
        Value::Map(fields) => fields.iter().for_each(|(key, node)| {
            if matches!(&node.value, Value::Scalar(_)) {
                let _ = writeln!(text, "{pad}{}: {}", key.name, flow(node));
            } else {
                let _ = writeln!(text, "{pad}{}:", key.name);
                block(node, indent + 2, text);
            }
        }),
    }
}

/// What stands after the name of a field, if anything does on the same line.
fn value(field: &Field<'_>) -> Option<String> {
    let of_set = || field.by_set.first().and_then(|(_, node)| node.clone());
    let node = field.default.clone().or_else(of_set)?;
    match &node.value {
        Value::Scalar(_) => Some(flow(&node)),
        Value::List(items) if items.is_empty() => Some("[]".to_owned()),
        _ => None,
    }
}

/// Meaning, unit, range and reload of a field.
fn words(field: &Field<'_>) -> String {
    let mut said = vec![field.shape.meaning.clone()];
    match &field.shape.what {
        What::Map { .. } => {}
        What::Choice(names) if names.len() > 1 => said.push(format!("One of {}.", choices(names))),
        What::Choice(_) => {}
        What::List { items, .. } => {
            said.push(sentence(&allowed(field.shape)));
            if let What::Choice(names) = &items.what {
                said.push(format!("There are {}.", choices(names)));
            }
        }
        _ => said.push(sentence(&allowed(field.shape))),
    }
    if field.by_set.iter().any(|(_, node)| node.is_some()) && !field.is_section() {
        said.push(format!("Unset: {}.", defaults(field)));
    }
    if field.shape.reload {
        said.push("Reload.".to_owned());
    }
    said.retain(|part| !part.is_empty());
    said.join(" ")
}

/// What may stand there, with its unit.
fn allowed(shape: &Shape) -> String {
    let each = |items: &Shape| match &items.what {
        What::Map { .. } => String::new(),
        What::Choice(_) => " of names, each once".to_owned(),
        _ => format!(", each {}", items.expected()),
    };
    let unit = shape.unit.as_ref().map(|unit| format!(" ({unit})")).unwrap_or_default();
    match &shape.what {
        What::List { items, .. } => format!("a list{}", each(items)),
        _ => format!("{}{unit}", shape.expected()),
    }
}

fn choices(names: &[(String, String)]) -> String {
    let each = |(name, meaning): &(String, String)| format!("`{name}` ({meaning})");
    names.iter().map(each).collect::<Vec<_>>().join(", ")
}

/// The default; for a field that is as the policy set says, that of each set.
fn defaults(field: &Field<'_>) -> String {
    let shown = |node: &Option<Node>| node.as_ref().map_or("unset".to_owned(), |node| format!("`{}`", flow(node)));
    let differ = field.by_set.windows(2).any(|pair| shown(&pair[0].1) != shown(&pair[1].1));
    match field.by_set.as_slice() {
        [] => shown(&field.default),
        [(_, node), ..] if !differ => shown(node),
        sets => {
            let each = |(set, node): &(PolicySet, Option<Node>)| format!("{} in the set `{}`", shown(node), set.name());
            sets.iter().map(each).collect::<Vec<_>>().join(", ")
        }
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(char::to_uppercase);
    let text: String = first.into_iter().flatten().chain(chars).collect();
    if text.is_empty() { text } else { text + "." }
}

/// Lines of a comment, broken between words.
fn comment(words: &str, indent: usize, text: &mut String) {
    let start = format!("{}#", " ".repeat(indent));
    let mut line = start.clone();
    for word in words.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{line}");
            line.clone_from(&start);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(text, "{line}");
}

/// The reference of every field as Markdown: `docs/configuration.md`.
pub fn reference() -> String {
    let shape = shape();
    let fields = fields(&shape);
    let mut text = INTRODUCTION.to_owned();
    let has_table = |field: &&Field<'_>| field.depth() == 0 && (field.is_section() || is_list_of_fields(field));
    let is_top = |field: &&Field<'_>| field.depth() == 0 && !has_table(field);
    table(&mut text, "", &fields.iter().filter(is_top).collect::<Vec<_>>());
    for section in fields.iter().filter(has_table) {
        let _ = write!(text, "\n## `{}`\n\n{}\n\n", section.path, section.shape.meaning);
        let prefix = if section.is_section() { format!("{}.", section.path) } else { format!("{}[].", section.path) };
        let inner = fields.iter().filter(|field| field.path.starts_with(&prefix) && !field.is_section());
        table(&mut text, &prefix, &inner.collect::<Vec<_>>());
        if let Some(list @ Node { value: Value::List(_), .. }) = &section.default {
            text.push_str("\nThe default:\n\n```yaml\n");
            let _ = writeln!(text, "{}:", section.path);
            block(list, 2, &mut text);
            text.push_str("```\n");
        }
    }
    text
}

fn is_list_of_fields(field: &Field<'_>) -> bool {
    matches!(&field.shape.what, What::List { items, .. } if matches!(items.what, What::Map { .. }))
}

fn table(text: &mut String, prefix: &str, fields: &[&Field<'_>]) {
    text.push_str("| field | value | default | meaning |\n|---|---|---|---|\n");
    for field in fields {
        let name = field.path.strip_prefix(prefix).unwrap_or(&field.path);
        let mut meaning = field.shape.meaning.clone();
        let items = if let What::List { items, .. } = &field.shape.what { items } else { field.shape };
        let (value, default) = (allowed(field.shape), listed(&defaults(field)));
        if let What::Choice(names) = &items.what
            && names.len() > 1
        {
            let each = |(name, words): &(String, String)| format!("`{name}`: {words}");
            let _ = write!(meaning, " {}.", names.iter().map(each).collect::<Vec<_>>().join("; "));
        }
        let reload = if field.shape.reload { " ↻" } else { "" };
        let default = if prefix.contains("[]") { "none, must be given".to_owned() } else { default };
        let _ = writeln!(text, "| `{name}`{reload} | {value} | {default} | {meaning} |");
    }
}

/// A list of names without its brackets, so that it breaks into lines.
fn listed(default: &str) -> String {
    let inner = default.strip_prefix("`[").and_then(|rest| rest.strip_suffix("]`"));
    inner.filter(|inner| !inner.contains('{') && !inner.is_empty()).map_or(default.to_owned(), |inner| {
        inner.split(", ").map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    })
}

const INTRODUCTION: &str = "\
# Configuration of the scheduler

One YAML file. Every field has a default, but for the first two; what is not written is as in the tables below.

```sh
berth config print-defaults > berth.yaml   # the whole file, each field with its meaning
berth config check berth.yaml              # everything that is wrong with it, with line and remedy
berth config schema > schema.json          # for editors that check while you type
```

Unknown and repeated fields are mistakes. Durations are written as in Kubernetes (`15s`, `1m30s`, `100ms`), sizes and factors as
quantities (`64Mi`, `500m`). A change of a field marked ↻ takes effect when the file changes; any other needs a restart, and the
scheduler says which. This page is generated from the code (`make generated`).

";
