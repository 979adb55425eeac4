//! How far the journal was told: a small file of two slots that are written in turn, so that a torn write leaves the
//! other one.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use super::record::JournalId;

const SLOT_LEN: usize = 64;
const MAGIC: &[u8; 8] = b"HAFLEETP";

/// What must survive a restart beside the events themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The life that the numbers belong to.
    pub journal_id: JournalId,
    /// The coordinator has committed everything up to here.
    pub acked_seq: u64,
    /// No sequence above this was ever shown to a coordinator. Made durable before showing one, so that a damaged tail
    /// can never cause a sequence to be given out twice.
    pub reported_seq: u64,
    /// Nothing up to here is owed any more: acknowledged, or its loss is written in the journal.
    pub settled_seq: u64,
}

impl Position {
    /// The start of a life.
    pub const fn start(journal_id: JournalId) -> Self {
        Self { journal_id, acked_seq: 0, reported_seq: 0, settled_seq: 0 }
    }

    fn encode(&self, generation: u64) -> [u8; SLOT_LEN] {
        let mut slot = [0; SLOT_LEN];
        let fields: [&[u8]; 6] = [
            MAGIC,
            &generation.to_le_bytes(),
            self.journal_id.as_bytes(),
            &self.acked_seq.to_le_bytes(),
            &self.reported_seq.to_le_bytes(),
            &self.settled_seq.to_le_bytes(),
        ];
        let mut bytes = fields.concat();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        for (to, from) in slot.iter_mut().zip(bytes) {
            *to = from;
        }
        slot
    }

    fn decode(slot: &[u8]) -> Option<(u64, Self)> {
        let number = |at: usize| Some(u64::from_le_bytes(slot.get(at..at + 8)?.try_into().ok()?));
        let body = slot.get(..56)?;
        let checksum = u32::from_le_bytes(slot.get(56..60)?.try_into().ok()?);
        if !body.starts_with(MAGIC) || crc32fast::hash(body) != checksum {
            return None;
        }
        let position = Self {
            journal_id: JournalId::from_bytes(slot.get(16..32)?.try_into().ok()?),
            acked_seq: number(32)?,
            reported_seq: number(40)?,
            settled_seq: number(48)?,
        };
        // Sequences never come near the end of the type; what says so is damage.
        let plausible =
            position.reported_seq.max(position.acked_seq).max(position.settled_seq) < u64::MAX / 2;
        plausible.then_some((number(8)?, position))
    }
}

/// The open file.
#[derive(Debug)]
pub struct PositionFile {
    file: File,
    generation: u64,
}

impl PositionFile {
    /// Opens or makes it. The position is `None` when the file is new or neither slot is readable.
    ///
    /// # Errors
    /// As the file system says.
    pub fn open(path: &Path) -> io::Result<(Self, Option<Position>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut newest: Option<(u64, Position)> = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_LEN];
            match file.read_exact_at(&mut bytes, slot * SLOT_LEN as u64) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => continue,
                Err(error) => return Err(error),
            }
            if let Some((generation, position)) = Position::decode(&bytes)
                && newest.is_none_or(|(newest, _)| generation > newest)
            {
                newest = Some((generation, position));
            }
        }
        let generation = newest.map_or(0, |(generation, _)| generation);
        Ok((Self { file, generation }, newest.map(|(_, position)| position)))
    }

    /// Writes the other slot. With `durable`, returns only when it is on the disk.
    ///
    /// # Errors
    /// As the file system says; the old position is then still there.
    pub fn write(&mut self, position: &Position, durable: bool) -> io::Result<()> {
        let generation = self.generation.wrapping_add(1);
        let slot = generation % 2;
        self.file.write_all_at(&position.encode(generation), slot * SLOT_LEN as u64)?;
        self.generation = generation;
        if durable { self.file.sync_data() } else { Ok(()) }
    }
}
