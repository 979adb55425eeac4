//! The bytes of a segment: one header, then records.
//!
//! ```text
//! header   "HAFLEETJ" | version u32 | journal id 16 bytes | first seq u64 | crc32 of all that u32
//! record   length u32 | crc32 of the length u32 | crc32 of the payload u32 | payload: hafleet.v1.Event
//! ```
//!
//! Numbers are little-endian. The length has a checksum of its own: only so can a record that a killed process did not
//! finish (harmless: nobody was told of it) be told from one that the disk damaged (somebody may have been told).

use std::fmt;

use hafleet_proto::v1;
use prost::Message;

/// Bytes of a segment's header.
pub const SEGMENT_HEADER_LEN: usize = 40;
/// Bytes before a record's payload.
pub const RECORD_HEADER_LEN: usize = 12;
/// No event is longer; what would be is cut at the border ([`super::event`]).
pub const PAYLOAD_LEN_MAX: usize = 64 * 1024;

const MAGIC: &[u8; 8] = b"HAFLEETJ";
const FORMAT_VERSION: u32 = 1;

/// Names one life of a journal on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JournalId([u8; 16]);

impl JournalId {
    /// A new one.
    ///
    /// # Errors
    /// When the kernel has no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// From its bytes on disk.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes on disk.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for JournalId {
    /// As in `Stamp.journal_id`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The life it belongs to.
    pub journal_id: JournalId,
    /// The sequence of its first record.
    pub first_seq: u64,
}

impl SegmentHeader {
    /// As bytes.
    pub fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_LEN);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(self.journal_id.as_bytes());
        bytes.extend_from_slice(&self.first_seq.to_le_bytes());
        let checksum = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        let mut header = [0; SEGMENT_HEADER_LEN];
        header.copy_from_slice(&bytes);
        header
    }

    /// `None` when the bytes are short, damaged or of another format version.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, rest) = bytes.split_at_checked(SEGMENT_HEADER_LEN - 4)?;
        if crc32fast::hash(body) != u32_at(rest, 0)?
            || !body.starts_with(MAGIC)
            || u32_at(body, 8)? != FORMAT_VERSION
        {
            return None;
        }
        let journal_id = JournalId(body.get(12..28)?.try_into().ok()?);
        let first_seq = u64::from_le_bytes(body.get(28..36)?.try_into().ok()?);
        // Sequences count from 1, and none comes near the end of the type.
        (1..u64::MAX / 2).contains(&first_seq).then_some(Self { journal_id, first_seq })
    }
}

/// What stands at the start of some bytes.
#[derive(Debug)]
pub enum Found {
    /// A whole record; the next one starts `len` bytes later.
    Record {
        /// The event; it has a stamp.
        event: Box<v1::Event>,
        /// Its sequence.
        seq: u64,
        /// Bytes of header and payload.
        len: usize,
    },
    /// Nothing: the records end here.
    End,
    /// The beginning of a record that was never finished.
    Torn,
    /// Something that is no record and no beginning of one.
    Damaged,
}

/// Appends the record of `event`. False, and nothing appended, when it is longer than [`PAYLOAD_LEN_MAX`].
#[must_use]
pub fn encode(event: &v1::Event, out: &mut Vec<u8>) -> bool {
    let payload = event.encode_to_vec();
    let Some(len) = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= PAYLOAD_LEN_MAX) else {
        return false;
    };
    let len = len.to_le_bytes();
    out.extend_from_slice(&len);
    out.extend_from_slice(&crc32fast::hash(&len).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
    out.extend_from_slice(&payload);
    true
}

/// Reads the record at the start of `bytes`, which reach to the end of the segment.
pub fn decode(bytes: &[u8]) -> Found {
    if bytes.is_empty() {
        return Found::End;
    }
    let (Some(len), Some(len_checksum), Some(checksum)) =
        (u32_at(bytes, 0), u32_at(bytes, 4), u32_at(bytes, 8))
    else {
        return Found::Torn;
    };
    if crc32fast::hash(&len.to_le_bytes()) != len_checksum {
        // After a power cut a file may have grown without its data.
        return if bytes.iter().all(|byte| *byte == 0) { Found::Torn } else { Found::Damaged };
    }
    let len = usize::try_from(len).unwrap_or(usize::MAX);
    if len == 0 || len > PAYLOAD_LEN_MAX {
        return Found::Damaged;
    }
    let Some(payload) = bytes.get(RECORD_HEADER_LEN..RECORD_HEADER_LEN + len) else {
        return Found::Torn;
    };
    if crc32fast::hash(payload) != checksum {
        return Found::Damaged;
    }
    match v1::Event::decode(payload) {
        Ok(v1::Event { stamp: Some(stamp), event: Some(event) }) => Found::Record {
            seq: stamp.seq,
            event: Box::new(v1::Event { stamp: Some(stamp), event: Some(event) }),
            len: RECORD_HEADER_LEN + len,
        },
        Ok(_) | Err(_) => Found::Damaged,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
