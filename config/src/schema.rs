//! What a file may hold, worked out from the types: as JSON Schema for editors, and as [`Shape`] for the check and the
//! documentation. Nothing of it is written twice. Owns which keywords are understood.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, transform::RecursiveTransform};
use serde_json::Value;

use crate::units::KIND;

/// What may stand in one place.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) what: What,
    /// May it be `null`, which is the same as leaving it out?
    pub(crate) nullable: bool,
    /// Its meaning, in words.
    pub(crate) meaning: String,
    /// Unit of a plain number.
    pub(crate) unit: Option<String>,
    /// Does a change take effect without a restart?
    pub(crate) reload: bool,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    Map {
        fields: Vec<(String, Shape)>,
        required: Vec<String>,
    },
    List {
        items: Box<Shape>,
        least: u64,
        most: u64,
        unique: bool,
    },
    /// One of these names, each with its meaning.
    Choice(Vec<(String, String)>),
    Truth,
    Number {
        least: i64,
        most: i64,
    },
    /// How it is written, and its range: of the value where it has a unit, else of its length in characters.
    Text {
        kind: Option<String>,
        range: Range,
    },
}

/// Bounds of a text or of what it stands for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Range {
    pub(crate) least: Option<String>,
    pub(crate) most: Option<String>,
    pub(crate) least_chars: u64,
    pub(crate) most_chars: Option<u64>,
}

/// The JSON Schema (2020-12) of a type, in one piece, with descriptions on one line.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let one_line = RecursiveTransform(|schema: &mut Schema| {
        if let Some(Value::String(text)) = schema.get_mut("description") {
            *text = text.replace('\n', " ");
        }
    });
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    settings.with_transform(one_line).into_generator().into_root_schema_for::<T>().to_value()
}

impl Shape {
    /// The shape that a schema describes.
    pub(crate) fn of(schema: &Value) -> Shape {
        let text = |key: &str| schema[key].as_str().map(str::to_owned);
        let (inner, nullable) = without_null(schema);
        let words = |schema: &Value| schema["description"].as_str().map(str::to_owned);
        Shape {
            what: What::of(inner),
            nullable,
            meaning: words(schema).or_else(|| words(inner)).unwrap_or_default(),
            unit: text("x-unit"),
            reload: schema["x-reload"] == true,
        }
    }

    /// The shape of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&Shape> {
        match &self.what {
            What::Map { fields, .. } => fields.iter().find(|(known, _)| known == name).map(|(_, shape)| shape),
            _ => None,
        }
    }

    /// What may stand here, as messages and tables say it.
    pub(crate) fn expected(&self) -> String {
        let range = |words: &str, range: &Range| match (&range.least, &range.most) {
            (Some(least), Some(most)) => format!("{words} from {least} to {most}"),
            _ => words.to_owned(),
        };
        match &self.what {
            What::Map { .. } => "fields, each on a line of its own".to_owned(),
            What::List { .. } => "a list".to_owned(),
            What::Choice(names) => match names.as_slice() {
                [(name, _)] => format!("`{name}`"),
                _ => format!("one of {}", crate::problem::list(names.iter().map(|(name, _)| name.as_str()))),
            },
            What::Truth => "`true` or `false`".to_owned(),
            What::Number { least, most } => format!("a whole number from {least} to {most}"),
            What::Text { kind, range: bounds } => match kind.as_deref() {
                Some("duration") => range("a duration", bounds),
                Some("duration-or-forever") => range("a duration", bounds) + ", or `forever`",
                Some("bytes") => range("a number of bytes", bounds),
                Some("factor") => range("a factor", bounds),
                Some("name") => "a name of lower-case letters, digits, `-` and `.`".to_owned(),
                Some("namespace") => "the name of a namespace".to_owned(),
                Some("label-key") => "a label key such as `berth.dev/queue`".to_owned(),
                Some("bind-address") => {
                    "an address and a port, such as `0.0.0.0:8080`, `[::]:8080` or `:8080`".to_owned()
                }
                _ => "text".to_owned(),
            },
        }
    }
}

/// The schema without the choice of `null`, and whether there was one.
fn without_null(schema: &Value) -> (&Value, bool) {
    let is_null = |schema: &Value| schema["type"] == "null";
    if let Some(any) = schema["anyOf"].as_array()
        && let Some(inner) = any.iter().find(|schema| !is_null(schema))
    {
        return (inner, any.iter().any(is_null));
    }
    let types = schema["type"].as_array();
    (schema, types.is_some_and(|types| types.iter().any(|name| name == "null")))
}

impl What {
    fn of(schema: &Value) -> What {
        if let Some(choices) = schema["oneOf"].as_array() {
            let text = |choice: &Value, key: &str| choice[key].as_str().unwrap_or_default().to_owned();
            return What::Choice(
                choices.iter().map(|choice| (text(choice, "const"), text(choice, "description"))).collect(),
            );
        }
        let of_type = |name: &str| match &schema["type"] {
            Value::Array(types) => types.iter().any(|one| one == name),
            one => one == name,
        };
        if of_type("object") {
            let strings = |key: &str| schema[key].as_array().into_iter().flatten().filter_map(Value::as_str);
            let fields = schema["properties"].as_object().into_iter().flatten();
            return What::Map {
                fields: fields.map(|(name, schema)| (name.clone(), Shape::of(schema))).collect(),
                required: strings("required").map(str::to_owned).collect(),
            };
        }
        if of_type("array") {
            return What::List {
                items: Box::new(Shape::of(&schema["items"])),
                least: schema["minItems"].as_u64().unwrap_or(0),
                most: schema["maxItems"].as_u64().unwrap_or(u64::MAX),
                unique: schema["uniqueItems"] == true,
            };
        }
        if of_type("boolean") {
            return What::Truth;
        }
        let kind = schema[KIND].as_str().map(str::to_owned);
        if of_type("integer") && kind.is_none() {
            let bound = |key: &str, or: i64| schema[key].as_i64().unwrap_or(or);
            return What::Number { least: bound("minimum", i64::MIN), most: bound("maximum", i64::MAX) };
        }
        let text = |key: &str| schema[key].as_str().map(str::to_owned);
        let (least, most) = (text("x-minimum"), text("x-maximum"));
        let chars = |key: &str| schema[key].as_u64();
        let range = Range { least, most, least_chars: chars("minLength").unwrap_or(0), most_chars: chars("maxLength") };
        What::Text { kind, range }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scheduler::SchedulerConfiguration;

    /// Keywords that [`Shape`] understands, or that say nothing about what is allowed.
    const KNOWN: [&str; 26] = [
        "$schema",
        "title",
        "description",
        "default",
        "format",
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "uniqueItems",
        "oneOf",
        "anyOf",
        "const",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "x-kind",
        "x-minimum",
        "x-maximum",
        "x-unit",
        "x-reload",
    ];

    fn keywords(schema: &Value, found: &mut BTreeSet<String>) {
        let Some(object) = schema.as_object() else { return };
        found.extend(object.keys().cloned());
        keywords(&schema["items"], found);
        for key in ["oneOf", "anyOf"] {
            schema[key].as_array().into_iter().flatten().for_each(|schema| keywords(schema, found));
        }
        schema["properties"].as_object().into_iter().flatten().for_each(|(_, schema)| keywords(schema, found));
    }

    #[test]
    fn every_keyword_of_the_schema_is_understood() {
        let mut found = BTreeSet::new();
        keywords(&of::<SchedulerConfiguration>(), &mut found);
        let unknown: Vec<&String> = found.iter().filter(|key| !KNOWN.contains(&key.as_str())).collect();
        assert!(found.len() > 15 && unknown.is_empty(), "{unknown:?}");
    }

    /// A field without words or a number without a range would be a hole in the documentation.
    fn complete(shape: &Shape, path: &str) {
        assert!(!shape.meaning.is_empty() || path.ends_with("[]"), "{path} has no words");
        match &shape.what {
            What::Map { fields, .. } => {
                fields.iter().for_each(|(name, shape)| complete(shape, &format!("{path}.{name}")))
            }
            What::List { items, .. } => complete(items, &format!("{path}[]")),
            What::Number { least, most } => assert!(*least > i64::MIN && *most < i64::MAX, "{path} has no range"),
            What::Text { kind: Some(kind), range }
                if ["duration", "duration-or-forever", "bytes", "factor"].contains(&&**kind) =>
            {
                assert!(range.least.is_some() && range.most.is_some(), "{path} has no range");
            }
            What::Text { kind: None, range } => assert!(range.most_chars.is_some(), "{path} may be of any length"),
            What::Text { .. } | What::Choice(_) | What::Truth => {}
        }
    }

    #[test]
    fn every_field_has_words_and_a_range() {
        complete(&Shape::of(&of::<SchedulerConfiguration>()), "");
    }
}
