//! The number in a tracked file.

/// The largest number that counts; larger ones are cut.
const MOST: i16 = 254;

/// What keepalived reads from such a file (C's `strtol` with base 0): blanks, a sign, `0x` for hexadecimal, `0` for octal, digits,
/// and whatever follows is not looked at. Cut to -254..=254; `None` when there is no number.
pub(super) fn parse(content: &[u8]) -> Option<i16> {
    let text = content.trim_ascii_start();
    let (is_negative, text) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (radix, text) = match text {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', ..] => (8, text),
        _ => (10, text),
    };
    let digits = text.iter().map_while(|byte| char::from(*byte).to_digit(radix));
    let number = digits.fold(None, |number: Option<i16>, digit| {
        let digit = i16::try_from(digit).unwrap_or(MOST);
        let radix = i16::try_from(radix).unwrap_or(MOST);
        Some(number.unwrap_or(0).saturating_mul(radix).saturating_add(digit).min(MOST))
    })?;
    Some(if is_negative { -number } else { number })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What keepalived 2.2.7 shows in its dump for the same files; two differ on purpose: it keeps 300 and -300, and it
    /// leaves out a number beyond a C long.
    #[test]
    fn as_keepalived() {
        let table = [
            ("5\n", Some(5)),
            ("-7\n", Some(-7)),
            ("  9", Some(9)),
            ("\n\n6\n", Some(6)),
            ("+4\n", Some(4)),
            ("12abc\n", Some(12)),
            ("3 4\n", Some(3)),
            ("2.7\n", Some(2)),
            ("0x10\n", Some(16)),
            ("010\n", Some(8)),
            ("0\n", Some(0)),
            ("0x", Some(0)),
            ("08", Some(0)),
            ("abc\n", None),
            ("", None),
            ("-", None),
            ("300\n", Some(254)),
            ("-300", Some(-254)),
            ("99999999999999999999\n", Some(254)),
        ];
        for (content, number) in table {
            assert_eq!(parse(content.as_bytes()), number, "{content:?}");
        }
    }

    proptest! {
        #[test]
        fn any_number_is_read_and_cut(number in any::<i64>(), tail in "[ \n].*") {
            let cut = i16::try_from(number.clamp(-254, 254)).unwrap();
            prop_assert_eq!(parse(format!("{number}{tail}").as_bytes()), Some(cut));
        }

        #[test]
        fn nothing_panics(content in proptest::collection::vec(any::<u8>(), 0..100)) {
            let number = parse(&content);
            prop_assert!(number.is_none_or(|number| (-254..=254).contains(&number)));
        }
    }
}
