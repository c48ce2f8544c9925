//! A short link that leads to fraud, from delivery to backend.

use crate::rig::{Rig, ana, has_clamd};
use guarita_testkit::payload;
use std::io::{Read as _, Write as _};

/// Sends everyone to a bank's imitation, on a port where nobody is asked: the test needs no name server.
fn sends_to_fraud() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let port = listener.local_addr().expect("it is bound").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 2048];
            let _ = stream.read(&mut head);
            let _ = stream.write_all(
                b"HTTP/1.1 301 Moved\r\nLocation: https://nubank-atualizar-cadastro.com:9000/entrar\r\nContent-Length: 0\r\n\r\n",
            );
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_link_is_judged_by_where_it_leads() {
    if !has_clamd() {
        return;
    }
    let port = sends_to_fraud();
    let own = format!("127.0.0.1:{port}");
    let rig = Rig::start(&[("GUARITA__REDIRECTS__ENABLED", "true"), ("GUARITA__REDIRECTS__OWN_HOSTS", &own)]).await;
    let text = format!("veja http://{own}/x agora");
    rig.deliver(&payload::whatsapp(&ana(), "wamid.R1", 1, payload::text(&text))).await;
    let message = rig.arrived("wamid.R1").await.message();
    let seen = &message["guarita"];
    assert_eq!(seen["verdict"], "malicious", "{message}");
    let findings = seen["findings"].as_array().expect("a list");
    let borrowed =
        findings.iter().find(|finding| finding["rule"] == "links/brand-in-host").expect("the end was judged");
    let way = format!("127[.]0[.]0[.]1[:]{port}/x › nubank-atualizar-cadastro[.]com");
    assert!(borrowed["evidence"].as_str().is_some_and(|text| text.starts_with(&way)), "{borrowed}");
    assert_eq!(message["text"]["body"], format!("veja hxxp://127[.]0[.]0[.]1:{port}/x agora"));
    assert_eq!(seen["gaps"][0]["scanner"], "redirects", "what lies behind the odd port was not seen: {seen}");
    assert!(!rig.whole_log().contains("nubank"), "a link went into the log");
}
