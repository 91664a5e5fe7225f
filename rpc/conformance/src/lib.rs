//! What every route has to do, as one list of cases that run on each: [`suite!`] makes a test of each for a
//! [`Setting`].
//!
//! - [`setting`]: what the cases need of a route.
//! - [`calls`], [`faults`], [`streams`]: the cases.
//! - [`kit`]: short ways to say what tests say often, for the routes' own tests too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test may end with a panic"
)]

pub mod calls;
pub mod faults;
pub mod kit;
pub mod setting;
pub mod streams;

pub use setting::{Bounds, Served, Setting};

/// Makes a test of every case, on that setting.
#[macro_export]
macro_rules! suite {
    ($setting:ty) => {
        $crate::suite! { @cases $setting;
            calls::a_call_brings_its_values_and_its_context,
            calls::values_of_any_size_arrive_as_they_are,
            calls::values_past_the_callee_s_bound_are_refused,
            calls::values_past_the_caller_s_bound_are_refused,
            calls::nobody_there_is_known_at_once,
            calls::an_error_arrives_with_its_kind_and_words,
            calls::a_target_at_its_limit_refuses_at_once,
            calls::calls_in_great_number_each_get_their_own_answer,
            calls::large_values_in_great_number_all_arrive,
            calls::draining_finishes_what_runs_and_takes_no_more,
            calls::dropping_a_serving_ends_it,
            calls::typed_functions_are_called_and_answered,
            faults::a_deadline_ends_both_sides,
            faults::dropping_the_call_cancels_it,
            faults::dropping_a_call_that_sends_a_stream_cancels_it_too,
            faults::cancelling_one_call_leaves_the_others,
            faults::after_an_interruption_calls_go_on,
            faults::streams_under_way_end_with_an_error_when_the_way_breaks,
            faults::a_call_whose_callee_dies_ends,
            streams::a_stream_is_read_by_the_callee_before_it_answers,
            streams::streams_flow_both_ways_at_once,
            streams::a_slow_reader_holds_the_writer_back_and_nobody_else,
            streams::a_reader_that_leaves_stops_the_writer,
            streams::a_callee_that_does_not_read_to_the_end_stops_the_caller,
            streams::a_stream_that_breaks_off_says_why,
            streams::several_channels_of_one_call_keep_to_themselves,
            streams::large_values_and_streams_go_together,
            streams::many_streams_share_the_way,
            streams::a_stream_whose_writer_vanished_ends_with_an_error,
        }
    };
    (@cases $setting:ty; $($room:ident::$case:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::$room::$case::<$setting>().await;
            }
        )*
    };
}
