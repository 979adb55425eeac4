//! What a crash, a full disk or a bad sector left, taken over without guessing.
//!
//! | found | done |
//! | --- | --- |
//! | an unfinished record at the end | cut off; nobody was ever told of it |
//! | damage in a segment | counted; every sequence from there on in that segment is reported as lost |
//! | a segment whose header is damaged | removed and counted; its sequences are reported as lost |
//! | sequences that were shown and are gone | reported as lost, never given out again |
//! | the position gone and the tail damaged | a new life: nobody can know which sequences were shown |

use std::{
    collections::VecDeque,
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
};

use super::{
    record::{JournalId, SEGMENT_HEADER_LEN},
    segment::{Scan, Tail, scan},
    store::{JournalError, Segment, Store, disk, remove},
};

/// The segment files of a directory, oldest first.
#[derive(Debug)]
pub(super) struct FoundSegments {
    files: Vec<FoundSegment>,
}

#[derive(Debug)]
struct FoundSegment {
    index: u64,
    path: PathBuf,
    len: u64,
    scan: Option<Scan>,
}

impl FoundSegments {
    /// The life of the newest segment whose header is readable.
    pub(super) fn newest_journal_id(&self) -> Option<JournalId> {
        self.files.iter().rev().find_map(|file| Some(file.scan.as_ref()?.header.journal_id))
    }

    /// Greater than that of every file there is.
    pub(super) fn next_index(&self) -> u64 {
        self.files.last().map_or(1, |file| file.index.saturating_add(1))
    }
}

/// Reads every segment of `dir`.
pub(super) fn read_segments(dir: &Path) -> Result<FoundSegments, JournalError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(disk("list", dir))? {
        let path = entry.map_err(disk("list", dir))?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        let is_segment = path.extension().is_some_and(|extension| extension == "seg");
        let Some(index) = stem.filter(|_| is_segment).and_then(|stem| stem.parse::<u64>().ok()) else {
            continue;
        };
        let bytes = fs::read(&path).map_err(disk("read", &path))?;
        files.push(FoundSegment { index, len: bytes.len() as u64, scan: scan(&bytes), path });
    }
    files.sort_by_key(|file| file.index);
    Ok(FoundSegments { files })
}

/// Makes what was found the content of `store`.
pub(super) fn take_over(
    store: &mut Store,
    found: FoundSegments,
    position_is_known: bool,
) -> Result<(), JournalError> {
    let tail_is_uncertain = arrange(store, found)?;
    if !position_is_known {
        // From here on there is one, and it says at least what the segments show.
        let fresh = store.segments.is_empty() && !tail_is_uncertain;
        if tail_is_uncertain {
            return store.begin_anew();
        }
        if !fresh {
            store.position.settled_seq = store.first_seq() - 1;
            store.position.reported_seq = store.last_seq();
        }
        return store.settle();
    }
    let told = store.position.settled_seq.max(store.position.reported_seq).max(store.position.acked_seq);
    store.next_seq = store.next_seq.max(told + 1);
    if store.segments.back().is_some_and(|segment| segment.end_seq != store.next_seq) {
        store.active = None;
    }
    let first = store.first_seq();
    let lost = (first - 1).saturating_sub(store.position.settled_seq);
    store.untold_losses += lost;
    store.counted_seq = first - 1;
    store.counters.events_dropped += lost;
    Ok(())
}

/// Lines the segments up. True when sequences may have been given out that nothing here shows.
fn arrange(store: &mut Store, found: FoundSegments) -> Result<bool, JournalError> {
    let mut uncertain = false;
    let mut segments: VecDeque<Segment> = VecDeque::new();
    let count = found.files.len();
    for (nth, file) in found.files.into_iter().enumerate() {
        let is_last = nth + 1 == count;
        let Some(scan) = file.scan.filter(|scan| scan.header.journal_id == store.journal_id()) else {
            // Shorter than a header: it was being made when the agent died.
            if file.len >= SEGMENT_HEADER_LEN as u64 {
                store.counters.damaged += 1;
                uncertain |= is_last;
            }
            remove(&file.path);
            continue;
        };
        // A later segment may give sequences out anew whose first writing failed.
        while let Some(previous) = segments.back_mut()
            && previous.end_seq > scan.header.first_seq
        {
            previous.end_seq = previous.end_seq.min(scan.header.first_seq).max(previous.first_seq);
            if previous.end_seq > previous.first_seq {
                break;
            }
            remove(&previous.path);
            segments.pop_back();
        }
        let segment = Segment {
            index: file.index,
            path: file.path,
            first_seq: scan.header.first_seq,
            end_seq: scan.end_seq,
            len: scan.readable_len,
        };
        store.next_seq = scan.end_seq;
        match scan.tail {
            Tail::Whole => {}
            Tail::Torn(bytes) => store.counters.torn_bytes += bytes,
            Tail::Damaged { end_seq, .. } => {
                store.counters.damaged += 1;
                store.next_seq = end_seq;
                uncertain |= is_last;
            }
        }
        if is_last && !matches!(scan.tail, Tail::Damaged { .. }) {
            store.active = Some(open_for_append(&segment)?);
        }
        segments.push_back(segment);
    }
    store.segments = segments;
    Ok(uncertain)
}

/// Opens the last segment and cuts its unfinished record off.
fn open_for_append(segment: &Segment) -> Result<fs::File, JournalError> {
    let file =
        OpenOptions::new().read(true).write(true).open(&segment.path).map_err(disk("open", &segment.path))?;
    file.set_len(segment.len).and_then(|()| file.sync_all()).map_err(disk("cut", &segment.path))?;
    Ok(file)
}
