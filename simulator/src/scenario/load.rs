//! Scenario files from the disk: one file, or a folder with all below it. Each is read, parsed and checked as a whole.
//! Owns the way to the files and the JSON form's errors. Knows nothing of what a scenario means.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::format::Scenario;
use super::problem::{Finding, Problems};
use super::validate;
use crate::input::shown_path;

/// Largest scenario file, bytes: a hundred times the largest there is.
const FILE_MAX: u64 = 16 << 20;

/// A folder's list of its scenarios, which is none itself.
const INDEX: &str = "index.json";

/// A scenario and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The file, as messages name it.
    pub file: Box<str>,
    /// The file itself.
    pub path: PathBuf,
    /// What stands in it.
    pub scenario: Scenario,
}

/// All scenarios of these files and folders: folders with everything below them, by name; `index.json` and files that
/// end neither in `.json` nor in `.txt` are skipped there.
///
/// # Errors
/// Everything wrong with any of them.
pub fn load(paths: &[PathBuf]) -> Result<Vec<Loaded>, Problems> {
    let mut problems = Problems::default();
    let mut loaded = Vec::new();
    for path in paths {
        match files(path) {
            Ok(files) if files.is_empty() => {
                let text = "no scenario in this folder; scenarios are files that end in .json or .txt";
                problems.0.push((shown_path(path), Finding::about("", text)));
            }
            Ok(files) => {
                for file in files {
                    match read(&file) {
                        Ok(one) => loaded.push(one),
                        Err(found) => problems.0.extend(found.0),
                    }
                }
            }
            Err(error) => problems.0.push((shown_path(path), unreadable(&error))),
        }
    }
    if problems.0.is_empty() { Ok(loaded) } else { Err(problems) }
}

fn unreadable(error: &io::Error) -> Finding {
    Finding::about("", format!("cannot be read: {error}; check that it is there and that you may read it"))
}

/// The file itself, or the scenario files of a folder, sorted by path.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        // Links to folders are not followed: they may lead back here.
        if entry.is_dir() && !entry.is_symlink() {
            found.extend(files(&entry)?);
        } else if is_scenario(&entry) {
            found.push(entry);
        }
    }
    Ok(found)
}

fn is_scenario(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("json" | "txt")) && path.file_name().is_none_or(|name| name != INDEX) && !path.is_dir()
}

/// One scenario file.
///
/// # Errors
/// Everything wrong with it.
pub fn read(path: &Path) -> Result<Loaded, Problems> {
    let file = shown_path(path);
    let failed = |finding| Problems(vec![(file.clone(), finding)]);
    let mut text = String::new();
    let mut opened = File::open(path).map_err(|error| failed(unreadable(&error)))?.take(FILE_MAX + 1);
    opened.read_to_string(&mut text).map_err(|error| failed(unreadable(&error)))?;
    if text.len() as u64 > FILE_MAX {
        return Err(failed(Finding::about("", format!("larger than {FILE_MAX} bytes; a scenario is small"))));
    }
    let id = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let scenario = match path.extension().and_then(|extension| extension.to_str()) {
        Some("json") => parse_json(&text, &file)?,
        Some("txt") => super::text::parse(&text, &file, &id)?,
        _ => return Err(failed(Finding::about("", "ends neither in .json nor in .txt, so its form is not known"))),
    };
    Ok(Loaded { file, path: path.to_owned(), scenario })
}

/// A scenario from its JSON form. `file` is for messages.
///
/// # Errors
/// Everything wrong with it.
pub fn parse_json(text: &str, file: &str) -> Result<Scenario, Problems> {
    let parsed: Result<Scenario, serde_json::Error> = serde_json::from_str(text);
    let scenario = parsed.map_err(|error| Problems(vec![(file.into(), misread(&error))]))?;
    let findings = validate::findings(&scenario);
    Problems::of(file, findings)?;
    Ok(scenario)
}

/// The parser's error, with the place in front instead of behind.
fn misread(error: &serde_json::Error) -> Finding {
    let whole = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let what = whole.strip_suffix(&place).unwrap_or(&whole);
    let advice = if error.is_eof() { "the file may be cut short" } else { "FORMAT.md, section 2, lists the fields" };
    let text = format!("column {}: {what}; {advice}", error.column());
    Finding { line: (error.line() > 0).then_some(error.line() as u64), object: String::new(), text }
}
