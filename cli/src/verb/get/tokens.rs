//! `hactl get tokens`

use hafleet_proto::v1::{ListTokensRequest, Token};

use super::note_empty;
use crate::{
    connect::Coordinators,
    failure::Failure,
    grid::{Column, grid},
    invocation::Invocation,
    look::{Look, Tone},
    shape,
    shape::token_state,
    verb::fleet,
};

/// Join tokens: open, used and expired.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The secret of a token is shown once, by `hactl node token`, and kept nowhere.

Examples:
  hactl get tokens
  hactl get tokens -o json | jq '.[] | select(.state == \"open\")'")]
pub struct Args {
    /// Only the token with this id
    id: Option<String>,
}

pub async fn run(
    args: &Args,
    coordinators: &mut Coordinators,
    invocation: &Invocation,
) -> Result<(), Failure> {
    let now_us = fleet(coordinators).await?.at_us;
    let answer = coordinators
        .call("list the tokens", ListTokensRequest {}, async |client, request| {
            client.list_tokens(request).await
        })
        .await?;
    let mut tokens = answer.tokens;
    tokens.retain(|token| args.id.as_ref().is_none_or(|id| *id == token.id));
    if let (Some(id), true) = (&args.id, tokens.is_empty()) {
        return Err(Failure::not_found(
            format!("no token has the id {id}"),
            "`hactl get tokens` lists the tokens; `hactl node token` makes one.",
        ));
    }
    note_empty(tokens.is_empty(), "tokens", invocation);
    let shapes: Vec<_> = tokens.iter().map(|token| shape::Token::new(token, now_us)).collect();
    invocation.list(&shapes, || table(&invocation.look(now_us), &tokens, now_us))
}

fn table(look: &Look, tokens: &[Token], now_us: i64) -> String {
    let columns = [
        Column::Free("ID"),
        Column::Fixed("STATE"),
        Column::Free("FOR"),
        Column::Fixed("EXPIRES"),
        Column::Free("USED BY"),
        Column::Free("MADE BY"),
        Column::Wide("MADE"),
        Column::Wide("USED"),
    ];
    let rows = tokens.iter().map(|token| {
        let state = token_state(token, now_us);
        vec![
            look.text(&token.id),
            look.cell(if state == "open" { Tone::Good } else { Tone::Plain }, state),
            look.text(if token.node.is_empty() { "any node" } else { &token.node }),
            look.text(&look.time_in_table(token.expires_at_us)),
            look.text(&token.used_by),
            look.text(&token.created_by),
            look.text(&look.time(token.created_at_us)),
            look.text(&look.time(token.used_at_us)),
        ]
    });
    grid(look, &columns, rows.collect())
}
