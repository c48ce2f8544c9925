//! End to end: the real binary, a real clamd, real sockets. Each file is one subject; `rig.rs` starts the world.

mod backups;
mod console;
mod crash;
mod figures;
mod graph;
mod outages;
mod redirects;
mod refusals;
mod rescan;
mod rig;
mod road;
mod tls;
