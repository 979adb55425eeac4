//! Larger texts as people write them.

use std::{fs, path::Path};

use crate::{Inputs, Style, check};

#[test]
fn every_text_of_the_corpus_gets_its_findings() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/keepalived/tests/corpus");
    let mut files: Vec<_> =
        fs::read_dir(&directory).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let mut out = Vec::new();
        let inputs = Inputs { keepalived: Some(file.clone()), ..Inputs::default() };
        let usable = check(&inputs, Style::Log, &mut out).expect("written");
        let shown = String::from_utf8(out).expect("UTF-8").replace(&format!("{}/", directory.display()), "");
        insta::assert_snapshot!(format!("corpus_{name}"), format!("{shown}usable: {usable}\n"));
    }
}
