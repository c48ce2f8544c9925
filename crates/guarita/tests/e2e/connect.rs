//! `guarita connect`: shown first, made when asked to, taken out again.

use crate::rig::Rig;
use guarita_testkit::{SampleBackend, TelegramStandIn};

const BOT: &str = "7654321:AAE2e-bot_token";

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_goes_in_and_out_again() {
    let telegram = TelegramStandIn::start("127.0.0.1:0", BOT).await.expect("loopback");
    let mut rig = Rig::prepare(None).await;
    rig.configure(&format!(
        "[telegram]\napi_url = \"{}\"\n\
         [[routes]]\nname = \"sales\"\nmatch = {{ phone_number_id = [\"111\", \"222\"] }}\n\
         [[routes]]\nname = \"page\"\nmatch = {{ page = \"333\" }}\n\
         [[routes]]\nname = \"bot\"\nmatch = {{ path = \"/telegram\" }}\ntelegram = {{ bot_token = \"{BOT}\", secret_token = \"hush\" }}\n",
        telegram.api_url()
    ));
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    // The bot's backend as it was before, which knows its own verify token: the gateway's door stands in for it here.
    rig.meta.set_app_callback("page", "https://bot.example/webhook");
    let url = format!("http://127.0.0.1:{}", rig.public);

    let (well, said) = rig.run(&["connect", "--url", &url, "--app-id", "999"]);
    assert!(well && said.contains("Nothing was called"), "{said}");
    for part in [
        "number 111",
        "number 222",
        "object page",
        "page 333",
        "bot 7654321",
        "<verify_token>",
        "<secret_token>",
        "bot<bot_token>/setWebhook",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    for secret in [BOT, "hush", crate::rig::TOKEN, crate::rig::VERIFY, crate::rig::APP_SECRET] {
        assert!(!said.contains(secret), "{secret}: {said}");
    }
    assert_eq!(
        (rig.meta.subscriptions(), telegram.webhook()),
        (vec!["app page: https://bot.example/webhook".into()], String::new())
    );

    let (well, said) = rig.run(&["connect", "--url", &url, "--app-id", "999", "--apply"]);
    assert!(well && said.contains("before: page https://bot.example/webhook"), "{said}");
    let set = rig.meta.subscriptions();
    assert_eq!(
        set[..3],
        [
            format!("number 111: {url}/webhook"),
            format!("number 222: {url}/webhook"),
            format!("app page: {url}/webhook")
        ]
    );
    assert!(set[3].starts_with("page 333: messages,"), "{set:?}");
    assert_eq!(telegram.webhook(), format!("{url}/telegram"));

    // Out again: one number first, then all; an app's callback must have somewhere to go.
    let (well, said) = rig.run(&["connect", "--remove", "--apply", "--route", "sales"]);
    assert!(well, "{said}");
    assert_eq!(rig.meta.subscriptions().len(), 2);
    let (well, said) = rig.run(&["connect", "--remove", "--apply", "--app-id", "999"]);
    assert!(!well && said.contains("--back-to"), "{said}");
    let other = SampleBackend::start("127.0.0.1:0", "x").await.expect("loopback");
    let back = format!("{url}/webhook");
    let arguments = [
        "connect",
        "--remove",
        "--apply",
        "--app-id",
        "999",
        "--back-to",
        &back,
        "--back-verify-token",
        crate::rig::VERIFY,
    ];
    let (well, said) = rig.run(&arguments);
    assert!(well, "{said}");
    drop(other);
    assert_eq!(rig.meta.subscriptions()[0], format!("app page: {back}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_why() {
    let mut rig = Rig::prepare(None).await;
    let check = |rig: &Rig, arguments: &[&str], part: &str| {
        let (well, said) = rig.run(&[&["connect"], arguments].concat());
        assert!(!well && said.contains(part), "{arguments:?}: {said}");
    };
    check(&rig, &[], "--url is missing");
    check(&rig, &["--url", "http://gate.example"], "https://");
    check(&rig, &["--url", "https://gate.example"], "nothing to connect");
    check(&rig, &["--url", "https://gate.example", "--page", "1"], "--app-id");
    check(&rig, &["--url", "https://gate.example", "--route", "x"], "no route `x`");
    // The gateway is not up: Meta's handshake fails, and the call says so.
    let url = format!("http://127.0.0.1:{}", rig.public);
    check(&rig, &["--url", &url, "--phone-number-id", "111", "--apply"], "Callback verification failed");
    rig.launch(&[("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")]).await;
    let (well, said) = rig.run(&["connect", "--url", &url, "--phone-number-id", "111", "--apply"]);
    assert!(well, "{said}");
}
