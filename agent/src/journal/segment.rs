//! One segment file as it is found at start.

use super::record::{self, Found, RECORD_HEADER_LEN, SEGMENT_HEADER_LEN, SegmentHeader};

/// What a segment holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Its header.
    pub header: SegmentHeader,
    /// One more than the sequence of its last readable record; the header's `first_seq` when it has none.
    pub end_seq: u64,
    /// Bytes up to the end of that record.
    pub readable_len: u64,
    /// What comes after it.
    pub tail: Tail,
}

/// What comes after the last readable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing.
    Whole,
    /// So many bytes of a record that was never finished.
    Torn(u64),
    /// Bytes that are no record. Everything after them is given up.
    Damaged {
        /// How many bytes.
        len: u64,
        /// At least the sequences before this one were given out.
        end_seq: u64,
    },
}

/// Reads a segment from its first byte to its last. `None` when its header cannot be read.
pub fn scan(bytes: &[u8]) -> Option<Scan> {
    let header = SegmentHeader::decode(bytes)?;
    let mut at = SEGMENT_HEADER_LEN;
    let mut end_seq = header.first_seq;
    let tail = loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let rest_len = rest.len() as u64;
        match record::decode(rest) {
            Found::Record { seq, len, .. } if seq == end_seq => {
                at += len;
                end_seq += 1;
            }
            Found::Record { .. } | Found::Damaged => {
                break Tail::Damaged { len: rest_len, end_seq: end_of_damaged(rest, end_seq) };
            }
            Found::End => break Tail::Whole,
            Found::Torn => break Tail::Torn(rest_len),
        }
    };
    Some(Scan { header, end_seq, readable_len: at as u64, tail })
}

/// Looks for records after the damage, only to learn how far the sequence had got.
fn end_of_damaged(rest: &[u8], end_seq: u64) -> u64 {
    // More records than this do not fit, so a larger sequence is a forgery of the damage.
    let bound = end_seq + (rest.len() / RECORD_HEADER_LEN) as u64 + 1;
    let mut end = end_seq + 1;
    let mut at = 0;
    while at < rest.len() {
        match record::decode(rest.get(at..).unwrap_or_default()) {
            Found::Record { seq, len, .. } if seq >= end_seq && seq < bound => {
                end = end.max(seq + 1);
                at += len;
            }
            Found::Record { .. } | Found::End | Found::Torn | Found::Damaged => at += 1,
        }
    }
    end
}
