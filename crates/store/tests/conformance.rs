//! The suite that every store must pass, run on those there are.
//!
//! A case is a function of [`Stores`], which opens empty stores that live as long as the case. To have another store
//! tested, stamp the suite with a function that opens one. When a case is over, what it left is looked at: all that must
//! hold between transactions must hold in its stores.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::sync::Arc;

use downlink_store::Store;
use downlink_store::sqlite::verify::{Target, verify};
use downlink_store::sqlite::{SqliteOptions, SqliteStore};

#[path = "conformance/apps.rs"]
mod apps;
#[path = "conformance/batch_tasks.rs"]
mod batch_tasks;
#[cfg(feature = "simulation")]
#[path = "conformance/by_hand.rs"]
mod by_hand;
#[path = "conformance/cancel_tasks.rs"]
mod cancel_tasks;
#[path = "conformance/create.rs"]
mod create;
#[path = "conformance/device_groups.rs"]
mod device_groups;
#[path = "conformance/devices.rs"]
mod devices;
#[path = "conformance/feed.rs"]
mod feed;
#[path = "conformance/history.rs"]
mod history;
#[path = "conformance/life.rs"]
mod life;
#[path = "conformance/lists.rs"]
mod lists;
#[path = "conformance/mids.rs"]
mod mids;
#[path = "conformance/products.rs"]
mod products;
#[path = "conformance/push_ends.rs"]
mod push_ends;
#[path = "conformance/push_rules.rs"]
mod push_rules;
#[path = "conformance/pushes.rs"]
mod pushes;
#[path = "conformance/queue.rs"]
mod queue;
#[path = "conformance/registrations.rs"]
mod registrations;
#[path = "conformance/request_keys.rs"]
mod request_keys;
#[path = "conformance/shadow.rs"]
mod shadow;
#[path = "conformance/stored_pushes.rs"]
mod stored_pushes;
#[path = "conformance/subscriptions.rs"]
mod subscriptions;
#[path = "conformance/support.rs"]
mod support;
#[path = "conformance/sweeps.rs"]
mod sweeps;
#[path = "conformance/trust.rs"]
mod trust;

/// Opens empty stores.
pub(crate) struct Stores(Box<dyn Fn() -> Arc<dyn Store> + Send + Sync>);

impl Stores {
    /// A new, empty store that goes by [`support::policy`].
    pub(crate) fn open(&self) -> Arc<dyn Store> {
        (self.0)()
    }
}

/// Makes a test of each case, on stores opened by `$open`.
macro_rules! suite {
    ($open:path) => {
        suite! { $open;
            life::every_state_takes_every_input_as_step_says,
            life::of_rivals_one_wins,
            life::the_history_is_exact_under_concurrency,
            life::a_late_result_amends_once,
            life::a_result_after_the_window_changes_nothing,
            life::a_refused_member_does_not_disturb_its_neighbours,
            life::a_change_by_an_application_shows_the_record_as_it_leaves_it,
            life::a_target_must_fit,
            life::grouping_changes_nothing,
            life::without_a_receiver_nothing_is_owed,
            create::the_same_id_again_gives_the_stored_record,
            create::a_device_must_be_there_and_the_applications_own,
            create::immediate_needs_a_session,
            create::it_is_sent_at_once_when_nothing_is_before_it,
            create::the_queue_limit_holds_under_concurrency,
            create::what_is_sent_does_not_count_for_the_limit,
            create::an_applications_open_commands_have_a_limit,
            create::the_queue_limit_is_exact_whatever_happens,
            create::rivals_with_one_id_make_one_command,
            create::an_offer_after_the_lifetime_leaves_it_pending,
            request_keys::a_repeat_is_answered_as_the_first_call_was,
            request_keys::a_key_is_for_one_request_of_one_application,
            request_keys::what_was_refused_may_be_tried_again_with_its_key,
            request_keys::of_rivals_with_one_key_one_creates,
            request_keys::a_key_is_kept_for_its_time_and_forgotten_in_bounds,
            request_keys::an_application_has_so_many_keys,
            request_keys::a_key_whose_record_is_gone_creates_nothing,
            cancel_tasks::a_task_cancels_what_was_there_in_bounded_steps,
            cancel_tasks::what_left_the_queue_otherwise_is_not_counted,
            cancel_tasks::a_device_must_be_there_for_a_task,
            cancel_tasks::tasks_are_listed_by_filter_in_bounds,
            cancel_tasks::tasks_are_kept_in_bounds,
            batch_tasks::devices_are_gathered_each_once,
            batch_tasks::a_turn_and_its_command_are_one_transaction,
            batch_tasks::results_are_counted_once,
            batch_tasks::batch_tasks_are_kept_in_bounds,
            batch_tasks::a_batch_of_many_is_exact,
            device_groups::groups_are_made_and_changed_within_their_limits,
            device_groups::groups_are_nobody_elses_and_lose_who_goes,
            device_groups::the_devices_of_groups_are_gathered_each_once,
            queue::commands_go_oldest_first_one_at_a_time,
            queue::acked_and_next_are_one_transaction,
            queue::queues_of_removed_devices_are_found,
            queue::only_devices_with_a_queue_are_named,
            queue::the_lost_one_goes_first_over_the_next_session,
            queue::a_head_past_its_lifetime_is_passed_by,
            queue::a_slot_is_held_until_its_deadline,
            queue::immediate_ones_pass_by,
            queue::many_drainers_send_each_command_once,
            queue::a_long_queue_past_its_lifetime_blocks_nothing,
            mids::they_are_unique_among_open_commands,
            mids::an_answer_finds_its_command_by_mid,
            mids::they_are_not_reused_soon,
            mids::a_second_send_keeps_its_mid,
            mids::mapped_ones_are_passed_by_in_the_next_round,
            pushes::a_duty_holds_all_that_is_not_told,
            pushes::only_what_is_asked_for_is_pushed,
            pushes::a_row_goes_when_all_is_told,
            pushes::strangers_and_repeats_are_ignored,
            pushes::a_result_is_found_again_for_its_push,
            stored_pushes::what_failed_is_stored_and_the_rest_behind_it,
            stored_pushes::what_was_accepted_is_not_stored,
            stored_pushes::later_changes_join_until_nothing_waits,
            stored_pushes::a_command_tells_by_itself_again_when_nothing_waits,
            stored_pushes::a_dead_one_gives_way_to_the_next,
            stored_pushes::one_tried_again_keeps_its_place,
            stored_pushes::a_pause_that_was_asked_for_is_known,
            stored_pushes::ready_ones_come_in_bounds,
            stored_pushes::a_held_receiver_gives_nothing,
            stored_pushes::receivers_are_known_by_application_and_origin,
            push_ends::lists_are_narrowed_and_paged,
            push_ends::a_replay_takes_in_what_came_after,
            push_ends::a_replay_overtakes_what_is_in_flight,
            push_ends::dropped_ones_are_never_told,
            push_ends::what_is_too_old_is_given_up_and_held_time_does_not_count,
            push_ends::of_what_was_given_up_the_oldest_can_be_forgotten,
            push_ends::one_that_is_accepted_though_it_was_given_up_was_told,
            push_ends::a_receiver_held_too_long_loses_its_pushes,
            push_ends::an_application_has_its_own_age_limit,
            push_ends::a_record_with_stored_pushes_is_kept,
            push_ends::an_application_goes_with_its_stored_pushes,
            push_rules::the_rules_hold_whatever_happens,
            lists::pages_stay_put_while_commands_are_added,
            lists::filters_narrow_and_totals_count_all_that_match,
            lists::totals_of_windows_are_exact,
            lists::an_open_command_is_listed_as_it_stands,
            sweeps::expiring_ones_come_earliest_first,
            sweeps::a_send_in_flight_is_not_expiring_before_its_deadline,
            sweeps::a_lost_send_has_the_grace_after_a_start,
            sweeps::the_pass_over_open_commands_misses_none,
            sweeps::what_waited_for_a_late_result_is_pruned,
            sweeps::records_are_kept_until_retention_ends_them,
            sweeps::the_last_id_is_where_the_mint_goes_on,
            devices::a_device_is_found_by_both_names,
            devices::ids_and_node_ids_are_unique,
            devices::the_limit_of_devices_holds,
            devices::a_removed_device_is_gone_but_its_records_show_it,
            devices::seen_notes_the_first_connection_and_the_family,
            devices::unbound_devices_lapse,
            devices::devices_are_listed_by_time,
            devices::a_device_is_told_how_it_sleeps,
            registrations::the_last_that_was_kept_of_a_device_is_there,
            registrations::a_registration_goes_with_its_device,
            registrations::they_come_in_pages,
            history::what_a_device_reported_is_kept_within_bounds,
            history::a_mute_or_removed_device_has_no_history,
            shadow::the_newest_reported_value_of_each_property_is_kept,
            shadow::what_is_reported_is_bounded_and_muted_and_of_lwm2m,
            shadow::what_is_desired_is_told_and_how_that_ended_is_kept,
            shadow::all_that_is_desired_at_once_is_kept_or_nothing,
            shadow::old_changes_give_way_and_a_removed_device_leaves_nothing,
            devices::devices_are_found_by_what_was_said_of_them,
            devices::who_is_there_is_known_by_connection_or_by_silence,
            devices::devices_behind_a_gateway,
            devices::what_is_changed_of_a_device_stays_changed,
            products::a_product_is_kept_whole_and_replaced_whole,
            products::ids_of_products_are_unique_in_their_application,
            products::a_device_finds_its_product,
            products::a_device_says_what_its_product_is,
            products::every_change_of_a_product_is_counted,
            products::products_are_listed_by_their_names,
            apps::an_id_is_given_once,
            apps::a_work_mode_is_changed_and_taken_back,
            apps::a_grant_is_of_one_for_one_and_goes_with_either,
            apps::a_new_secret_revokes_the_tokens,
            apps::tokens_end_and_are_limited,
            apps::an_application_goes_with_its_devices_and_tokens,
            apps::applications_are_listed_by_id,
            trust::a_new_signing_key_lets_the_others_end,
            trust::a_key_that_is_taken_back_leaves_the_one_before,
            trust::trust_is_kept_by_application,
            subscriptions::one_of_a_kind_and_an_application,
            subscriptions::many_end_by_filter_and_with_their_application,
            subscriptions::only_what_is_subscribed_to_stirs_a_receiver,
            feed::a_feed_tells_every_change_in_order,
            feed::a_feed_is_read_in_bounded_pages,
            feed::a_feed_is_of_its_application_and_its_settings,
            feed::a_place_with_a_gap_behind_it_is_expired,
        }
    };
    ($open:path; $($module:ident :: $case:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $module::$case($open()).await;
            }
        )*
    };
}

/// Where the stores of a case are. Looked at when the case is over and has let go of them.
struct Looked(tempfile::TempDir);

impl Drop for Looked {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for store in std::fs::read_dir(self.0.path()).unwrap() {
            let report = verify(&Target::DataDir(store.unwrap().path())).unwrap();
            assert!(report.is_sound(), "{:#?}", report.findings);
        }
    }
}

/// Stores of the embedded kind, with a tail of that length.
fn on_sqlite(tail: usize) -> Stores {
    let dir = Looked(tempfile::tempdir().unwrap());
    let opened = std::sync::atomic::AtomicUsize::new(0);
    Stores(Box::new(move || {
        let n = opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let options = options(dir.0.path().join(format!("{n}")), tail);
        Arc::new(SqliteStore::open(options).unwrap())
    }))
}

fn options(dir: std::path::PathBuf, tail: usize) -> SqliteOptions {
    let mut options = SqliteOptions::new(dir, support::policy());
    options.min_free_bytes = 0;
    options.min_free_percent = 0;
    options.tail = tail;
    options
}

/// Those that the simulation runs on.
#[cfg(feature = "simulation")]
fn simulated(tail: usize) -> Stores {
    // In this order they go: the directory is looked at when no hand is left.
    let (hands, dir) = (Default::default(), Looked(tempfile::tempdir().unwrap()));
    let kept: (std::sync::Mutex<Vec<by_hand::Hand>>, Looked) = (hands, dir);
    Stores(Box::new(move || {
        let (hands, dir) = &kept;
        let mut hands = hands.lock().unwrap();
        let mut options = options(dir.0.path().join(format!("{}", hands.len())), tail);
        options.readers = 1;
        let (store, of_store) = by_hand::open(options).unwrap();
        hands.extend(of_store);
        Arc::new(store)
    }))
}

mod with_all_in_the_tail {
    use super::*;

    fn stores() -> Stores {
        on_sqlite(65_536)
    }

    suite!(stores);
}

mod with_the_tail_always_on_the_move {
    use super::*;

    fn stores() -> Stores {
        on_sqlite(1)
    }

    suite!(stores);
}

#[cfg(feature = "simulation")]
mod as_the_simulation_has_it {
    use super::*;

    fn stores() -> Stores {
        simulated(4)
    }

    suite!(stores);
}
