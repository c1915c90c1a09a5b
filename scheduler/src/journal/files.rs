//! The files of a journal: their names, when the next one begins, which of earlier journals make room for them.
//!
//! A later file goes on where the one before ends and means nothing without it, so of this journal none is deleted: where the
//! folder is full of it, it ends. Of earlier journals the oldest goes first, its last file before its first.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use berth_config::journal::Header;
use berth_config::scheduler::Journal as Settings;

const PREFIX: &str = "berth-";
const SUFFIX: &str = ".jsonl";

/// A journal as files in a folder.
pub(super) struct Files {
    folder: PathBuf,
    header: Header,
    /// What the names of all its files begin with.
    name: String,
    rotate: u64,
    keep: usize,
    out: BufWriter<File>,
    written: u64,
}

impl Files {
    /// The first file, with its header; the folder is made where it is missing.
    pub(super) fn begin(folder: &str, settings: &Settings, header: Header) -> Result<Files, String> {
        let folder = PathBuf::from(folder);
        fs::create_dir_all(&folder).map_err(|error| format!("no such folder can be made: {error}"))?;
        let begun = i64::try_from(header.begun.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let begun = begun.unwrap_or_default().strftime("%Y%m%dT%H%M%S.%3fZ");
        let name = format!("{PREFIX}{begun}-");
        let keep = settings.keep_files as usize;
        let (out, written) = open(&folder, &name, &header, keep)?;
        Ok(Files { folder, header, name, rotate: settings.rotate_size.0, keep, out, written })
    }

    /// One more line, in the next file where this one is full.
    pub(super) fn write(&mut self, line: &str) -> Result<(), String> {
        if self.written.saturating_add(line.len() as u64) > self.rotate {
            self.flush()?;
            self.header.part += 1;
            (self.out, self.written) = open(&self.folder, &self.name, &self.header, self.keep)?;
        }
        self.written += line.len() as u64;
        self.out.write_all(line.as_bytes()).map_err(|error| unwritable(&error))
    }

    /// Nothing waits in here.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        self.out.flush().map_err(|error| unwritable(&error))
    }
}

fn unwritable(error: &io::Error) -> String {
    format!("cannot be written: {error}")
}

/// Makes the file for this part, and room for it before.
fn open(folder: &PathBuf, name: &str, header: &Header, keep: usize) -> Result<(BufWriter<File>, u64), String> {
    make_room(folder, name, keep)?;
    let path = folder.join(format!("{name}{:04}{SUFFIX}", header.part));
    let cannot = |error: io::Error| format!("{} cannot be written: {error}", path.display());
    // Never one that is there: it is another replica's.
    let file = File::options().write(true).create_new(true).open(&path).map_err(cannot)?;
    let line = serde_json::to_string(header).map_err(|error| cannot(error.into()))? + "\n";
    let mut out = BufWriter::with_capacity(1 << 16, file);
    out.write_all(line.as_bytes()).map_err(cannot)?;
    Ok((out, line.len() as u64))
}

/// Deletes files of earlier journals until one more may come.
fn make_room(folder: &PathBuf, name: &str, keep: usize) -> Result<(), String> {
    let cannot = |error: io::Error| format!("the folder cannot be read: {error}");
    let mut there = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let file = entry.map_err(cannot)?.file_name().into_string().unwrap_or_default();
        let parts = file.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)?.rsplit_once('-'));
        let Some((begun, Ok(part))) = parts.map(|(begun, part)| (begun.to_owned(), part.parse::<u32>())) else {
            continue;
        };
        there.push((begun, std::cmp::Reverse(part), file));
    }
    let surplus = (there.len() + 1).saturating_sub(keep);
    there.retain(|(_, _, file)| !file.starts_with(name));
    there.sort();
    if there.len() < surplus {
        return Err(format!("its {keep} files are full (journal.rotateSize, journal.keepFiles)"));
    }
    for (_, _, file) in there.into_iter().take(surplus) {
        fs::remove_file(folder.join(&file)).map_err(|error| format!("{file} cannot be deleted: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_config::SchedulerConfiguration;
    use berth_config::units::Bytes;
    use berth_engine::Timestamp;

    fn begin(folder: &std::path::Path, begun: u64, rotate: u64, keep_files: u32) -> Result<Files, String> {
        let header = super::super::header(&SchedulerConfiguration::default(), Timestamp(begun));
        let settings = Settings { path: None, rotate_size: Bytes(rotate), keep_files };
        Files::begin(folder.to_str().expect("a path"), &settings, header)
    }

    fn names(folder: &std::path::Path) -> Vec<String> {
        let names = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<_> = names.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_journal_goes_on_in_the_next_file_and_never_loses_its_beginning() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("made");
        fs::create_dir(&place).expect("a folder");
        fs::write(place.join("berth-notes.txt"), "not ours").expect("is written");
        // Every line is too long for a file that has one already.
        let mut old = begin(&place, 1_000, 1, 3).expect("begins");
        old.write("one\n").expect("is written");
        old.write("two\n").expect("is written");
        drop(old);
        let [first, second, third] = [1, 2, 3].map(|part| format!("berth-19700101T000001.000Z-000{part}.jsonl"));
        assert_eq!(names(&place), [&first, &second, &third, "berth-notes.txt"]);
        assert!(fs::read_to_string(place.join(&second)).expect("a file").ends_with("}\none\n"));

        let mut new = begin(&place, 2_000, 1, 3).expect("begins");
        let own = |part: u32| format!("berth-19700101T000002.000Z-000{part}.jsonl");
        assert_eq!(names(&place), [&first, &second, &own(1), "berth-notes.txt"], "the end of the old one made room");
        new.write("one\n").expect("is written");
        new.write("two\n").expect("is written");
        assert_eq!(names(&place), [&own(1), &own(2), &own(3), "berth-notes.txt"]);
        let full = new.write("three\n").expect_err("is full");
        assert!(full.contains("3 files are full"), "{full}");
        assert_eq!(names(&place), [&own(1), &own(2), &own(3), "berth-notes.txt"], "nothing of it is deleted");
    }

    #[test]
    fn a_folder_that_is_a_file_ends_it_before_it_begins() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("taken");
        fs::write(&place, "").expect("is written");
        assert!(begin(&place, 0, 1 << 20, 2).is_err_and(|why| why.contains("no such folder can be made")));
    }
}
