//! Files that appear whole or not at all: written beside their place under a passing name, then renamed.
//! Owns the way to the disk, not what is written. A name of `-` is a file like any other here.
//!
//! Nothing is left behind on any failure the program sees. A kill leaves at most a `.berth-*.tmp` file, and a kill
//! between the renames of several files leaves some of them old: the file system has no rename of several at once.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// Why an output file was not written; whatever stood in its place is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    /// The place is taken by something that is not a file, or the path names no file.
    #[error("{path}: not a file that can be replaced; give the path of a regular or a new file")]
    NotAFile {
        /// The path asked for.
        path: Box<str>,
    },
    /// One call names a file twice.
    #[error("{path}: would be written twice; give each output a path of its own")]
    Twice {
        /// The path asked for.
        path: Box<str>,
    },
    /// No file can be made in the folder.
    #[error("{path}: no file can be made there; check that the folder exists and that you may write to it")]
    Folder {
        /// The path asked for.
        path: Box<str>,
        /// What the operating system said.
        source: io::Error,
    },
    /// Writing broke off, or the rows could not be written at all; the cause says which.
    #[error("{path}: writing broke off, and what was there before is unchanged")]
    Write {
        /// The path asked for.
        path: Box<str>,
        /// What the operating system or the writer said.
        source: io::Error,
    },
    /// The finished file could not take its place.
    #[error("{path}: the finished file could not be put in place, and what was there before is unchanged")]
    Replace {
        /// The path asked for.
        path: Box<str>,
        /// What the operating system said.
        source: io::Error,
    },
    /// The files could not be put in place together, and an earlier one could not be put back either.
    #[error("{path}: changed although other files of the same run could not be written; check it by hand")]
    PutBack {
        /// The file that is in doubt.
        path: Box<str>,
        /// Why it could not be put back.
        source: io::Error,
    },
}

/// Writes the file at `path` with `write`; it appears, or replaces the one there, only if all went well.
/// A new file gets the usual permissions (0666 less the umask), a replaced one keeps those it had. A symbolic link is
/// followed, so that the file it points to is replaced and not the link.
/// A pipe or device is written to as it is: there is nothing to keep whole.
pub fn write_atomically(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), OutputError> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let written = File::options().write(true).open(path).and_then(|mut stream| write(&mut stream));
        return written.map_err(|source| OutputError::Write { path: shown(path), source });
    }
    let staged = Staged::write(path, write)?;
    staged.temporary.persist(&staged.target).map_err(|error| replace(path, error.error))?;
    Ok(())
}

/// Writes several files so that all of them appear or none: all are written before the first takes its place, and if
/// one cannot, those before it are put back.
pub fn write_all_atomically(files: &[(PathBuf, Vec<u8>)]) -> Result<(), OutputError> {
    let mut staged: Vec<Staged> = Vec::with_capacity(files.len());
    for (path, bytes) in files {
        let next = Staged::write(path, |out| out.write_all(bytes))?;
        if staged.iter().any(|earlier| earlier.target == next.target) {
            return Err(OutputError::Twice { path: shown(path) });
        }
        staged.push(next);
    }
    put_in_place(staged)
}

/// A finished file that waits beside its place. Dropped, it is gone.
struct Staged {
    temporary: NamedTempFile,
    target: PathBuf,
}

impl Staged {
    fn write(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<Self, OutputError> {
        let (target, permissions) = target(path)?;
        let folder = |source| OutputError::Folder { path: shown(path), source };
        let temporary = unnamed(&mut Builder::new()).tempfile_in(folder_of(&target)).map_err(folder)?;
        if let Some(permissions) = permissions {
            temporary.as_file().set_permissions(permissions).map_err(folder)?;
        }
        fill(temporary.as_file(), write).map_err(|source| OutputError::Write { path: shown(path), source })?;
        Ok(Self { temporary, target })
    }
}

/// Writes everything through to the disk, so that a rename never points to a file whose content is still on its way.
fn fill(file: &File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    out.flush()?;
    file.sync_all()
}

/// The file that `path` means, links followed, with the permissions to keep if it is there.
fn target(path: &Path) -> Result<(PathBuf, Option<Permissions>), OutputError> {
    let unusable = || OutputError::NotAFile { path: shown(path) };
    let Ok(metadata) = fs::metadata(path) else {
        let name = path.file_name().ok_or_else(unusable)?;
        let folder = fs::canonicalize(folder_of(path));
        let folder = folder.map_err(|source| OutputError::Folder { path: shown(path), source })?;
        return Ok((folder.join(name), None));
    };
    if !metadata.is_file() {
        return Err(unusable());
    }
    let target = fs::canonicalize(path).map_err(|source| OutputError::Folder { path: shown(path), source })?;
    Ok((target, Some(metadata.permissions())))
}

/// What a file that was replaced, or newly made, needs to be put back.
struct Undo {
    target: PathBuf,
    /// A second name of the old file; `None` where there was none.
    old: Option<NamedTempFile<()>>,
}

impl Undo {
    fn prepare(target: &Path) -> io::Result<Self> {
        let keep = |name: &Path| match fs::hard_link(target, name) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => fs::copy(target, name).map(|_| ()),
            linked => linked,
        };
        let old = match target.try_exists()? {
            true => Some(unnamed(&mut Builder::new()).make_in(folder_of(target), keep)?),
            false => None,
        };
        Ok(Self { target: target.to_owned(), old })
    }

    fn put_back(self) -> Result<(), OutputError> {
        let result = match self.old {
            Some(old) => old.persist(&self.target).map(|_| ()).map_err(|error| error.error),
            None => fs::remove_file(&self.target),
        };
        result.map_err(|source| OutputError::PutBack { path: shown(&self.target), source })
    }
}

/// Renames the finished files to their places; on a failure, puts back those already there.
fn put_in_place(files: Vec<Staged>) -> Result<(), OutputError> {
    let undos = files.iter().map(|file| Undo::prepare(&file.target).map_err(|error| replace(&file.target, error)));
    let mut undos = undos.collect::<Result<Vec<_>, _>>()?.into_iter();
    let mut done = Vec::new();
    for file in files {
        if let Err(error) = file.temporary.persist(&file.target) {
            let put_back: Vec<_> = done.into_iter().map(Undo::put_back).collect();
            put_back.into_iter().collect::<Result<(), _>>()?;
            return Err(replace(&file.target, error.error));
        }
        done.extend(undos.next());
    }
    Ok(())
}

/// Passing files: recognisable if a kill leaves one, and with the permissions that any new file would have.
fn unnamed<'a, 'b>(builder: &'a mut Builder<'b, 'b>) -> &'a mut Builder<'b, 'b> {
    builder.prefix(".berth-").suffix(".tmp");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}

/// The folder of `path`; a bare file name is in the current one.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn replace(path: &Path, source: io::Error) -> OutputError {
    OutputError::Replace { path: shown(path), source }
}

fn shown(path: &Path) -> Box<str> {
    crate::input::shown_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one failure that needs a hand inside: a place is taken between writing and renaming.
    #[test]
    fn files_already_in_place_are_put_back_when_a_later_one_fails() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let [old, new, blocked] = ["old", "new", "blocked"].map(|name| folder.path().join(name));
        fs::write(&old, "before")?;
        let staged = [&old, &new, &blocked].map(|path| Staged::write(path, |out| out.write_all(b"after")));
        let staged = staged.into_iter().collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        fs::create_dir_all(blocked.join("full"))?;
        let error = put_in_place(staged).map_err(|error| error.to_string());
        let expected = "blocked: the finished file could not be put in place, and what was there before is unchanged";
        assert!(error.is_err_and(|message| message.ends_with(expected)));
        assert_eq!(fs::read_to_string(&old)?, "before");
        let mut left: Vec<_> = fs::read_dir(folder.path())?.flatten().map(|entry| entry.file_name()).collect();
        left.sort();
        assert_eq!(left, ["blocked", "old"]);
        Ok(())
    }
}
