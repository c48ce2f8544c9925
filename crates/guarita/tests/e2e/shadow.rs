//! A rule in shadow mode: counted, and nothing else.

use crate::rig::{Rig, ana, has_clamd};
use guarita_testkit::payload;

const RULE: &str = "[[rule]]\nid = \"links/device-link\"\ncategory = \"phishing_link\"\nseverity = \"high\"\nshadow = true\n\
                    title = { en = \"t\", pt-BR = \"t\", es = \"t\" }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_rule_is_counted_and_decides_nothing() {
    if !has_clamd() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::create_dir(folder.path().join("links")).expect("the folder is ours");
    std::fs::write(folder.path().join("links/zz-own.toml"), RULE).expect("the folder is ours");
    let rig = Rig::start(&[("GUARITA__POLICY__RULES", &folder.path().display().to_string())]).await;
    let text = "abra https://wa.me/settings/linked_devices agora";
    rig.deliver(&payload::whatsapp(&ana(), "wamid.S1", 1, payload::text(text))).await;
    let message = rig.arrived("wamid.S1").await.message();
    assert_eq!(message["text"]["body"], text);
    assert_eq!(message["guarita"]["verdict"], "clean", "{message}");
    assert!(!message.to_string().contains("device-link"), "{message}");
    let (_, metrics) = rig.console_get("/metrics").await;
    assert!(metrics.contains("guarita_shadow_findings_total{category=\"phishing_link\"} 1"), "{metrics}");
}
