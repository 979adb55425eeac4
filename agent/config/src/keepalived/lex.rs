//! The words of keepalived.conf.
//!
//! White space separates words, `{`, `}` and the line's end stand for themselves, `#` and `!` begin a comment wherever
//! they stand outside quotation marks. `"…"` and `'…'` keep white space, braces and comment marks; a backslash inside
//! them escapes as in the shell. Three marks at the beginning of a line belong to the language's upper storey, which
//! is recognised but not yet built: `@id` (conditional lines), `$NAME=` (definitions) and `~SEQ(…)`, `~LST(…)`
//! (repetition).

use std::ops::Range;

use winnow::{
    LocatingSlice, Parser, Result,
    ascii::hex_digit1,
    combinator::{alt, delimited, dispatch, empty, fail, opt, peek, preceded, repeat},
    stream::{AsChar, Location, Stream},
    token::{any, literal, one_of, take_till, take_while},
};

type Input<'i> = LocatingSlice<&'i [u8]>;

/// One word or mark, and the bytes it was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lexeme {
    pub token: Token,
    pub range: Range<usize>,
}

/// What a lexeme is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word with its escapes resolved.
    Word {
        /// Its bytes; not yet known to be UTF-8.
        text: Vec<u8>,
        /// Some of it stood in quotation marks.
        quoted: bool,
        /// A quotation mark that the line's end closed.
        unclosed: bool,
        /// A comment follows without white space between.
        cut_by_comment: bool,
    },
    /// `{`
    Open,
    /// `}`
    Close,
    /// The line's end.
    Newline,
    /// `@id` or `@^id` at the beginning of a line.
    Condition,
    /// `$NAME=…` at the beginning of a line, with all its continuation lines.
    Definition,
    /// `~SEQ(…)` or `~LST(…)`.
    Repetition,
}

/// What editors of Windows write before the first character of UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Every lexeme of a text. No text is refused here: what is wrong with it is told by whoever knows what was expected.
pub(super) fn lexemes(text: &[u8]) -> Vec<Lexeme> {
    let mut input = LocatingSlice::new(text);
    let mut lexemes: Vec<Lexeme> = Vec::new();
    let mark: Result<Option<&[u8]>> = opt(literal(BYTE_ORDER_MARK)).parse_next(&mut input);
    debug_assert!(mark.is_ok(), "an optional mark cannot fail");
    loop {
        blank(&mut input);
        if input.is_empty() {
            return lexemes;
        }
        let first = lexemes.last().is_none_or(|last| {
            matches!(last.token, Token::Newline | Token::Condition | Token::Repetition | Token::Definition)
        });
        let before = input.current_token_start();
        match lexeme(first).with_span().parse_next(&mut input) {
            Ok((Some(token), range)) => lexemes.push(Lexeme { token, range }),
            Ok((None, _)) => {}
            // Unreachable, since a word begins with anything; but a loop that cannot stand still is safer.
            Err(_) => drop(input.next_token()),
        }
        debug_assert!(input.current_token_start() > before, "the lexer stands still at byte {before}");
    }
}

/// One lexeme, or `None` for a comment. `first` is true where a line begins.
fn lexeme<'i>(first: bool) -> impl Parser<Input<'i>, Option<Token>, winnow::error::ContextError> {
    move |input: &mut Input<'i>| {
        if first && let Some(mark) = opt(alt((definition, condition, repetition))).parse_next(input)? {
            return Ok(Some(mark));
        }
        dispatch! {peek(any);
            b'\n' => any.value(Some(Token::Newline)),
            b'{' => any.value(Some(Token::Open)),
            b'}' => any.value(Some(Token::Close)),
            b'#' | b'!' => take_till(0.., b'\n').value(None),
            _ => word.map(Some),
        }
        .parse_next(input)
    }
}

/// White space inside a line. A carriage return is white space, so files from Windows read like any other.
fn blank(input: &mut Input<'_>) {
    let skipped: Result<&[u8]> = take_while(0.., is_blank).parse_next(input);
    debug_assert!(skipped.is_ok(), "taking nothing cannot fail");
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | 0x0b | 0x0c)
}

fn ends_run(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b'\n' | b'{' | b'}' | b'#' | b'!' | b'"' | b'\'')
}

fn word(input: &mut Input<'_>) -> Result<Token> {
    let mut text = Vec::new();
    let (mut quoted, mut unclosed) = (false, false);
    loop {
        match input.first() {
            Some(&mark @ (b'"' | b'\'')) => {
                quoted = true;
                let (part, closed) = quotation(mark).parse_next(input)?;
                text.extend(part);
                unclosed |= !closed;
            }
            // `${NAME}` keeps its braces.
            Some(b'$') if input.get(1) == Some(&b'{') => {
                text.extend_from_slice(substitution.parse_next(input)?)
            }
            Some(&byte) if !ends_run(byte) => {
                let head = any.parse_next(input)?;
                text.push(head);
                text.extend_from_slice(
                    take_till(0.., |byte| ends_run(byte) || byte == b'$').parse_next(input)?,
                );
            }
            Some(_) | None => break,
        }
    }
    let cut_by_comment = matches!(input.first(), Some(b'#' | b'!'));
    Ok(Token::Word { text, quoted, unclosed, cut_by_comment })
}

fn substitution<'i>(input: &mut Input<'i>) -> Result<&'i [u8]> {
    (literal(b"${".as_slice()), take_till(0.., |byte| matches!(byte, b'}' | b'\n')), opt(b'}'))
        .take()
        .parse_next(input)
}

/// A quotation, without its marks, and whether it was closed before the line's end.
fn quotation<'i>(mark: u8) -> impl Parser<Input<'i>, (Vec<u8>, bool), winnow::error::ContextError> {
    move |input: &mut Input<'i>| {
        let piece = alt((
            preceded(b'\\', escape),
            take_while(1.., move |byte| !matches!(byte, b'\n' | b'\\') && byte != mark)
                .map(|run: &[u8]| run.to_vec()),
        ));
        let body = repeat(0.., piece).fold(Vec::new, |mut text, piece: Vec<u8>| {
            text.extend(piece);
            text
        });
        (preceded(mark, body), opt(mark)).map(|(text, close)| (text, close.is_some())).parse_next(input)
    }
}

/// The words of a command that is one word of the file: split once more at white space, with quotation marks and escapes
/// of its own, which count outside quotation marks too. Each with whether some of it was quoted; `None` when a
/// quotation is not closed.
pub(super) fn command(text: &str) -> Option<Vec<(String, bool)>> {
    let mut input = LocatingSlice::new(text.as_bytes());
    let mut words = Vec::new();
    loop {
        let skipped: Result<&[u8]> =
            take_while(0.., |byte: u8| byte.is_ascii_whitespace()).parse_next(&mut input);
        debug_assert!(skipped.is_ok(), "taking nothing cannot fail");
        if input.is_empty() {
            return Some(words);
        }
        let (mut word, mut quoted) = (Vec::new(), false);
        while let Some(&byte) = input.first().filter(|byte| !byte.is_ascii_whitespace()) {
            match byte {
                mark @ (b'"' | b'\'') => {
                    quoted = true;
                    let (part, closed) = quotation(mark).parse_next(&mut input).ok()?;
                    word.extend(part);
                    if !closed {
                        return None;
                    }
                }
                b'\\' => {
                    quoted = true;
                    let escaped: Result<Vec<u8>> = preceded(b'\\', escape).parse_next(&mut input);
                    word.extend(escaped.ok()?);
                }
                _ => {
                    word.push(byte);
                    input = LocatingSlice::new(input.get(1..).unwrap_or_default());
                }
            }
        }
        words.push((String::from_utf8(word).ok()?, quoted));
    }
}

/// What follows a backslash: the shell's escapes, `\nnn`, `\xXX`, `\cC`; anything else stands for itself.
fn escape(input: &mut Input<'_>) -> Result<Vec<u8>> {
    alt((
        preceded(b'x', hex_digit1).map(|digits: &[u8]| last_byte(digits, 16)),
        take_while(1..=3, AsChar::is_oct_digit).map(|digits: &[u8]| last_byte(digits, 8)),
        preceded(b'c', one_of(|byte: u8| byte.is_ascii_graphic())).map(|byte: u8| vec![byte & 0x1f]),
        dispatch! {any;
            b'a' => empty.value(vec![0x07]),
            b'b' => empty.value(vec![0x08]),
            b'E' => empty.value(vec![0x1b]),
            b'f' => empty.value(vec![0x0c]),
            b'n' => empty.value(vec![b'\n']),
            b'r' => empty.value(vec![b'\r']),
            b't' => empty.value(vec![b'\t']),
            b'v' => empty.value(vec![0x0b]),
            b'\n' => fail,
            other => empty.value(vec![other]),
        },
    ))
    .parse_next(input)
}

/// The byte that digits spell; as in C, only the lowest eight bits count.
fn last_byte(digits: &[u8], radix: u32) -> Vec<u8> {
    let byte = digits.iter().fold(0_u32, |sum, digit| {
        (sum.wrapping_mul(radix) + char::from(*digit).to_digit(radix).unwrap_or(0)) & 0xff
    });
    vec![u8::try_from(byte).unwrap_or(u8::MAX)]
}

fn condition(input: &mut Input<'_>) -> Result<Token> {
    (b'@', take_till(0.., |byte| is_blank(byte) || byte == b'\n')).value(Token::Condition).parse_next(input)
}

fn definition(input: &mut Input<'_>) -> Result<Token> {
    let line = (take_till(0.., b'\n'), opt(b'\n')).take();
    let continued = line.verify(|line: &[u8]| line.trim_ascii_end().ends_with(b"\\"));
    let last = take_till(0.., b'\n');
    (b'$', name, b'=', repeat(0.., continued).map(|()| ()), last).value(Token::Definition).parse_next(input)
}

fn name<'i>(input: &mut Input<'i>) -> Result<&'i [u8]> {
    take_while(1.., |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_').parse_next(input)
}

fn repetition(input: &mut Input<'_>) -> Result<Token> {
    let inside = take_till(0.., |byte| matches!(byte, b')' | b'\n'));
    (
        b'~',
        alt((literal(b"SEQ".as_slice()), literal(b"LST".as_slice()))),
        opt(b'x'),
        delimited(b'(', inside, opt(b')')),
    )
        .value(Token::Repetition)
        .parse_next(input)
}

/// The predefined name (`${_PWD}`, `$_RANDOM`) that a word uses. Other names are only substituted where the file defines
/// them, which is an error of its own; undefined ones stay as they are, in keepalived too.
pub(super) fn predefined(text: &str) -> Option<&str> {
    text.match_indices('$').find_map(|(at, _)| {
        let mut rest = LocatingSlice::new(text.get(at..)?.as_bytes());
        let used: Result<&[u8]> = (b'$', opt(b'{'), peek(b'_'), name, opt(b'}')).take().parse_next(&mut rest);
        used.ok().and_then(|used| text.get(at..at + used.len()))
    })
}
