//! End to end: the real binary, a real clamd, real sockets. Each file is one subject; `rig.rs` starts the world.

mod backends;
mod backups;
mod connect;
mod console;
mod crash;
mod crowds;
mod direct;
mod fairness;
mod figures;
mod graph;
mod kills;
mod limits;
mod lists;
mod outages;
mod payloads;
mod power;
mod previews;
mod redirects;
mod refusals;
mod rescan;
mod rig;
mod road;
mod routes;
mod shadow;
mod telegram;
mod tls;
