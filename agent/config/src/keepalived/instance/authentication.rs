//! `authentication`.

use hafleet_vrrp::{Authentication, Version};

use super::{
    super::{
        keywords::Place,
        section::{self, Entry, Section},
        tree::Block,
        value,
    },
    Draft,
};
use crate::source::Report;

/// Bytes of a version 2 password (RFC 2338 section 5.3.6.1).
const PASSWORD_LEN: usize = 8;

impl Draft<'_> {
    pub(super) fn checked_authentication(&self, report: &mut Report) -> Authentication {
        match (&self.authentication, self.version) {
            (None, _) => Authentication::None,
            (Some((_, authentication)), Version::V2) => authentication.clone(),
            (Some((entry, _)), Version::V3) => {
                let message = "version 3 has no authentication; this block is not used";
                report.warn(entry.span, message, "remove it; keepalived does not use it either");
                Authentication::None
            }
        }
    }
}

/// The password; `None` when something is wrong.
pub(super) fn read(entry: Entry<'_>, block: &Block, report: &mut Report) -> Option<Authentication> {
    let Section { entries, meant } = section::read(Place::Authentication, &block.statements, report);
    if !meant.is_empty() {
        return None;
    }
    let word =
        |name: &str| entries.iter().find(|entry| entry.name == name).and_then(|entry| entry.args.first());
    let (kind, password) = (word("auth_type"), word("auth_pass"));
    match kind.map(|word| (word, value::bare(word, report).to_ascii_uppercase())) {
        Some((_, kind)) if kind == "PASS" => {}
        Some((word, kind)) if kind == "AH" => {
            let message = "`auth_type AH` is not supported by this version";
            report.error_with(
                word.span,
                message,
                "use `PASS`, or no authentication, on all routers of the group",
            );
            return None;
        }
        Some((word, _)) => {
            report.error(word.span, format!("`auth_type` is PASS, here is `{}`", word.text));
            return None;
        }
        None => report.warn(
            entry.span,
            "there is no `auth_type`; PASS is meant, but keepalived would use no password",
            "write `auth_type PASS`",
        ),
    }
    if let Some(word) = kind.filter(|word| word.text.trim_end_matches(';') != "PASS") {
        report.warn(word.span, "keepalived would not read this", "write `PASS` in capital letters");
    }
    let Some(word) = password.filter(|word| !word.text.is_empty()) else {
        let at = password.map_or(entry.span, |word| word.span);
        report.error_with(
            at,
            "there is no password",
            "write `auth_pass` and up to 8 letters, or remove the block",
        );
        return None;
    };
    let mut bytes = [0; PASSWORD_LEN];
    bytes.iter_mut().zip(word.text.bytes()).for_each(|(to, from)| *to = from);
    if word.text.len() > PASSWORD_LEN {
        let message = format!("the password has {} bytes; only the first 8 are used", word.text.len());
        report.warn(word.span, message, "shorten it on every router of the group");
    }
    Some(Authentication::Pass(bytes))
}
