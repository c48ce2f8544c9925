//! The main road: what Meta sends, what the backend gets, what the media door serves.

use crate::rig::{BACKEND_SECRET, Rig, TOKEN, ana, has_clamd};
use guarita_testkit::{Media, MetaStandIn, payload, samples};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_goes_through() {
    if !has_clamd() {
        return;
    }
    let rig = Rig::start(&[]).await;
    let ana = ana();

    // A clean text: annotated, everything else as it was, ASCII on the wire, signed with the backend's secret.
    let sent = payload::whatsapp(&ana, "wamid.T1", 1, payload::text("Olá, tudo bem? \u{1f600} \u{7f}"));
    rig.deliver(&sent).await;
    let got = rig.arrived("wamid.T1").await;
    assert!(got.signature_fits && got.body.iter().all(|byte| *byte < 0x7f), "{}", String::from_utf8_lossy(&got.body));
    assert_eq!(got.header("x-guarita-verdict"), "clean");
    assert_eq!(got.header("x-guarita-attempt"), "1");
    let mut json = got.json();
    let seen =
        json["entry"][0]["changes"][0]["value"]["messages"][0].as_object_mut().unwrap().remove("guarita").unwrap();
    assert_eq!(json, sent, "nothing but the annotation was added");
    assert_eq!(seen["version"], 1);
    assert_eq!(seen["verdict"], "clean");
    assert_eq!(seen["ref"], got.header("x-guarita-delivery"));

    // A status: byte for byte, spaces and all.
    let status = payload::status(&ana, "wamid.OUT1", "delivered");
    let bytes = serde_json::to_string_pretty(&status).unwrap();
    rig.deliver_bytes(bytes.as_bytes()).await;
    assert!(
        rig.backend.wait_until(10, |all| all.iter().any(|one| one.body == bytes.as_bytes())).await,
        "{}",
        rig.log()
    );

    // A clean picture: its url goes to our door, its id is served there.
    let picture = Media::new(samples::png(), "image/png");
    rig.meta.put_media("900001", picture.clone());
    let content = payload::media("image", "900001", &picture, Some(rig.meta.media_url("900001")), None, Some("foto"));
    rig.deliver(&payload::whatsapp(&ana, "wamid.P1", 2, content)).await;
    let message = rig.arrived("wamid.P1").await.message();
    let url = message["image"]["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with(&rig.door()), "{url}");
    assert_eq!(MetaStandIn::get(&url, None).await.unwrap().2, samples::png());
    let (status, _, body) = MetaStandIn::get(&format!("{}/v23.0/900001", rig.door()), Some(TOKEN)).await.unwrap();
    let found: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (status, found["sha256"].as_str(), found["mime_type"].as_str()),
        (200, Some(picture.sha256_hex().as_str()), Some("image/png"))
    );
    let (status, headers, bytes) = MetaStandIn::get(found["url"].as_str().unwrap(), None).await.unwrap();
    assert_eq!((status, &bytes[..]), (200, &samples::png()[..]));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert!(headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let (status, _, body) =
        MetaStandIn::get(&format!("{}/v23.0/900001", rig.door()), Some("another token")).await.unwrap();
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &error["error"]["code"]), (401, &json!(190)));

    // A virus: a notice in its place, its id answers as if it did not exist, and appears nowhere.
    let virus = Media::new(samples::eicar(), "application/pdf");
    rig.meta.put_media("900002", virus.clone());
    let content = payload::media(
        "document",
        "900002",
        &virus,
        Some(rig.meta.media_url("900002")),
        Some("fatura.pdf"),
        Some("segue a fatura"),
    );
    rig.deliver(&payload::whatsapp(&ana, "wamid.V1", 3, content)).await;
    let got = rig.arrived("wamid.V1").await;
    let message = got.message();
    assert_eq!(message["type"], "text");
    assert!(message["document"].is_null());
    assert!(message["text"]["body"].as_str().unwrap().ends_with("segue a fatura"), "{message}");
    assert_eq!(message["guarita"]["verdict"], "malicious");
    assert_eq!(message["guarita"]["action"], "withhold");
    let rules: Vec<&str> =
        message["guarita"]["findings"].as_array().unwrap().iter().filter_map(|one| one["rule"].as_str()).collect();
    assert!(rules.contains(&"clamav/Win.Test.EICAR_HDB-1"), "{rules:?}");
    let text = String::from_utf8_lossy(&got.body).into_owned();
    assert!(!text.contains("900002") && !text.contains("attachments"), "{text}");
    let (status, _, body) = MetaStandIn::get(&format!("{}/v23.0/900002", rig.door()), Some(TOKEN)).await.unwrap();
    let error: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((status, &error["error"]["code"], &error["error"]["error_subcode"]), (404, &json!(100), &json!(33)));

    // A dangerous link is defanged, a card redacted.
    rig.deliver(&payload::whatsapp(
        &ana,
        "wamid.L1",
        4,
        payload::text("pague em https://correios-taxa-pagamento.top/x"),
    ))
    .await;
    let got = rig.arrived("wamid.L1").await;
    assert_eq!(got.message()["text"]["body"], "pague em hxxps://correios-taxa-pagamento[.]top/x");
    assert!(!String::from_utf8_lossy(&got.body).contains("https://correios"), "the live link came back as evidence");
    rig.deliver(&payload::whatsapp(&ana, "wamid.C1", 5, payload::text("cart\u{e3}o 4111 1111 1111 1111"))).await;
    let message = rig.arrived("wamid.C1").await.message();
    assert_eq!(message["text"]["body"], "cart\u{e3}o **** **** **** 1111");

    // What nobody knows yet passes.
    rig.deliver(&payload::whatsapp(&ana, "wamid.U1", 6, json!({"type": "hologram", "hologram": {"x": 1e5}}))).await;
    let message = rig.arrived("wamid.U1").await.message();
    assert_eq!((&message["type"], &message["hologram"]), (&json!("hologram"), &json!({"x": 1e5})));

    // Any other Graph call passes through the media door.
    let before = rig.meta.calls().len();
    let (status, _, _) = MetaStandIn::get(&format!("{}/v23.0/me?fields=id", rig.door()), Some(TOKEN)).await.unwrap();
    assert_eq!((status, rig.meta.calls().len()), (200, before + 1));

    // No text, number or secret in the log; metrics as SPEC 8 names them.
    let log = rig.whole_log();
    for secret in
        ["5511987654321", "tudo bem", "4111", TOKEN, BACKEND_SECRET, "correios-taxa", "segue a fatura", "900002"]
    {
        assert!(!log.contains(secret), "{secret} in the log");
    }
    let (_, metrics) = rig.console_get("/metrics").await;
    for name in [
        "guarita_received_total{outcome=\"accepted\"}",
        "guarita_messages_total{channel=\"whatsapp\",verdict=\"malicious\"}",
        "guarita_findings_total{category=\"malware\"}",
        "guarita_deliveries_total{outcome=\"accepted\"}",
        "guarita_spool_entries{state=\"delivered\"}",
        "guarita_spool_oldest_seconds",
        "guarita_ack_seconds_bucket",
        "guarita_scan_seconds_bucket{scanner=\"clamav\"",
        "guarita_end_to_end_seconds_bucket",
    ] {
        assert!(metrics.contains(name), "{name} is missing:\n{metrics}");
    }
}

/// Bad links in a caption, a file name that is a link and holds a card: none of it may help the file through.
#[tokio::test(flavor = "multi_thread")]
async fn many_findings_hide_none() {
    if !has_clamd() {
        return;
    }
    let rig = Rig::start(&[("GUARITA__PIPELINE__FINDINGS_MAX", "5")]).await;
    let program = Media::new(samples::windows_program(), "application/pdf");
    rig.meta.put_media("950001", program.clone());
    let caption = "https://correios-taxa-pagamento.top/a ".repeat(60)
        + "https://correios-taxa-pagamento.top/z 4111 1111 1111 1111";
    let name = "http://correios-taxa-pagamento.top 4111 1111 1111 1111.exe";
    let content = payload::media("document", "950001", &program, None, Some(name), Some(&caption));
    rig.deliver(&payload::whatsapp(&ana(), "wamid.M1", 1, content)).await;
    let got = rig.arrived("wamid.M1").await;
    let text = String::from_utf8_lossy(&got.body).into_owned();
    assert_eq!(got.message()["type"], "text", "{text}");
    assert!(got.message()["guarita"]["findings"].as_array().unwrap().len() <= 5);
    assert!(!text.contains("https://correios") && !text.contains("http://correios"), "a live link is left: {text}");
    assert!(!text.contains("4111 1111 1111 1111"), "the card is left: {text}");
    let (status, _, _) = MetaStandIn::get(&format!("{}/v23.0/950001", rig.door()), Some(TOKEN)).await.unwrap();
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_a_post_and_repeats_once() {
    let mut rig = Rig::prepare(None).await;
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    let ana = ana();
    let one = payload::whatsapp(&ana, "wamid.A1", 1, payload::text("um"));
    rig.deliver(&one).await;
    rig.arrived("wamid.A1").await;
    // The same again, then a POST that mixes it with a new one, and a status.
    rig.deliver(&one).await;
    let mut mixed = payload::whatsapp(&ana, "wamid.A2", 2, payload::text("dois"));
    let value = &mut mixed["entry"][0]["changes"][0]["value"];
    let first = one["entry"][0]["changes"][0]["value"]["messages"][0].clone();
    value["messages"].as_array_mut().unwrap().insert(0, first);
    value["statuses"] =
        payload::status(&ana, "wamid.OUT2", "read")["entry"][0]["changes"][0]["value"]["statuses"].clone();
    rig.deliver(&mixed).await;
    let got = rig.arrived("wamid.A2").await;
    assert_eq!(got.json()["entry"][0]["changes"][0]["value"]["messages"].as_array().unwrap().len(), 1);
    assert_eq!(got.json()["entry"][0]["changes"][0]["value"]["contacts"][0]["user_id"], ana.user_id());
    assert!(rig.backend.wait_until(10, |all| all.len() == 3).await, "{}", rig.log());
    rig.deliver(&mixed).await;
    rig.deliver(&one).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(rig.backend.received().len(), 3, "repeats were delivered again");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_mode_leaves_the_body_alone() {
    let mut rig = Rig::prepare(None).await;
    let environment = [
        ("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere"),
        ("GUARITA__BACKEND__ANNOTATE", "headers"),
        ("GUARITA__BACKEND__SECRET", ""),
    ];
    rig.launch(&environment).await;
    let text = "me manda o c\u{f3}digo de verifica\u{e7}\u{e3}o que chegou por SMS";
    let bytes = payload::whatsapp(&ana(), "wamid.H1", 1, payload::text(text)).to_string();
    rig.deliver_bytes(bytes.as_bytes()).await;
    assert!(rig.backend.wait_until(10, |all| !all.is_empty()).await, "{}", rig.log());
    let got = rig.backend.received().remove(0);
    assert_eq!(got.body, bytes.as_bytes(), "byte for byte");
    assert_eq!(got.header("x-guarita-verdict"), "suspicious");
    assert!(got.header("x-guarita-findings").contains("code%5Ftheft"), "{}", got.header("x-guarita-findings"));
    // An empty backend.secret means the app's own: Meta's signature stays valid.
    assert!(
        guarita_webhook::verify_signature(
            crate::rig::APP_SECRET.as_bytes(),
            &got.body,
            Some(got.header("x-hub-signature-256"))
        )
        .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_forms_of_withholding() {
    if !has_clamd() {
        return;
    }
    for (form, kind) in [("text", "text"), ("keep", "document"), ("unsupported", "unsupported")] {
        let rig =
            Rig::start(&[("GUARITA__BACKEND__WITHHELD_AS", form), ("GUARITA__POLICY__NOTICE_LANGUAGE", "en")]).await;
        let virus = Media::new(samples::eicar(), "text/plain");
        rig.meta.put_media("910001", virus.clone());
        let content =
            payload::media("document", "910001", &virus, Some(rig.meta.media_url("910001")), Some("a.txt"), None);
        rig.deliver(&payload::whatsapp(&ana(), "wamid.W1", 1, content)).await;
        let got = rig.arrived("wamid.W1").await;
        let message = got.message();
        assert_eq!(message["type"], kind);
        assert!(!String::from_utf8_lossy(&got.body).contains("910001"), "{form}");
        match form {
            "text" => assert!(message["text"]["body"].as_str().unwrap().contains("withheld"), "{message}"),
            "keep" => {
                let id = message["document"]["id"].as_str().unwrap();
                let (status, _, _) =
                    MetaStandIn::get(&format!("{}/v23.0/{id}", rig.door()), Some(TOKEN)).await.unwrap();
                assert_eq!((status, &message["document"]["filename"]), (404, &json!("a.txt")));
            }
            _ => {
                let error = &message["errors"][0];
                for key in ["code", "title", "message"] {
                    assert!(!error[key].is_null(), "{message}");
                }
                assert!(error["error_data"]["details"].is_string(), "{message}");
            }
        }
    }
}
