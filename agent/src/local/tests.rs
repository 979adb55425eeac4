use std::{os::unix::fs::PermissionsExt, time::Duration};

use tokio::{io::AsyncReadExt, net::UnixStream, time::timeout};

use super::*;
use crate::{present, status};

pub(crate) fn document() -> Document {
    Document::new(&present::tests::sample())
}

#[tokio::test]
async fn whoever_connects_gets_one_document() {
    let dir = tempfile::tempdir().unwrap();
    // A dead agent's socket is in the way.
    drop(bind(dir.path()).unwrap());
    let listener = bind(dir.path()).unwrap();
    let mode = fs::metadata(socket_path(dir.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    tokio::spawn(serve(listener, || async { document() }));
    let state_dir = dir.path().to_owned();
    let text = tokio::task::spawn_blocking(move || status::ask(&state_dir)).await.unwrap().unwrap();
    assert_eq!(status::parse(&text).unwrap(), document());
}

#[tokio::test]
async fn clients_that_do_not_read_keep_nobody_out_for_long() {
    let dir = tempfile::tempdir().unwrap();
    let listener = bind(dir.path()).unwrap();
    // Larger than any socket buffer.
    let large = || async {
        let one = document().instances.remove(0);
        Document { instances: vec![one; 5000], ..document() }
    };
    tokio::spawn(serve(listener, large));
    let mut idle = Vec::new();
    for _ in 0..CLIENTS_MAX {
        idle.push(UnixStream::connect(socket_path(dir.path())).await.unwrap());
    }
    let mut client = UnixStream::connect(socket_path(dir.path())).await.unwrap();
    let mut text = String::new();
    // They are left after two write time-outs of 2 s each; the rest is for a busy machine.
    timeout(Duration::from_secs(20), client.read_to_string(&mut text)).await.expect("kept out").unwrap();
    assert_eq!(status::parse(&text).unwrap().instances.len(), 5000);
}
