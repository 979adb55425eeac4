//! Keywords of the small blocks.

use super::{Keyword, Takes::Words, read};

pub(super) const AUTHENTICATION: &[Keyword] = &[
    read("auth_pass", Words(1, 1), "The password. Version 2 carries its first 8 bytes, in clear."),
    read("auth_type", Words(1, 1), "`PASS`. `AH` is not supported: an error."),
];
