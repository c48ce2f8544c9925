//! How an alert is written for each channel. Pure.

use crate::{Alert, ChatFormat, time::rfc3339};
use guarita_message::Language;
use serde_json::{Value, json};

/// For a program: every field by itself.
pub(super) fn webhook(alert: &Alert, language: Language, console: &str) -> String {
    let ids: Vec<Value> = alert
        .ids
        .iter()
        .map(|id| match console.is_empty() {
            true => json!({"id": id}),
            false => json!({"id": id, "url": crate::alert::message_link(console, id)}),
        })
        .collect();
    json!({
        "event": "guarita.alert", "version": 1, "kind": alert.kind, "phase": alert.phase,
        "title": alert.title(language), "detail": alert.detail, "subject": alert.subject, "count": alert.count,
        "deliveries": ids, "since": rfc3339(alert.since), "at": rfc3339(alert.at), "console": console,
    })
    .to_string()
}

pub(super) fn chat(format: ChatFormat, alert: &Alert, language: Language, console: &str) -> String {
    let (title, lines) = (alert.title(language), alert.lines(console));
    let body = match format {
        // Escaped as Slack asks; ids and links hold none of these characters, a detail might.
        ChatFormat::Slack => {
            let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let lines: String = lines.iter().map(|line| format!("\n{}", escape(line))).collect();
            json!({"text": format!("*{}*{lines}", escape(&title))})
        }
        ChatFormat::Teams => {
            let mut blocks = vec![json!({"type": "TextBlock", "text": title, "weight": "Bolder", "wrap": true})];
            blocks.extend(lines.iter().map(|line| json!({"type": "TextBlock", "text": line, "wrap": true})));
            json!({"type": "message", "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null,
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard",
                    "version": "1.4", "body": blocks,
                },
            }]})
        }
    };
    body.to_string()
}

/// For a person: the title, what was seen, where to look.
pub(super) fn text(alert: &Alert, language: Language, console: &str) -> String {
    let mut text = alert.title(language);
    for line in alert.lines(console) {
        text.push('\n');
        text.push_str(&line);
    }
    text.push_str(&format!("\n\n{} · {}\n", alert.kind.as_str(), rfc3339(alert.since)));
    text
}

/// One line.
pub(super) fn syslog(alert: &Alert, language: Language, console: &str) -> String {
    let mut line = format!("{} kind={} count={}", alert.title(language), alert.kind.as_str(), alert.count);
    if !alert.ids.is_empty() {
        line = format!("{line} deliveries={}", alert.ids.join(","));
    }
    if !alert.detail.is_empty() {
        line = format!("{line} detail=\"{}\"", alert.detail.replace(['"', '\n', '\r'], "'"));
    }
    if !console.is_empty() {
        line = format!("{line} console={console}");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Phase};

    fn alert() -> Alert {
        Alert {
            kind: Kind::MalwareHeld,
            phase: Phase::Raised,
            subject: String::new(),
            count: 7,
            ids: vec!["01ABC".into(), "01DEF".into()],
            detail: "category <malware>".into(),
            since: 1_795_344_171_042,
            at: 1_795_344_172_042,
        }
    }

    #[test]
    fn each_channel_reads_well() {
        let console = "https://guarita.example.com/";
        let value: Value = serde_json::from_str(&webhook(&alert(), Language::English, console)).unwrap();
        assert_eq!(value["kind"], "malware_held");
        assert_eq!(value["phase"], "raised");
        assert_eq!(value["count"], 7);
        assert_eq!(value["deliveries"][1]["url"], "https://guarita.example.com/messages/01DEF");
        assert_eq!(value["since"], "2026-11-22T10:42:51.042Z");
        let slack: Value =
            serde_json::from_str(&chat(ChatFormat::Slack, &alert(), Language::Portuguese, console)).unwrap();
        assert_eq!(
            slack["text"],
            "*Arquivo malicioso retido × 7*\ncategory &lt;malware&gt;\nhttps://guarita.example.com/messages/01ABC\n\
             https://guarita.example.com/messages/01DEF\n… + 5"
        );
        let teams: Value = serde_json::from_str(&chat(ChatFormat::Teams, &alert(), Language::Spanish, "")).unwrap();
        assert_eq!(teams["attachments"][0]["content"]["type"], "AdaptiveCard");
        assert_eq!(teams["attachments"][0]["content"]["body"][2]["text"], "01ABC");
        let line = syslog(&alert(), Language::English, "");
        assert_eq!(
            line,
            "Malware held × 7 kind=malware_held count=7 deliveries=01ABC,01DEF detail=\"category <malware>\""
        );
        let over = Alert { phase: Phase::Recovered, subject: "vendas".into(), count: 1, ids: Vec::new(), ..alert() };
        assert_eq!(over.title(Language::English), "Recovered: Malware held (vendas)");
    }
}
