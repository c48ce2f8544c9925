//! What a reviewer sees of a file: made by the real locked worker, of a file that was fetched, held and asked for; and the
//! worker's rules, read anew while it runs.

use crate::rig::{Rig, ana, has_clamd};
use guarita_testkit::{Media, payload, samples};
use serde_json::{Value, json};

async fn preview(rig: &Rig, token: &str, media: &str, message: &str, file: Media) -> Value {
    let hash = file.sha256_hex();
    rig.meta.put_media(media, file.clone());
    let content = payload::media("document", media, &file, None, Some("anexo"), None);
    rig.deliver(&payload::whatsapp(&ana(), message, 1, content)).await;
    let id = rig.arrived(message).await.header("x-guarita-delivery").to_owned();
    let (status, shown) = rig.api(token, "GET", &format!("/messages/{id}/files/{hash}/preview"), &Value::Null).await;
    assert_eq!(status, 200, "{shown}");
    shown
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_drawn_in_the_locked_room() {
    if !has_clamd() {
        return;
    }
    let rig = Rig::start(&[]).await;
    let token = rig.token("read,content");
    let picture = preview(&rig, &token, "950001", "wamid.P1", Media::new(samples::png(), "image/png")).await;
    assert_eq!((&picture["type"], &picture["shown"]["kind"]), (&json!("image/png"), &json!("picture")));
    assert_eq!((&picture["shown"]["width"], &picture["shown"]["height"]), (&json!(2), &json!(2)));
    assert!(picture["shown"]["png"].as_str().unwrap().starts_with("iVBORw0KGgo"));
    let bill = Media::new(samples::pdf("Boleto de novembro"), "application/pdf");
    let text = preview(&rig, &token, "950002", "wamid.P2", bill).await;
    assert_eq!(text["shown"], json!({"kind": "text", "text": "Boleto de novembro\n", "cut": false}));
    // A withheld program is shown no more than it can be: there is nothing to see in it.
    let program = Media::new(samples::windows_program(), "application/pdf");
    let nothing = preview(&rig, &token, "950003", "wamid.P3", program).await;
    assert_eq!(nothing["shown"], json!({"kind": "nothing", "why": "unsupported"}));
}

const RULE: &str = "rule own_word { meta: category = \"spam\" severity = \"medium\" title = \"t\" \
                    strings: $a = \"palavra-proibida\" condition: $a }\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_gives_the_workers_their_new_rules() {
    if !has_clamd() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = folder.path().join("yara");
    std::fs::create_dir(&own).expect("the folder is ours");
    let rig = Rig::start(&[("GUARITA__POLICY__RULES", &folder.path().display().to_string())]).await;
    let token = rig.token("read,content,review,admin");
    let send = async |media: &str, message: &str, text: &str| {
        let file = Media::new(text.as_bytes().to_vec(), "text/plain");
        rig.meta.put_media(media, file.clone());
        let content = payload::media("document", media, &file, None, Some("nota.txt"), None);
        rig.deliver(&payload::whatsapp(&ana(), message, 1, content)).await;
        rig.arrived(message).await.message()["guarita"]["findings"].to_string()
    };
    let text = "uma palavra-proibida aqui";
    assert!(!send("960001", "wamid.Y1", text).await.contains("own_word"));

    std::fs::write(own.join("own.yar"), "rule broken {").expect("the folder is ours");
    let (status, said) = rig.api(&token, "POST", "/reload", &Value::Null).await;
    assert!(status == 409 && said["detail"].as_str().unwrap().contains("own.yar"), "{said}");
    assert!(!send("960002", "wamid.Y2", text).await.contains("crashed"), "the workers that stand go on");

    std::fs::write(own.join("own.yar"), RULE).expect("the folder is ours");
    let (status, said) = rig.api(&token, "POST", "/reload", &Value::Null).await;
    assert_eq!(status, 200, "{said}");
    assert!(said.to_string().contains("file workers take the new rules"), "{said}");
    // The same content again: what was remembered of it belongs to the rules before.
    let findings = send("960003", "wamid.Y3", text).await;
    assert!(findings.contains("own_word"), "{findings}");
    let (_, said) = rig.api(&token, "POST", "/reload", &Value::Null).await;
    assert!(!said.to_string().contains("file workers"), "nothing changed: {said}");
}
