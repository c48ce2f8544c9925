//! The power goes: the storage folder as it lies at a random moment, its last writes torn, must start and hold everything
//! that was answered 200 before.

use crate::rig::{APP_SECRET, Rig};
use guarita_testkit::{
    MetaStandIn,
    payload::{self, Customer},
};
use std::{
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const SENDERS: usize = 6;
const CUTS: usize = 3;

/// The journal's name for its present round: another one means that it was begun anew.
fn round_of(journal: &Path) -> Option<Vec<u8>> {
    std::fs::read(journal).ok()?.get(..32).map(<[u8]>::to_vec)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("data");
    let mut rig = Rig::prepare(Some(storage.clone())).await;
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    // Nothing is ever delivered, so every copy has everything still before it.
    rig.backend.answer_with(503);
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::<String>::new())));
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let (stop, acknowledged, webhook) = (stop.clone(), acknowledged.clone(), rig.webhook());
            tokio::spawn(async move {
                let customer = Customer::new("C", &format!("55119000002{sender:02}"));
                for number in 0.. {
                    let id = format!("wamid.P{sender}.{number}");
                    let body = payload::whatsapp(&customer, &id, number, payload::text("oi")).to_string();
                    let sent = MetaStandIn::deliver(&webhook, APP_SECRET, body.as_bytes()).await;
                    if sent.is_ok_and(|sent| sent.status == 200) {
                        acknowledged.lock().unwrap().push(id);
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            })
        })
        .collect();
    let pid = rig.pid().to_string();
    let mut cuts = Vec::new();
    for cut in 0..CUTS {
        // A slow disk takes its time; the cut must meet some load all the same.
        let known = acknowledged.lock().unwrap().len();
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(50 + 17 * cut as u64)).await;
            if acknowledged.lock().unwrap().len() > known + 20 {
                break;
            }
        }
        // What is acknowledged here lies in the journal's first bytes; what comes after may be torn.
        let before = acknowledged.lock().unwrap().clone();
        let journal = storage.join("spool.db-wal");
        let (round, safe_bytes) = (round_of(&journal), std::fs::metadata(&journal).map_or(0, |about| about.len()));
        tokio::time::sleep(Duration::from_millis(40)).await;
        // A cut is a moment: nothing moves while it is copied.
        assert!(Command::new("kill").args(["-STOP", &pid]).status().unwrap().success());
        let copy = folder.path().join(format!("cut{cut}"));
        let copied = Command::new("cp").arg("-r").arg(&storage).arg(&copy).status();
        assert!(Command::new("kill").args(["-CONT", &pid]).status().unwrap().success());
        assert!(copied.unwrap().success());
        let journal = copy.join("spool.db-wal");
        let bytes = std::fs::metadata(&journal).map_or(0, |about| about.len());
        if cut > 0 && round.is_some() && round == round_of(&journal) && bytes > safe_bytes {
            let mut torn = std::fs::read(&journal).unwrap();
            let from = safe_bytes as usize + (torn.len() - safe_bytes as usize) / 2;
            if cut == 1 {
                torn.truncate(from);
            } else {
                torn[from..].fill(0xA5);
            }
            std::fs::write(&journal, torn).unwrap();
        }
        cuts.push((copy, before));
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    drop(rig);
    assert!(cuts.last().is_some_and(|(_, before)| before.len() > 20), "hardly any load: the test shows nothing");
    for (copy, before) in cuts {
        let mut rig = Rig::prepare(Some(copy)).await;
        rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
        let all_there = |received: &[guarita_testkit::Received]| {
            let there: std::collections::HashSet<String> =
                received.iter().filter_map(|one| Some(one.message()["id"].as_str()?.to_owned())).collect();
            before.iter().all(|id| there.contains(id))
        };
        assert!(rig.backend.wait_until(60, all_there).await, "acknowledged messages are gone\n{}", rig.log());
    }
}
