//! The segments on disk. Blocking; owned by the journal's thread.

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use hafleet_proto::v1;

use super::{
    Limits,
    event::Happening,
    position::{Position, PositionFile},
    record::{self, Found, JournalId, SEGMENT_HEADER_LEN, SegmentHeader},
    recovery,
};

/// A batch for the coordinator is cut at this many bytes, well under gRPC's 4 MiB.
const READ_BYTES_MAX: usize = 1024 * 1024;

/// What went wrong on disk.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {doing} {}", path.display())]
    Disk {
        /// What was attempted.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// The kernel's words.
        #[source]
        source: io::Error,
    },
    /// A new journal needs an id.
    #[error("the kernel gives no random bytes for a journal id")]
    Random(#[source] getrandom::Error),
}

impl JournalError {
    /// What the operating system said.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            Self::Disk { source, .. } => source.kind(),
            Self::Random(_) => io::ErrorKind::Other,
        }
    }

    fn is_lack_of_space(&self) -> bool {
        matches!(self.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// One segment file; its records are the sequences from `first_seq` up to but not including `end_seq`.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub index: u64,
    pub path: PathBuf,
    pub first_seq: u64,
    pub end_seq: u64,
    /// Bytes up to the end of its last readable record.
    pub len: u64,
}

/// Where the next read probably starts.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    index: u64,
    seq: u64,
    at: u64,
}

/// Things that were lost or mended, since the agent started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreCounters {
    /// Damaged places found.
    pub damaged: u64,
    /// Bytes of unfinished records cut off.
    pub torn_bytes: u64,
    /// Segments dropped because the journal had reached its size.
    pub segments_dropped: u64,
    /// Events that were dropped with them before a coordinator had them.
    pub events_dropped: u64,
}

/// The journal on disk.
#[derive(Debug)]
pub struct Store {
    pub(super) dir: PathBuf,
    pub(super) limits: Limits,
    /// Oldest first. Sequences that no segment covers are lost, and read as such.
    pub(super) segments: VecDeque<Segment>,
    /// The last of `segments`, open for appending.
    pub(super) active: Option<File>,
    pub(super) next_seq: u64,
    pub(super) next_index: u64,
    pub(super) position: Position,
    pub(super) position_file: PositionFile,
    pub(super) counters: StoreCounters,
    /// Lost events that are not written down yet.
    pub(super) untold_losses: u64,
    /// Losses up to here are in `untold_losses` or settled. The position follows when they are written down: after a kill
    /// before that the next start finds and tells them.
    pub(super) counted_seq: u64,
    /// The time that stands on a lost event.
    pub(super) opened_at_us: i64,
    cursor: Option<Cursor>,
}

impl Store {
    /// Opens the journal in `dir`, mending what a crash left, or makes a new one.
    ///
    /// # Errors
    /// As the file system says; then nothing that was readable is lost.
    pub fn open(dir: &Path, limits: Limits, now_us: i64) -> Result<Self, JournalError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(disk("create the directory", dir))?;
        let position_path = dir.join("position");
        let (position_file, position) =
            PositionFile::open(&position_path).map_err(disk("read", &position_path))?;
        let found = recovery::read_segments(dir)?;
        let known = position.map(|position| position.journal_id);
        let journal_id = match known.or_else(|| found.newest_journal_id()) {
            Some(journal_id) => journal_id,
            None => JournalId::random().map_err(JournalError::Random)?,
        };
        let mut store = Self {
            dir: dir.to_owned(),
            limits,
            segments: VecDeque::new(),
            active: None,
            next_seq: 1,
            next_index: found.next_index(),
            position: position.unwrap_or(Position::start(journal_id)),
            position_file,
            counters: StoreCounters::default(),
            untold_losses: 0,
            counted_seq: 0,
            opened_at_us: now_us,
            cursor: None,
        };
        recovery::take_over(&mut store, found, position.is_some())?;
        Ok(store)
    }

    /// Which life this is.
    pub fn journal_id(&self) -> JournalId {
        self.position.journal_id
    }

    /// The oldest sequence that can be read.
    pub fn first_seq(&self) -> u64 {
        self.segments.front().map_or(self.next_seq, |segment| segment.first_seq)
    }

    /// The newest sequence; 0 before the first event.
    pub fn last_seq(&self) -> u64 {
        self.next_seq - 1
    }

    /// How far the coordinator has it.
    pub fn acked_seq(&self) -> u64 {
        self.position.acked_seq
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// What was lost or mended.
    pub fn counters(&self) -> StoreCounters {
        self.counters
    }

    /// Writes these down, in order, and returns when they are on the disk. Their losses, if there are any to tell, come
    /// first.
    ///
    /// # Errors
    /// As the file system says; then none of them is in the journal, and the call may be repeated.
    pub fn append(&mut self, happenings: &[Happening]) -> Result<(), JournalError> {
        let (told, told_seq) = (self.untold_losses, self.counted_seq);
        let loss = (told > 0).then(|| Happening::lost(told, "journal"));
        let mut bytes = Vec::new();
        let mut seq = self.next_seq;
        for happening in loss.iter().chain(happenings) {
            if record::encode(&self.stamped(happening, seq), &mut bytes) {
                seq += 1;
            } else {
                self.counters.events_dropped += 1;
            }
        }
        if seq == self.next_seq {
            return Ok(());
        }
        match self.write(&bytes, seq) {
            Err(error) if error.is_lack_of_space() && self.free_all_acked()? => self.write(&bytes, seq)?,
            written => written?,
        }
        if told > 0 {
            self.untold_losses -= told;
            self.position.settled_seq = self.position.settled_seq.max(told_seq);
            // The events are written, so this append has worked. If the position is not, a kill before it is written with
            // the next one makes the loss be told twice, which is better than never.
            let _ = self.write_position(self.position, true);
        }
        self.drop_oldest_over_limit();
        Ok(())
    }

    /// At most `most` events from `from_seq` on, contiguous. Before it returns, the disk knows that they may be shown.
    ///
    /// # Errors
    /// As the file system says; nothing may be shown then.
    pub fn read(&mut self, from_seq: u64, most: usize) -> Result<Vec<v1::Event>, JournalError> {
        let mut events = Vec::new();
        let mut seq = from_seq.max(self.first_seq());
        let mut bytes = 0;
        while seq < self.next_seq && events.len() < most && bytes < READ_BYTES_MAX {
            let wanted = most - events.len();
            match self.segments.iter().position(|segment| (segment.first_seq..segment.end_seq).contains(&seq))
            {
                Some(at) => {
                    let before = events.len();
                    bytes += self.read_segment(at, seq, wanted, &mut events)?;
                    let read = (events.len() - before) as u64;
                    seq += read;
                    if read == 0 {
                        // Damaged since it was opened: what follows in this segment is given up.
                        self.counters.damaged += 1;
                        if let Some(segment) = self.segments.get_mut(at) {
                            segment.end_seq = seq;
                        }
                        if at + 1 == self.segments.len() {
                            self.active = None;
                        }
                    }
                }
                None => {
                    events.push(self.lost_event(seq));
                    seq += 1;
                }
            }
        }
        if seq - 1 > self.position.reported_seq {
            let position = Position { reported_seq: seq - 1, ..self.position };
            self.write_position(position, true)?;
        }
        Ok(events)
    }

    /// The coordinator has committed everything up to `seq`: segments that hold nothing else are freed.
    ///
    /// # Errors
    /// As the file system says; then nothing is freed, and the next acknowledgement tries again.
    pub fn acked(&mut self, seq: u64) -> Result<(), JournalError> {
        let seq = seq.min(self.last_seq());
        if seq <= self.position.acked_seq {
            return Ok(());
        }
        let frees = self.segments.get(1).is_some_and(|next| next.first_seq <= seq + 1);
        let settled_seq = self.position.settled_seq.max(seq);
        // Before anything is freed: what is gone from the disk and not known to be acknowledged is reported as lost.
        self.write_position(Position { acked_seq: seq, settled_seq, ..self.position }, frees)?;
        while let (Some(oldest), Some(next)) = (self.segments.front(), self.segments.get(1))
            && next.first_seq <= seq + 1
        {
            remove(&oldest.path);
            self.segments.pop_front();
        }
        Ok(())
    }

    /// Frees every segment, the last one too, of which a coordinator has everything. True when there was one.
    fn free_all_acked(&mut self) -> Result<bool, JournalError> {
        let acked_seq = self.position.acked_seq;
        let acked = self.segments.iter().take_while(|segment| segment.end_seq <= acked_seq + 1).count();
        if acked == 0 {
            return Ok(false);
        }
        self.write_position(self.position, true)?;
        if acked == self.segments.len() {
            self.active = None;
        }
        for segment in self.segments.drain(..acked) {
            remove(&segment.path);
        }
        self.cursor = None;
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8], end_seq: u64) -> Result<(), JournalError> {
        self.rotate_if_full(bytes.len())?;
        self.write_durably(bytes, end_seq)
    }

    /// Begins a new life: a new id, sequences from 1. What was not acknowledged is counted as lost and written down first.
    ///
    /// # Errors
    /// As the file system says; the old life then goes on.
    pub fn begin_anew(&mut self) -> Result<(), JournalError> {
        let journal_id = JournalId::random().map_err(JournalError::Random)?;
        let lost = self.last_seq().saturating_sub(self.position.settled_seq);
        self.write_position(Position::start(journal_id), true)?;
        self.active = None;
        self.cursor = None;
        for segment in self.segments.drain(..) {
            remove(&segment.path);
        }
        self.next_seq = 1;
        self.counted_seq = 0;
        self.untold_losses += lost;
        self.counters.events_dropped += lost;
        Ok(())
    }

    /// True when there are losses to write down that no append has carried yet.
    pub fn has_untold_losses(&self) -> bool {
        self.untold_losses > 0
    }

    fn stamped(&self, happening: &Happening, seq: u64) -> v1::Event {
        let stamp = v1::Stamp {
            journal_id: self.journal_id().to_string(),
            seq,
            at_us: happening.at_us,
            mono_us: happening.mono_us,
        };
        v1::Event { stamp: Some(stamp), event: Some(happening.event.clone()) }
    }

    /// What stands for a sequence that was given out and cannot be read any more.
    fn lost_event(&self, seq: u64) -> v1::Event {
        let loss = Happening { at_us: self.opened_at_us, mono_us: 0, ..Happening::lost(1, "journal") };
        self.stamped(&loss, seq)
    }

    fn rotate_if_full(&mut self, more: usize) -> Result<(), JournalError> {
        let full = self.segments.back().is_some_and(|segment| {
            segment.len > SEGMENT_HEADER_LEN as u64 && segment.len + more as u64 > self.limits.segment_bytes
        });
        if full {
            self.active = None;
        }
        if self.active.is_none() { self.create_segment() } else { Ok(()) }
    }

    fn create_segment(&mut self) -> Result<(), JournalError> {
        let index = self.next_index;
        let path = self.dir.join(format!("{index:010}.seg"));
        let header = SegmentHeader { journal_id: self.journal_id(), first_seq: self.next_seq };
        let made =
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path).and_then(
                |file| {
                    file.write_all_at(&header.encode(), 0)?;
                    file.sync_all()?;
                    File::open(&self.dir)?.sync_all()?;
                    Ok(file)
                },
            );
        let file = match made {
            Ok(file) => file,
            Err(source) => {
                // The next attempt takes the same name.
                remove(&path);
                return Err(JournalError::Disk { doing: "make the segment", path, source });
            }
        };
        self.next_index += 1;
        // A segment that never got a record would stand for the same sequences; one that lost its records stands for
        // those that are missing.
        while let Some(last) = self.segments.back()
            && last.first_seq == self.next_seq
        {
            remove(&last.path);
            self.segments.pop_back();
        }
        let len = SEGMENT_HEADER_LEN as u64;
        self.segments.push_back(Segment {
            index,
            path,
            first_seq: self.next_seq,
            end_seq: self.next_seq,
            len,
        });
        self.active = Some(file);
        Ok(())
    }

    fn write_durably(&mut self, bytes: &[u8], end_seq: u64) -> Result<(), JournalError> {
        let (Some(file), Some(segment)) = (&self.active, self.segments.back_mut()) else {
            return Ok(());
        };
        match file.write_all_at(bytes, segment.len).and_then(|()| file.sync_data()) {
            Ok(()) => {
                segment.len += bytes.len() as u64;
                segment.end_seq = end_seq;
                self.next_seq = end_seq;
                Ok(())
            }
            Err(source) => {
                let path = segment.path.clone();
                // After a failed sync the kernel may hold for clean what never reached the disk: never append to this
                // file again. Nothing of it was shown to anybody, so a later segment may give these sequences out anew.
                let _ = file.set_len(segment.len);
                self.active = None;
                Err(JournalError::Disk { doing: "write to", path, source })
            }
        }
    }

    fn drop_oldest_over_limit(&mut self) {
        while self.segments.len() > 1
            && (self.segments.len() > self.limits.segments || self.bytes() > self.limits.total_bytes())
            && let Some(dropped) = self.segments.pop_front()
        {
            remove(&dropped.path);
            let first_kept = self.first_seq();
            let owed_from = dropped.first_seq.max(self.position.settled_seq.max(self.counted_seq) + 1);
            let lost = first_kept.saturating_sub(owed_from);
            self.counters.segments_dropped += 1;
            self.counters.events_dropped += lost;
            self.untold_losses += lost;
            self.counted_seq = self.counted_seq.max(first_kept - 1);
        }
    }

    /// Reads from one segment; gives the bytes read.
    fn read_segment(
        &mut self,
        at: usize,
        from_seq: u64,
        most: usize,
        events: &mut Vec<v1::Event>,
    ) -> Result<usize, JournalError> {
        let Some(segment) = self.segments.get(at) else { return Ok(0) };
        let start = Cursor { index: segment.index, seq: segment.first_seq, at: SEGMENT_HEADER_LEN as u64 };
        let mut cursor = self
            .cursor
            .filter(|cursor| {
                cursor.index == segment.index && cursor.seq <= from_seq && cursor.at <= segment.len
            })
            .unwrap_or(start);
        let bytes = read_range(&segment.path, cursor.at, segment.len).map_err(disk("read", &segment.path))?;
        let mut offset = 0;
        let mut taken_bytes = 0;
        let mut taken = 0;
        while taken < most && cursor.seq < segment.end_seq && taken_bytes < READ_BYTES_MAX {
            match record::decode(bytes.get(offset..).unwrap_or_default()) {
                Found::Record { event, seq, len } if seq == cursor.seq => {
                    if seq >= from_seq {
                        events.push(*event);
                        taken += 1;
                        taken_bytes += len;
                    }
                    offset += len;
                    cursor = Cursor { seq: seq + 1, at: cursor.at + len as u64, ..cursor };
                }
                Found::Record { .. } | Found::End | Found::Torn | Found::Damaged => break,
            }
        }
        self.cursor = Some(cursor);
        Ok(taken_bytes)
    }

    fn write_position(&mut self, position: Position, durable: bool) -> Result<(), JournalError> {
        let path = self.dir.join("position");
        self.position_file.write(&position, durable).map_err(disk("write", &path))?;
        self.position = position;
        Ok(())
    }

    /// Makes the position durable, for an orderly end.
    ///
    /// # Errors
    /// As the file system says.
    pub fn settle(&mut self) -> Result<(), JournalError> {
        self.write_position(self.position, true)
    }
}

/// At most one megabyte more than a read may take, from `from` on.
fn read_range(path: &Path, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(to.saturating_sub(from)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file that cannot be removed is removed at the next start: its sequences are settled.
pub(super) fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a journal segment that is no longer needed cannot be removed");
    }
}

pub(super) fn disk<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> JournalError + use<'a> {
    move |source| JournalError::Disk { doing, path: path.to_owned(), source }
}
