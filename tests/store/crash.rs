//! A coordinator that is killed in the middle of writing.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::sleep,
};

use super::fixture::Fixture;

/// Events in one transaction of the writer.
const BATCH: i64 = 256;
/// How often it is killed.
const KILLS: i64 = 8;

/// Whatever it had said to be committed is there after every kill -9, and nothing is there by half.
pub async fn killed_writer_leaves_whole_transactions(fixture: Fixture) {
    fixture.enroll("lb01").await;
    let mut committed = 0;
    for kill in 0..KILLS {
        let mut writer = Command::new(env!("CARGO_BIN_EXE_store_writer"))
            .arg(&fixture.url)
            .arg(BATCH.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let mut told: i64 = lines.next_line().await.unwrap().unwrap().parse().unwrap();
        assert!(told > committed, "the writer goes on after {committed}, not {told}");
        // Not an event to wait for: the kill is to fall into some other moment of the transaction every time.
        sleep(Duration::from_micros(1_300 * kill.unsigned_abs())).await;
        writer.start_kill().unwrap();
        writer.wait().await.unwrap();
        while let Some(line) = lines.next_line().await.unwrap() {
            told = line.parse().unwrap();
        }

        // One statement, because a server may still be finishing the last transaction of the killed client.
        let seen = fixture
            .numbers(
                "SELECT acked_seq FROM journals UNION ALL SELECT COUNT(*) FROM events UNION ALL \
                 SELECT COALESCE(MAX(seq), 0) FROM events UNION ALL SELECT COUNT(*) FROM findings UNION ALL \
                 SELECT COUNT(*) FROM outbox",
            )
            .await;
        let [acked, events, last, findings, messages] = seen[..] else { panic!("{seen:?}") };
        assert!(acked >= told, "{told} was told to be committed, {acked} is");
        assert_eq!((acked % BATCH, events, last), (0, acked, acked));
        assert_eq!(messages, 2 * findings, "a finding and its two messages are one transaction");
        // One finding follows each batch; a kill may fall between the two.
        let batches = acked / BATCH;
        assert!((batches - kill - 1..=batches).contains(&findings), "{findings} findings, {batches} batches");
        committed = acked;
    }
    assert_eq!(fixture.store.acked_seq("lb01", "j1").await.unwrap(), committed.unsigned_abs());
}
