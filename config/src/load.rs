//! From a file to a configuration that holds together, or to everything that is wrong with it.

use crate::check::Checked;
use crate::contradictions;
use crate::problem::{Place, Problem, Problems};
use crate::scheduler::SchedulerConfiguration;
use crate::schema::{self, Shape};
use crate::yaml;

/// The configuration a file describes. `file` is the name messages have for it, `text` what is in it.
///
/// # Errors
/// Everything that is wrong, in the order of the file. Only a file that is no YAML hides what comes after the first fault.
pub fn read(file: &str, text: &str) -> Result<SchedulerConfiguration, Problems> {
    let wrong = |problems| Problems::of(file, problems);
    let document = yaml::parse(text).map_err(|problem| wrong(vec![problem]))?;
    let mut checked = Checked::default();
    let sound = checked.document(&document, &Shape::of(&schema::of::<SchedulerConfiguration>()));
    let mut problems = std::mem::take(&mut checked.problems);
    match serde_json::from_value::<SchedulerConfiguration>(sound) {
        Ok(configuration) => {
            problems.extend(between_fields(&configuration, &checked, &problems));
            if problems.is_empty() { Ok(configuration) } else { Err(wrong(problems)) }
        }
        // Cannot come about, since the schema is worked out from the same types; if it does, it is said.
        Err(error) => Err(wrong(vec![Problem::at(Place::START, format!("cannot be used: {error}"))])),
    }
}

/// Fields that do not go together; not those that are wrong by themselves, of which nothing is known.
fn between_fields(configuration: &SchedulerConfiguration, checked: &Checked, problems: &[Problem]) -> Vec<Problem> {
    let wrong: Vec<&String> = problems.iter().map(|problem| &problem.field).chain(&checked.meant).collect();
    let broken = |field: &String| wrong.iter().any(|wrong| covers(wrong, field));
    let found = contradictions::find(configuration).into_iter();
    let sound = found.filter(|contradiction| !contradiction.fields.iter().any(broken));
    let problem = |contradiction: contradictions::Contradiction| {
        let written = contradiction.fields.iter().find_map(|field| checked.places.get(field));
        let at = written.copied().unwrap_or(Place::START);
        let field = contradiction.fields.into_iter().next().unwrap_or_default();
        Problem { at: Some(at), field, text: contradiction.text }
    };
    sound.map(problem).collect()
}

/// Is `field` the same as `broken`, or below it?
fn covers(broken: &str, field: &str) -> bool {
    field.strip_prefix(broken).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
