//! Output files appear whole or not at all.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use berth::output::{OutputError, write_all_atomically, write_atomically};

fn write(path: &Path, text: &str) -> Result<(), OutputError> {
    write_atomically(path, |out| out.write_all(text.as_bytes()))
}

fn message(result: Result<(), OutputError>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

fn names_in(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[test]
fn a_file_is_made_and_replaced() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("report.csv");
    for text in ["first", "second, longer", ""] {
        write(&path, text)?;
        assert_eq!(fs::read_to_string(&path)?, text);
    }
    assert_eq!(names_in(folder.path())?, ["report.csv"]);
    Ok(())
}

#[test]
fn a_failing_writer_leaves_everything_as_it_was() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    fs::write(&old, "before")?;
    for path in [&old, &new] {
        let result = write_atomically(path, |out| {
            out.write_all(&[b'x'; 100_000])?;
            Err(io::Error::other("disk full"))
        });
        let expected = "writing broke off, and what was there before is unchanged";
        assert_eq!(message(result), format!("{}: {expected}", path.display()));
    }
    assert_eq!(fs::read_to_string(&old)?, "before");
    assert_eq!(names_in(folder.path())?, ["old"]);
    Ok(())
}

#[test]
fn a_panicking_writer_leaves_nothing() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("new");
    let result = std::panic::catch_unwind(|| write_atomically(&path, |_| std::panic::resume_unwind(Box::new(()))));
    assert!(result.is_err());
    assert!(names_in(folder.path())?.is_empty());
    Ok(())
}

#[test]
fn unusable_places_are_named() -> io::Result<()> {
    let folder = tempfile::tempdir()?;
    let (missing, itself) = (folder.path().join("no/such/file"), folder.path());
    let not_a_file = "not a file that can be replaced; give the path of a regular or a new file";
    let no_folder = "no file can be made there; check that the folder exists and that you may write to it";
    for (path, expected) in [(missing.as_path(), no_folder), (itself, not_a_file), (Path::new(".."), not_a_file)] {
        assert_eq!(message(write(path, "x")), format!("{}: {expected}", path.display()));
    }
    assert!(names_in(folder.path())?.is_empty());
    Ok(())
}

#[test]
fn several_files_appear_all_or_none() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: &str| -> (PathBuf, Vec<u8>) { (folder.path().join(name), text.into()) };
    write_all_atomically(&[file("a", "1"), file("b", "2")])?;
    let failing = [
        vec![file("a", "3"), file("c", "3"), file("no/such/file", "3")],
        vec![file("a", "3"), file("c", "3"), file("", "3")],
        vec![file("c", "3"), file("a", "3"), file("./a", "4")],
    ];
    for files in failing {
        assert!(write_all_atomically(&files).is_err());
        assert_eq!(names_in(folder.path())?, ["a", "b"]);
        assert_eq!(fs::read_to_string(folder.path().join("a"))?, "1");
    }
    write_all_atomically(&[file("b", "5"), file("c", "6")])?;
    assert_eq!(fs::read_to_string(folder.path().join("b"))?, "5");
    assert_eq!(names_in(folder.path())?, ["a", "b", "c"]);
    Ok(())
}

#[cfg(unix)]
#[test]
fn permissions_are_those_of_any_new_file_or_of_the_file_replaced() -> Result<(), Box<dyn std::error::Error>> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir()?;
    let [usual, new, private] = ["usual", "new", "private"].map(|name| folder.path().join(name));
    let mode = |path: &Path| fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777);
    fs::write(&usual, "")?;
    fs::write(&private, "")?;
    fs::set_permissions(&private, fs::Permissions::from_mode(0o600))?;
    write(&new, "x")?;
    write(&private, "x")?;
    assert_eq!(mode(&new)?, mode(&usual)?);
    assert_eq!(mode(&private)?, 0o600);
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_symbolic_link_stays_and_its_file_is_replaced() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let (file, link) = (folder.path().join("file"), folder.path().join("link"));
    fs::write(&file, "before")?;
    std::os::unix::fs::symlink("file", &link)?;
    write(&link, "after")?;
    assert!(fs::symlink_metadata(&link)?.is_symlink());
    assert_eq!(fs::read_to_string(&file)?, "after");
    Ok(())
}
