//! The console's pages: what the desk knows, shown to a person, in three languages, without needing any script.
//!
//! Each module is one page: data in, markup out, pure. `routes` and `doors` ask the desk and hand its answers to them,
//! `visit` knows who asks. They must not know the spool or how anything is done, and decide no permission.

pub mod account;
pub mod assets;
pub mod audit;
pub mod chart;
pub mod deliveries;
mod doors;
pub mod evidence;
pub mod health;
pub mod lists;
pub mod login;
pub mod message;
pub mod messages;
pub mod overview;
pub mod people;
mod preview;
pub mod quarantine;
mod routes;
pub mod rules;
pub mod shell;
pub mod show;
mod visit;
pub mod words;

pub use routes::router;
