//! Blocks and statements of keepalived.conf, with the files that `include` names in their place.
//!
//! ```text
//! keyword word word            a statement
//! keyword word {               a statement with a block; `{` may stand on the next line
//!     keyword word
//! }
//! ```

use super::{
    include::Includes,
    lex::{self, Lexeme, Token},
};
use crate::source::{FileId, Report, Span};

/// Blocks nested deeper than this are a mistake; keepalived's deepest is 5.
const DEEPEST_BLOCK: usize = 16;

/// A word and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Word {
    pub text: String,
    /// Some of it stood in quotation marks.
    pub quoted: bool,
    pub span: Span,
}

/// A line's words, and the block that follows them.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub keyword: Word,
    pub args: Vec<Word>,
    pub block: Option<Block>,
}

/// What stands between braces.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The opening brace.
    pub open: Span,
    pub statements: Vec<Statement>,
}

/// Reads a file with all it includes.
pub(super) fn statements(file: FileId, includes: &mut Includes, report: &mut Report) -> Vec<Statement> {
    let bytes = report.sources.bytes(file);
    let (marked, old_mac) =
        (bytes.starts_with(lex::BYTE_ORDER_MARK), bytes.contains(&b'\r') && !bytes.contains(&b'\n'));
    let lexemes = lex::lexemes(bytes);
    if marked {
        let mark = Span::new(file, 0..lex::BYTE_ORDER_MARK.len());
        report.warn(
            mark,
            "the file begins with a byte order mark; keepalived would not read it",
            "save it without",
        );
    }
    if old_mac {
        let message = "the lines end in carriage returns only, so the whole file is one line";
        report.error_with(Span::new(file, 0..1), message, "save it with the line ends of Unix or Windows");
    }
    let mut tree = Tree { file, includes, report, levels: vec![Level::default()], words: Vec::new() };
    for lexeme in lexemes {
        tree.take(lexeme);
    }
    tree.finish()
}

/// An open block: the statements so far, and the statement it belongs to.
#[derive(Debug, Default)]
struct Level {
    statements: Vec<Statement>,
    /// The opening brace; `None` for the file itself.
    open: Option<Span>,
    /// The statement before the brace; `None` when there is none.
    owner: Option<Statement>,
    /// Whether the block is deeper than allowed: read, but not kept.
    ignored: bool,
}

struct Tree<'t> {
    file: FileId,
    includes: &'t mut Includes,
    report: &'t mut Report,
    /// The file itself, and every open block in it. Never empty.
    levels: Vec<Level>,
    /// The words of the statement that is being read.
    words: Vec<Word>,
}

impl Tree<'_> {
    fn take(&mut self, lexeme: Lexeme) {
        let span = Span::new(self.file, lexeme.range);
        match lexeme.token {
            Token::Word { text, quoted, unclosed, cut_by_comment } => {
                let word = self.word(text, quoted, unclosed, span);
                if cut_by_comment {
                    self.report.warn(
                        span,
                        "a comment begins in the middle of this word; the rest of the line is not read",
                        "put white space before the comment, or quotation marks around the word if `#` or `!` belongs to it",
                    );
                }
                self.words.push(word);
            }
            Token::Newline => self.end_statement(None),
            Token::Open => self.open(span),
            Token::Close => self.close(span),
            Token::Condition => {
                self.unsupported(span, "conditional lines (`@id`)", "write one file per host")
            }
            Token::Definition => {
                self.unsupported(span, "definitions (`$NAME=`)", "write the value where it is used")
            }
            Token::Repetition => self.unsupported(span, "`~SEQ` and `~LST`", "write the lines out"),
        }
    }

    fn unsupported(&mut self, span: Span, what: &str, help: &str) {
        self.report.error_with(span, format!("{what} are not supported yet"), help);
    }

    fn word(&mut self, text: Vec<u8>, quoted: bool, unclosed: bool, span: Span) -> Word {
        if unclosed {
            self.report.error_with(
                span,
                "the quotation mark is not closed on its line",
                "close it, or write \\\" for a mark that belongs to the text",
            );
        }
        let text = match String::from_utf8(text) {
            Ok(text) => text,
            Err(error) => {
                let raw = self.report.sources.bytes(self.file).get(span.range()).unwrap_or(&[]);
                let valid = std::str::from_utf8(raw).err().map_or(0, |error| error.valid_up_to());
                self.report.error_with(
                    span.within(valid, 1),
                    "this byte is not UTF-8",
                    "save the file as UTF-8; only comments may be in another encoding",
                );
                String::from_utf8_lossy(error.as_bytes()).into_owned()
            }
        };
        if let Some(name) = lex::predefined(&text) {
            let message = format!("predefined values (`{name}`) are not supported yet");
            self.report.error_with(span, message, "write the value itself");
        }
        if let Some(look_alike) = text.chars().find(|c| is_look_alike(*c)).filter(|_| !quoted) {
            self.report.error_with(
                span,
                format!(
                    "{look_alike:?} (U+{:04X}) is not a character of keepalived.conf",
                    u32::from(look_alike)
                ),
                "it looks like a space, brace or sign of ASCII: type it again with the input method off",
            );
        }
        Word { text, quoted, span }
    }

    fn end_statement(&mut self, open: Option<Span>) {
        let mut words = std::mem::take(&mut self.words).into_iter();
        let Some(keyword) = words.next() else { return };
        let statement = Statement { keyword, args: words.collect(), block: None };
        match open {
            Some(open) => self.descend(Some(statement), open),
            None if is_include(&statement.keyword.text) => {
                let included = self.includes.statements(&statement, self.report);
                self.keep(included);
            }
            None => self.keep(vec![statement]),
        }
    }

    fn keep(&mut self, statements: Vec<Statement>) {
        if let Some(level) = self.levels.last_mut().filter(|level| !level.ignored) {
            level.statements.extend(statements);
        }
    }

    fn descend(&mut self, owner: Option<Statement>, open: Span) {
        let ignored = self.levels.last().is_some_and(|level| level.ignored);
        let too_deep = self.levels.len() > DEEPEST_BLOCK;
        if too_deep && !ignored {
            self.report.error(open, format!("blocks are nested deeper than {DEEPEST_BLOCK}"));
        }
        let ignored = ignored || too_deep;
        self.levels.push(Level { statements: Vec::new(), open: Some(open), owner, ignored });
    }

    fn open(&mut self, span: Span) {
        if self.words.first().is_some_and(|word| is_include(&word.text)) {
            self.report.error_with(
                span,
                "braces in the pattern of `include` are not supported yet",
                "write one `include` line for each alternative",
            );
            self.words.clear();
            return self.descend(None, span);
        }
        if !self.words.is_empty() {
            return self.end_statement(Some(span));
        }
        // A brace on a line of its own belongs to the line before it.
        let last =
            self.levels.last_mut().and_then(|level| level.statements.pop_if(|last| last.block.is_none()));
        if last.is_none() {
            self.report.error_with(
                span,
                "this `{` has no keyword before it",
                "write the block's keyword before it, or remove it and the `}` that belongs to it",
            );
        }
        self.descend(last, span);
    }

    fn close(&mut self, span: Span) {
        self.end_statement(None);
        if self.levels.len() < 2 {
            self.report.error_with(
                span,
                "this `}` closes nothing",
                "remove it, or look above for a block that was closed too early",
            );
            return;
        }
        self.close_level();
    }

    fn close_level(&mut self) {
        let Some(Level { statements, open: Some(open), owner, ignored: _ }) = self.levels.pop() else {
            return;
        };
        // A brace without a keyword was reported when it was met.
        if let Some(mut statement) = owner {
            statement.block = Some(Block { open, statements });
            self.keep(vec![statement]);
        }
    }

    fn finish(mut self) -> Vec<Statement> {
        self.end_statement(None);
        while self.levels.len() > 1 {
            if let Some(Level { open: Some(open), owner, .. }) = self.levels.last() {
                let whose =
                    owner.as_ref().map_or(String::new(), |owner| format!(" of `{}`", owner.keyword.text));
                let message = format!("the block{whose} is never closed");
                self.report.error_with(
                    *open,
                    message,
                    "a `}` is missing between here and the end of the file",
                );
            }
            self.close_level();
        }
        self.levels.pop().map(|file| file.statements).unwrap_or_default()
    }
}

fn is_include(keyword: &str) -> bool {
    matches!(keyword, "include" | "includer" | "includem" | "includew" | "includeb" | "includea")
}

/// Characters that input methods and web pages put where a space, brace, quotation or comment mark was meant.
fn is_look_alike(c: char) -> bool {
    let space = c.is_whitespace() && !c.is_ascii() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{feff}');
    space
        || matches!(c, '｛' | '｝' | '＃' | '！' | '；' | '＂' | '＇' | '\u{2018}'..='\u{201f}')
        || c.is_control()
}
