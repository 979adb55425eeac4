//! One set of cases, run on a SQLite file and on a PostgreSQL that the run starts by itself: are the two one database?
//!
//! Every case gets an empty database of its own. Nextest runs every test in a process of its own; therefore all cases of
//! one engine are one test, which starts one server, prints the name of each case and tells every one that failed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by failing there")]

mod alert;
mod audit;
mod config;
mod crash;
mod event;
mod fence;
mod fixture;
mod node;
mod open;
mod order;
mod outbox;
mod schema;
mod token;
mod transition;
mod upgrade;
mod user;

use fixture::{Case, Engine, run};

/// Names each case by its module and function.
macro_rules! cases {
    ($($module:ident: $($case:ident),+;)+) => {
        vec![$($(
            (concat!(stringify!($module), "_", stringify!($case)), (|fixture| Box::pin($module::$case(fixture))) as Case)
        ),+),+]
    };
}

fn cases() -> Vec<(&'static str, Case)> {
    cases! {
        open: again_keeps_everything, newer_schema_is_refused, edited_schema_is_refused, at_once_by_many,
            nothing_answers_after_close, backup_is_for_sqlite, served_by_one;
        node: upsert, unknown, revocation_stays, listed_by_bytes, snapshot_is_the_latest, snapshot_of_nobody;
        event: append_and_ack, duplicates_are_left_alone, holes_are_refused, gap_is_recorded, gap_without_events,
            new_journal_counts_anew, unknown_node, refused_for_good, numbers_at_their_ends, nul_in_text, every_kind, many_rows,
            two_streams_of_one_journal, cancelled_append_leaves_nothing, prune, prune_in_steps;
        transition: newest_oldest_first, filters, of_many_members, backlogs_keep_each_journals_order, every_state;
        alert: upsert, messages_or_nothing, wrong_id, filters, numbers, every_word;
        outbox: due_in_order, of_one_receiver, delivered_once, failed_then_given_up, prune;
        token: spent_once, refusals, of_many_spenders_one_wins, taken_name_costs_nothing,
            of_many_tokens_one_gets_the_name, bad_rows, listed_newest_first;
        upgrade: from_the_first_schema;
        user: upsert, every_role, added_with_a_credential, other_role_and_revoked, the_last_admin_stays, bearers, refused_credentials;
        order: through_its_life, one_is_asked_at_a_time, old_ones_that_are_over_are_deleted, what_can_be_no_order;
        fence: an_epoch_shuts_out_the_one_before, an_epoch_that_is_taken_meanwhile_counts, revisions_are_contiguous_and_a_lost_answer_is_no_loss,
            one_is_open_for_a_target, old_ones_that_are_closed_are_deleted, every_state, many_entries_are_one_commit,
            an_order_has_one_id_for_good, orders_of_before_keep_their_ids;
        audit: newest_first, only_ever_added, filters;
        config: one_at_a_time, given_up_is_no_parent, what_nodes_have_still_to_give_up, steps, a_generation_is_never_changed, old_generations_end,
            many_old_generations_end_in_steps, texts_are_sealed_at_rest, texts_of_before_are_read;
        crash: killed_writer_leaves_whole_transactions;
    }
}

#[test]
fn every_case_on_sqlite() {
    run(Engine::Sqlite, cases());
}

#[test]
fn every_case_on_postgres() {
    run(Engine::Postgres, cases());
}
