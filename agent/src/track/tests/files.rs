use std::{fs, io::Write};

use super::*;
use crate::config::track::FileInit;

fn file(path: &Path, init: Option<FileInit>) -> Check {
    check("f", CheckKind::File(FileCheck { path: path.to_owned(), init }))
}

async fn says(reports: &mut Reports, value: i16) {
    assert_eq!(next_of(reports, "f").await.0, TrackResult::Value(value));
}

#[tokio::test]
async fn every_way_to_change_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("number");
    let (tracker, mut reports) = start(vec![file(&path, None)]).unwrap();
    let (result, detail) = next_of(&mut reports, "f").await;
    assert_eq!(result, TrackResult::Value(0));
    assert!(detail.contains("No such file"), "{detail}");

    fs::write(&path, "5\n").unwrap();
    says(&mut reports, 5).await;
    // Emptied and filled: nobody sees the 0 between.
    fs::write(&path, "-7\n").unwrap();
    says(&mut reports, -7).await;
    let mut appended = fs::OpenOptions::new().append(true).open(&path).unwrap();
    fs::write(directory.path().join("other"), "99").unwrap();
    fs::write(directory.path().join("new"), "60\n").unwrap();
    fs::rename(directory.path().join("new"), &path).unwrap();
    says(&mut reports, 60).await;
    // That was the file before.
    appended.write_all(b"1\n").unwrap();
    fs::remove_file(&path).unwrap();
    says(&mut reports, 0).await;
    fs::write(directory.path().join("new"), "1000").unwrap();
    fs::hard_link(directory.path().join("new"), &path).unwrap();
    says(&mut reports, 254).await;
    fs::write(&path, "many").unwrap();
    let (result, detail) = next_of(&mut reports, "f").await;
    assert_eq!(result, TrackResult::Value(0));
    assert!(detail.contains("\"many\""), "{detail}");
    // A writer that never closes it.
    let mut open = fs::OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    open.write_all(b"12").unwrap();
    says(&mut reports, 12).await;
    tracker.stop().await;
}

#[tokio::test]
async fn directories_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("a/b");
    let path = below.join("number");
    let (tracker, mut reports) = start(vec![file(&path, None)]).unwrap();
    says(&mut reports, 0).await;
    for value in [3, 4] {
        fs::create_dir_all(&below).unwrap();
        fs::write(&path, value.to_string()).unwrap();
        says(&mut reports, value).await;
        fs::rename(directory.path().join("a"), directory.path().join(format!("away{value}"))).unwrap();
        // The directory above does not tell; the file's own is not asked where it is.
        fs::remove_dir_all(directory.path().join(format!("away{value}"))).unwrap();
        says(&mut reports, 0).await;
    }
    tracker.stop().await;
}

#[tokio::test]
async fn a_symbolic_link_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    for (version, value) in [("v1", "1"), ("v2", "2")] {
        fs::create_dir(directory.path().join(version)).unwrap();
        fs::write(directory.path().join(version).join("number"), value).unwrap();
    }
    // As a ConfigMap is mounted: number -> ..data/number, ..data -> v1.
    let data = directory.path().join("..data");
    std::os::unix::fs::symlink("v1", &data).unwrap();
    let path = directory.path().join("number");
    std::os::unix::fs::symlink("..data/number", &path).unwrap();
    let (tracker, mut reports) = start(vec![file(&path, None)]).unwrap();
    says(&mut reports, 1).await;
    std::os::unix::fs::symlink("v2", directory.path().join("new")).unwrap();
    fs::rename(directory.path().join("new"), &data).unwrap();
    says(&mut reports, 2).await;
    fs::write(directory.path().join("v2/number"), "22").unwrap();
    says(&mut reports, 22).await;
    tracker.stop().await;
}

#[tokio::test]
async fn the_first_number_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("number");
    for (init, before, after) in [
        (FileInit { value: 8, overwrite: false }, None, 8),
        (FileInit { value: 9, overwrite: false }, Some("5"), 5),
        (FileInit { value: -9, overwrite: true }, Some("12345"), -9),
    ] {
        match before {
            Some(text) => fs::write(&path, text).unwrap(),
            None => assert!(!path.exists()),
        }
        let (tracker, mut reports) = start(vec![file(&path, Some(init))]).unwrap();
        says(&mut reports, after).await;
        tracker.stop().await;
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "-9\n");
}

#[tokio::test]
async fn what_is_no_file_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    let lines = Lines::new(directory.path());
    for (path, why) in
        [(lines.path.as_path(), "not a regular file"), (directory.path(), "not a regular file")]
    {
        let (tracker, mut reports) = start(vec![file(path, None)]).unwrap();
        let (result, detail) = next_of(&mut reports, "f").await;
        assert_eq!(result, TrackResult::Value(0));
        assert!(detail.contains(why), "{detail}");
        tracker.stop().await;
    }
}
