//! The tree checks itself: one property per file, and in each a bad example that its check must notice.
//!
//! Set-up: the files that git tracks or would track, read once. Claim: the rules that are written down hold today.

mod documents_name_the_knobs;
mod documents_name_the_protocol;
mod documents_stay_short;
mod every_file_says_what_it_owns;
mod files_stay_small;
mod folders_are_as_drawn;
mod generated_code_is_fresh;
mod hot_path_is_a_tour;
mod imports_run_one_way;
mod links_are_alive;
mod names_say_what_things_are;
mod no_place_is_named;
mod nothing_is_left_undone;
mod one_noun_per_concept;
mod production_code_knows_no_tests;
mod unsafety_is_confined;

mod files;
mod source;
