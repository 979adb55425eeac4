//! `hactl watch`
//!
//! The stream says what happens; once a second the whole fleet is read as well, because what is *no longer* heard
//! makes no event. When the coordinator itself is lost, everything shown becomes stale, and a new stream is tried
//! for ever with a bounded wait. Dropping any of it at any point loses nothing but what would have been shown.

mod lines;
mod picture;
mod screen;

use std::{io::IsTerminal as _, time::Duration};

use hafleet_proto::v1::{Fleet, WatchEvent, WatchRequest, watch_event::Event};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep, timeout},
};
use tonic::Streaming;

use self::{lines::Lines, screen::Screen};
use crate::{cli::Format, connect::Coordinators, exit::Exit, failure::Failure, invocation::Invocation, verb};

/// Follow the fleet live.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
On a terminal the screen of `hactl status` is kept up to date, with the last events below. In a \
pipe, one line is written for each change; with -o jsonl, one JSON object, whose `event` says what \
it is: fleet, group, node, transition, finding, missed, disconnected or connected. Ctrl-C ends it \
(exit code 0).

When the coordinator is not heard, hactl says since when what it shows is stale, and tries again, \
at least every 10 s.

Examples:
  hactl watch
  hactl watch | tee failover.log
  hactl watch -o jsonl | jq 'select(.event == \"transition\")'")]
pub struct Args {}

/// The coordinator sends something every second: this long without anything is a lost stream.
const SILENCE: Duration = Duration::from_secs(5);

/// How often the whole fleet is read at most.
const REFRESH: Duration = Duration::from_secs(1);

/// The first and the longest wait before another try.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What shows the events.
enum View<'a> {
    Lines(Lines<'a>),
    Screen(Screen<'a>),
}

/// What there is to show.
enum News {
    /// A stream is open, to this coordinator.
    Connected(String),
    /// The whole fleet.
    Fleet(Box<Fleet>),
    /// One event of the stream.
    Event(Box<Event>),
    /// The stream is lost: why, and how long until the next try.
    Lost(String, Duration),
}

pub async fn run(_: &Args, invocation: &Invocation) -> Result<Exit, Failure> {
    if invocation.format() == Format::Json {
        return Err(Failure::usage(
            "watch has no end, so it cannot be one JSON document".to_owned(),
            "Use -o jsonl: one JSON object per line.",
        ));
    }
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::Runtime)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::Runtime)?;
    let mut coordinators = invocation.coordinators()?;
    let mut view = if std::io::stdout().is_terminal() && invocation.is_for_people() {
        View::Screen(Screen::open(invocation)?)
    } else {
        View::Lines(Lines::new(invocation))
    };
    // On every way out the screen, if there is one, is given back by its drop.
    tokio::select! {
        never = follow(&mut coordinators, &mut view) => match never {
            Ok(never) => match never {},
            Err(failure) => Err(failure),
        },
        _ = interrupt.recv() => Ok(Exit::Fine),
        _ = terminate.recv() => Ok(Exit::Fine),
    }
}

/// For ever, unless the first try fails, a try is denied, or nothing can be shown.
async fn follow(
    coordinators: &mut Coordinators,
    view: &mut View<'_>,
) -> Result<std::convert::Infallible, Failure> {
    let mut was_connected = false;
    let mut wait = FIRST_WAIT;
    loop {
        let opened = coordinators
            .call("watch the fleet", WatchRequest {}, async |client, request| client.watch(request).await)
            .await;
        let why = match opened {
            Ok(stream) => {
                let address = coordinators.current().map(ToString::to_string).unwrap_or_default();
                view.show(News::Connected(address.clone()))?;
                was_connected = true;
                wait = FIRST_WAIT;
                format!("{address}: {}", follow_stream(stream, coordinators, view).await?)
            }
            Err(error) if !was_connected || error.exit() != Exit::Unreachable => return Err(error.into()),
            Err(error) => error.attempts().join("; "),
        };
        coordinators.forget_connection();
        view.show(News::Lost(why, wait))?;
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Until the stream is lost: says why.
async fn follow_stream(
    mut stream: Streaming<WatchEvent>,
    coordinators: &mut Coordinators,
    view: &mut View<'_>,
) -> Result<String, Failure> {
    let mut refreshed: Option<Instant> = None;
    loop {
        match timeout(SILENCE, stream.message()).await {
            Err(_) => return Ok(format!("nothing was heard for {} s", SILENCE.as_secs())),
            Ok(Err(status)) => return Ok(coordinators.stream_fault(&status)),
            Ok(Ok(None)) => return Ok("the coordinator ended the stream".to_owned()),
            Ok(Ok(Some(WatchEvent { event: None }))) => {}
            Ok(Ok(Some(WatchEvent { event: Some(Event::Fleet(fleet)) }))) => {
                refreshed = Some(Instant::now());
                view.show(News::Fleet(Box::new(fleet)))?;
            }
            Ok(Ok(Some(WatchEvent { event: Some(event) }))) => view.show(News::Event(Box::new(event)))?,
        }
        if refreshed.is_none_or(|at| at.elapsed() >= REFRESH) {
            refreshed = Some(Instant::now());
            match verb::fleet(coordinators).await {
                Ok(fleet) => view.show(News::Fleet(Box::new(fleet)))?,
                Err(Failure::Call(error)) if error.exit() == Exit::Unreachable => {
                    return Ok(error.attempts().join("; "));
                }
                Err(failure) => return Err(failure),
            }
        }
    }
}

impl View<'_> {
    fn show(&mut self, news: News) -> Result<(), Failure> {
        match self {
            Self::Lines(lines) => lines.show(news),
            Self::Screen(screen) => screen.show(news),
        }
    }
}
