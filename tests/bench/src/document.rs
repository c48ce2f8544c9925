//! What one 100 MB document adds to the gateway's memory: fetched from a stand-in for Meta, kept encrypted, scanned by
//! clamd and by the locked worker, which are processes of their own and do not count.

use crate::{
    SECRET,
    procs::{Gateway, reset_peak, rss_mib, rss_peak_mib},
};
use guarita_testkit::{
    Media, MetaStandIn, Received, SampleBackend,
    payload::{self, Customer},
};
use std::{path::Path, time::Instant};

const BYTES: usize = 100_000_000;
const TOKEN: &str = "bench-token";

pub async fn run(guarita: &Path) {
    println!("\n{:<58}", "one document of 100 MB");
    if !["/usr/sbin/clamd", "/usr/bin/clamd"].iter().any(|path| Path::new(path).exists()) {
        println!("  clamd is not installed: left out (apt-get install clamav-daemon)");
        return;
    }
    let meta = MetaStandIn::start("127.0.0.1:0", TOKEN).await.expect("loopback");
    let backend = SampleBackend::start("127.0.0.1:0", SECRET).await.expect("loopback");
    let gateway = Gateway::start_with_files(guarita, &backend.url(), SECRET, &meta.base_url(), TOKEN).await;
    // The first makes room for what every file needs.
    for (id, name, bytes) in [("small", "one of 100 kB before it", 100_000), ("large", "that one", BYTES)] {
        let media = Media::new(pdf(bytes), "application/pdf");
        meta.put_media(id, media.clone());
        let content = payload::media("document", id, &media, None, Some("contrato.pdf"), None);
        let customer = Customer::new("Cliente", "5511987654321");
        let message = format!("wamid.{id}");
        let body = payload::whatsapp(&customer, &message, 1_763_800_000, content).to_string();
        let before = rss_mib(gateway.pid());
        reset_peak(gateway.pid());
        let began = Instant::now();
        let url = format!("http://{}/webhook", gateway.address());
        MetaStandIn::deliver(&url, SECRET, body.as_bytes()).await.expect("the door is open");
        let there = |received: &[Received]| received.iter().any(|one| one.message()["id"] == message.as_str());
        assert!(backend.wait_until(240, there).await, "{message} did not arrive");
        let took = began.elapsed();
        let seen = backend.received().into_iter().find(|one| one.message()["id"] == message.as_str());
        let verdict = seen.map_or_else(String::new, |one| one.header("x-guarita-verdict").to_owned());
        println!(
            "  {:<56} {:>11.1} MiB",
            format!("memory added by {name} ({:.1} s, {})", took.as_secs_f64(), verdict),
            rss_peak_mib(gateway.pid()) - before
        );
    }
}

/// A document whose bytes do not repeat.
fn pdf(bytes: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut all = b"%PDF-1.4\n1 0 obj\n<< /Length 1 >>\nstream\n".to_vec();
    while all.len() < bytes - 64 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend_from_slice(&state.to_le_bytes());
    }
    all.extend_from_slice(b"\nendstream\nendobj\ntrailer\n<< >>\n%%EOF\n");
    all
}
