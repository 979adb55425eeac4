//! Structure from the fuzzer's bytes. When they are used up, everything drawn is the first choice.

use arbitrary::Unstructured;

pub(crate) struct Draw<'a>(Unstructured<'a>);

impl<'a> Draw<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(Unstructured::new(bytes))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub fn word(&mut self) -> u16 {
        self.0.arbitrary().unwrap_or_default()
    }

    pub fn long(&mut self) -> u64 {
        self.0.arbitrary().unwrap_or_default()
    }

    /// From 0 up to, but not, `end`; one byte when `end` is at most 256.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.int_in_range(0..=end.saturating_sub(1)).unwrap_or_default()
    }

    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of these.
    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let at = self.below(of.len());
        of.get(at).cloned().expect("there is something to pick from")
    }

    /// The next `most` bytes, or as many as are left.
    pub fn bytes(&mut self, most: usize) -> &'a [u8] {
        let len = most.min(self.0.len());
        self.0.bytes(len).unwrap_or_default()
    }
}
