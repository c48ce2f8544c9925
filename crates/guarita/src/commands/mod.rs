//! One file a command. A command reads its arguments, uses the crates, prints, and gives the exit code.
#![allow(clippy::print_stdout, reason = "standard output is where a command answers")]

pub mod alerts_test;
pub mod backup;
pub mod check_config;
pub mod connect;
pub mod demo;
mod demo_channels;
pub mod doctor;
pub mod erase;
pub mod lists_import;
pub mod people;
pub mod replay;
pub mod rules_test;
pub mod run;
pub mod scan;
pub mod simulate;
