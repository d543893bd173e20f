//! The stores over real folders and disks: one binary, a file for each thing that must hold.

#[path = "contract_suite/archive_cases.rs"]
mod archive_cases;
#[path = "contract_suite/cases.rs"]
mod cases;
#[path = "rig/folder.rs"]
mod folder;
#[path = "contract_suite/index_cases.rs"]
mod index_cases;
#[path = "contract_suite/list_cases.rs"]
mod list_cases;
#[path = "contract_suite/people_cases.rs"]
mod people_cases;
#[path = "contract_suite/rows.rs"]
mod rows;
#[path = "rig/tmpfs.rs"]
mod tmpfs;

mod a_closed_store_opens_with_everything;
mod a_copy_is_one_moment_of_a_store_in_use;
mod a_full_disk_refuses_and_recovers;
mod a_start_has_little_to_replay;
mod acked_rows_survive_kill;
mod another_format_is_refused;
mod damage_in_a_sealed_journal_is_refused;
mod damaged_index_tables_are_never_served;
mod damaged_journals_are_never_served;
mod damaged_tables_are_never_served;
mod embedded_keeps_the_contract;
mod groups_are_cut_at_their_cap;
mod memory_keeps_the_contract;
