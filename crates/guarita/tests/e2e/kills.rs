//! `kill -9` of whoever looks at files, again and again, while files come in: each is looked at in the end, the good ones
//! are clean, the bad ones withheld, and none is called clean unseen.

use crate::rig::{Rig, ana, has_clamd};
use guarita_testkit::{Media, payload, samples};
use std::{process::Command, time::Duration};

const FILES: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn clamd_and_workers_killed_in_a_loop() {
    if !has_clamd() {
        return;
    }
    let rig = Rig::start(&[]).await;
    let gateway = rig.pid().to_string();
    for number in 0..FILES {
        let bad = number % 3 == 2;
        let file = if bad {
            Media::new(samples::eicar(), "text/plain")
        } else {
            Media::new(samples::pdf(&format!("arquivo {number}")), "application/pdf")
        };
        let media = format!("96000{number}");
        rig.meta.put_media(&media, file.clone());
        let content = payload::media("document", &media, &file, None, Some("a.pdf"), None);
        rig.deliver(&payload::whatsapp(&ana(), &format!("wamid.Z{number}"), 1, content)).await;
        // Each its turn, and sometimes both.
        if number % 2 == 0 {
            let _ = Command::new("pkill").args(["-KILL", "-P", &gateway, "clamd"]).status();
        }
        if number % 3 != 0 {
            let _ = Command::new("pkill").args(["-KILL", "-P", &gateway, "-f", "file-worker"]).status();
        }
        tokio::time::sleep(Duration::from_millis(60)).await;
    }
    for number in 0..FILES {
        let message = rig.arrived(&format!("wamid.Z{number}")).await.message();
        let seen = &message["guarita"];
        if number % 3 == 2 {
            assert_eq!((&seen["verdict"], &message["type"]), (&"malicious".into(), &"text".into()), "{message}");
        } else {
            assert_eq!(seen["verdict"], "clean", "{message}");
            assert_eq!(seen["files"][0]["scanned_by"].as_array().map(Vec::len), Some(2), "{message}");
        }
    }
}
