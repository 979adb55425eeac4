//! docs/hactl.md shows real output: each ```console block is run in its order and compared.
//!
//! After a change on purpose: `UPDATE_DOCS=1 cargo nextest run -p hactl document`.

use std::{fs, path::Path};

use crate::{run::Desk, sample::split};

#[test]
fn the_document_shows_real_output() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/hactl.md");
    let text = fs::read_to_string(&path).unwrap();
    let desk = Desk::new(split());
    let mut real = String::new();
    let mut rest = text.as_str();
    let mut shown = 0;
    while let Some((before, block)) = rest.split_once("```console\n") {
        let (block, after) = block.split_once("```\n").unwrap();
        let (line, _) = block.split_once('\n').unwrap();
        let arguments: Vec<&str> = line.strip_prefix("$ hactl ").unwrap().split(' ').collect();
        let ran = desk
            .command(&arguments)
            .current_dir(desk.directory.path())
            .env("COLUMNS", "100")
            .output()
            .unwrap();
        let output = [ran.stdout, ran.stderr].concat();
        real.push_str(before);
        real.push_str(&format!(
            "```console\n{line}\n{}```\n",
            desk.stable(&String::from_utf8(output).unwrap())
        ));
        rest = after;
        shown += 1;
    }
    real.push_str(rest);
    assert!(shown >= 15, "only {shown} commands are shown");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, real).unwrap();
    } else {
        assert!(text == real, "docs/hactl.md is behind; the real one is:\n{real}");
    }
}
