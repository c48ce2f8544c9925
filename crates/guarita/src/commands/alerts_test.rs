//! `guarita alerts test`: one try at each channel that is configured, and what came of it.

use crate::config::Settings;
use guarita_alerts::Alerts;

pub async fn alerts_test(settings: &Settings) -> u8 {
    let alerts = match Alerts::start(&settings.alerts, &settings.console.public_url) {
        Ok(alerts) => alerts,
        Err(error) => {
            eprintln!("guarita alerts test: {error}");
            return 1;
        }
    };
    let tried = alerts.test().await;
    if tried.is_empty() {
        eprintln!(
            "guarita alerts test: no channel is configured\n  mend: set [alerts.webhook], [alerts.chat], [alerts.mail] or \
             [alerts.syslog]; docs/guides/alerts.md"
        );
        return 1;
    }
    for one in &tried {
        println!("{}  {:<8} {}", if one.sent { "sent" } else { "FAIL" }, one.channel, one.detail);
    }
    u8::from(tried.iter().any(|one| !one.sent))
}
