//! The live screen of a terminal.

use std::{collections::VecDeque, time::Duration};

use hafleet_proto::v1::{Fleet, watch_event::Event};

use super::{
    News,
    lines::{finding_words, lost_words, missed_words, transition_words},
    picture::Picture,
};
use crate::{
    failure::Failure,
    invocation::{Invocation, height},
    look::{Look, Tone},
    verb::status,
    verdict::Verdict,
};

/// How many of the last events are shown.
const EVENTS: usize = 8;

/// Owns the terminal's second screen until it is dropped.
pub struct Screen<'a> {
    invocation: &'a Invocation,
    picture: Picture,
    events: VecDeque<(i64, String)>,
    link: Link,
}

enum Link {
    Connecting,
    Connected(String),
    Lost(String, Duration),
}

/// The second screen, without a cursor; and back.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// To the corner, with the rest cleared line by line, so that nothing flickers.
const HOME: &str = "\x1b[H";
const CLEAR_LINE: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

impl<'a> Screen<'a> {
    /// Take the terminal.
    pub fn open(invocation: &'a Invocation) -> Result<Self, Failure> {
        let screen =
            Self { invocation, picture: Picture::default(), events: VecDeque::new(), link: Link::Connecting };
        screen.invocation.write(ENTER)?;
        Ok(screen)
    }

    /// Draw what is new.
    pub fn show(&mut self, news: News) -> Result<(), Failure> {
        match news {
            News::Connected(coordinator) => self.link = Link::Connected(coordinator),
            News::Fleet(fleet) => {
                self.picture.take(*fleet);
            }
            News::Event(event) => match *event {
                Event::Transition(record) => self.note(record.received_at_us, transition_words(&record)),
                Event::Finding(finding) => self.note(self.picture.now_us(), finding_words(&finding)),
                Event::Missed(count) => self.note(self.picture.now_us(), missed_words(count)),
                Event::Fleet(_) | Event::Tick(_) => {}
            },
            News::Lost(why, wait) => self.link = Link::Lost(why, wait),
        }
        self.draw()
    }

    fn note(&mut self, at_us: i64, words: String) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back((at_us, words));
    }

    fn draw(&self) -> Result<(), Failure> {
        let fleet = self.picture.shown(matches!(self.link, Link::Connected(_)));
        let look = self.invocation.look(fleet.as_ref().map_or(0, |fleet| fleet.at_us));
        let text = self.text(&look, fleet.as_ref());
        let lines: Vec<&str> = text.lines().collect();
        let rows = usize::from(height().unwrap_or(24)).max(2);
        let mut frame = HOME.to_owned();
        let shown = if lines.len() > rows { rows - 2 } else { lines.len() };
        for line in lines.iter().take(shown) {
            frame.push_str(line);
            frame.push_str(CLEAR_LINE);
            frame.push_str("\r\n");
        }
        frame.push_str(CLEAR_BELOW);
        if shown < lines.len() {
            frame.push_str(&format!("… {} more lines: make the window higher", lines.len() - shown));
        }
        self.invocation.write(&frame)
    }

    fn text(&self, look: &Look, fleet: Option<&Fleet>) -> String {
        let mut text = match &self.link {
            Link::Connecting => "connecting …\n".to_owned(),
            Link::Connected(coordinator) => {
                let clock = look.clock(look.now.as_microsecond()).unwrap_or_default();
                look.paint(Tone::Plain, &format!("{clock}  {coordinator}  (Ctrl-C ends)")) + "\n"
            }
            Link::Lost(why, wait) => {
                look.paint(Tone::Bad, &lost_words(look, &self.picture, why, *wait)) + "\n"
            }
        };
        if let Some(fleet) = fleet {
            let verdict = Verdict::of(fleet);
            text.push('\n');
            text.push_str(&status::screen(look, &verdict, fleet));
        }
        if !self.events.is_empty() {
            text.push_str("\nLAST EVENTS\n");
        }
        for (at_us, words) in self.events.iter().rev() {
            let line = format!("{}  {words}", look.clock(*at_us).unwrap_or_default());
            // One event, one line: the whole of it is in `hactl get`.
            let cut: String = line.chars().take(usize::from(look.width)).collect();
            text.push_str(&look.paint(Tone::Plain, &cut));
            text.push('\n');
        }
        text
    }
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to give back.
        let _ = self.invocation.write(LEAVE);
    }
}
