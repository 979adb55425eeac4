//! What each node runs.

use crate::{TWO, read};

#[test]
fn a_node_gets_its_instances_and_the_checks_they_track() {
    insta::assert_snapshot!("lb01", read(TWO).compile("lb01"));
    insta::assert_snapshot!("lb02", read(TWO).compile("lb02"));
    assert_eq!(read(TWO).compile("lb03"), "");
}

#[test]
fn the_same_file_gives_the_same_bytes() {
    assert_eq!(read(TWO).compile("lb01"), read(TWO).compile("lb01"));
    let with_comments =
        TWO.replace("[[group]]", "# a comment\n[[group]]").replace("vrid = 51", "vrid   =   51");
    assert_eq!(read(&with_comments).compile("lb01"), read(TWO).compile("lb01"));
}

#[test]
fn texts_are_quoted() {
    let odd = "a\\\"b\\nc\\u007F";
    let text = TWO.replace("\"/usr/bin/killall\", \"-0\", \"nginx\"", &format!("\"{odd}\""));
    let compiled = read(&text).compile("lb01");
    assert!(compiled.contains("command = [\"a\\\"b\\u000Ac\\u007F\"]"), "{compiled}");
    compiled.parse::<toml::Table>().unwrap();
}
