//! Rebuilds the binary when an embedded rule changes; the macro that embeds them cannot say so itself.

fn main() {
    println!("cargo:rerun-if-changed=../../rules");
    println!("cargo:rerun-if-changed=guarita.default.toml");
}
