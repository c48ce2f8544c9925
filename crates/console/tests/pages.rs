//! The pages over a real socket: who sees what, that strangers' words stay words, that forms do what they say, that
//! nothing is kept by caches. What only a browser can show is in `tests/console`.

mod common;

use common::{Answer, Console, console};
use guarita_console::seeded::{NASTY, Outcome};

/// Every page of the side bar, and of one message.
fn pages(console: &Console) -> Vec<String> {
    let mut all: Vec<String> = [
        "/",
        "/messages",
        "/quarantine",
        "/quarantine?shown=released",
        "/deliveries",
        "/rules",
        "/lists",
        "/health",
        "/account",
    ]
    .map(str::to_owned)
    .to_vec();
    all.extend(
        ["clean", "link", "virus", "nasty", "dead", "waiting"]
            .map(|what| format!("/messages/{}", console.seeded.id(what))),
    );
    all
}

async fn get(console: &Console, cookie: &str, path: &str) -> Answer {
    console.send("GET", path, &[("cookie", cookie), ("accept", "text/html")], "").await
}

async fn post(console: &Console, cookie: &str, path: &str, form: &str) -> Answer {
    let headers = [("cookie", cookie), ("content-type", "application/x-www-form-urlencoded")];
    console.send("POST", path, &headers, form.to_owned()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_page_without_a_session() {
    let console = console().await;
    for path in
        pages(&console).iter().map(String::as_str).chain(["/audit", "/people", "/audit/export", "/account/second-step"])
    {
        for cookie in ["", "guarita=", "guarita=0000", &format!("guarita={}", "0".repeat(64))] {
            let answer = get(&console, cookie, path).await;
            assert_eq!(answer.status, 303, "{path}");
            assert!(answer.header("location").starts_with("/login"), "{path}: {}", answer.header("location"));
        }
    }
    let fragment = console.send("GET", "/", &[("x-guarita-fragment", "1")], "").await;
    assert_eq!(fragment.status, 401, "a script must see that it is out");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_opens_in_each_language_with_its_headers() {
    let console = console().await;
    let (cookie, _) = console.session("admin").await;
    let mut paths = pages(&console);
    paths.extend(
        ["/audit", "/audit?verify=1", "/people", "/messages?q=a+b&verdict=malicious&from=2026-01-01&held=1"]
            .map(str::to_owned),
    );
    paths.extend(["virus", "nasty", "link"].map(|what| format!("/messages/{}/contents", console.seeded.id(what))));
    for path in &paths {
        for language in ["pt-BR", "en", "es"] {
            let answer = get(&console, &format!("{cookie}; guarita_lang={language}"), path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            assert!(answer.text().contains(&format!("<html lang=\"{language}\"")), "{path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
            assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{path}");
            assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
            for word in ["refused.", "message.", "overview.", "nav."] {
                assert!(!answer.text().contains(&format!(">{word}")), "{path} shows the key of a text: {word}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_told_in_the_reader_s_language() {
    let console = console().await;
    let (cookie, _) = console.session("viewer").await;
    for (language, title) in [("pt-BR", "Título de"), ("en", "Title of"), ("es", "Título en español de")] {
        let text = get(&console, &format!("{cookie}; guarita_lang={language}"), "/rules").await.text();
        assert!(text.contains(title), "{language}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_words_stay_words() {
    let console = console().await;
    let (cookie, _) = console.session("admin").await;
    let encoded: String = NASTY.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut paths = pages(&console);
    paths.push(format!("/messages/{}/contents", console.seeded.id("nasty")));
    paths.extend(
        ["/messages?q=", "/messages?sender=", "/messages?route=", "/rules?q=", "/?done=", "/?hours="]
            .map(|path| format!("{path}{encoded}")),
    );
    for path in paths {
        let text = get(&console, &cookie, &path).await.text();
        assert!(!text.contains("<script>alert") && !text.contains("<img src=x"), "{path}");
        // A field shows its reader's own words as they were typed; a stranger's never turn anything.
        assert!(path.contains('?') || !text.contains('\u{202e}'), "{path}: what turns text is shown, not done");
    }
    let text = console.send("GET", &format!("/login?next={encoded}"), &[], "").await.text();
    assert!(!text.contains("<script>alert"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_sees_masks_and_may_do_nothing() {
    let console = console().await;
    let (cookie, csrf) = console.session("viewer").await;
    for path in pages(&console) {
        let text = get(&console, &cookie, &path).await.text();
        for personal in ["5521912345678", "Bruno Lima", "Ana Souza", "Entregam no s"] {
            assert!(!text.contains(personal), "{path} shows {personal}");
        }
    }
    let (virus, dead) = (console.seeded.id("virus"), console.seeded.id("dead"));
    for path in [
        format!("/messages/{virus}/contents"),
        format!("/messages/{virus}/files/{}/preview", console.seeded.virus),
        "/audit".into(),
        "/audit/export".into(),
        "/people".into(),
        "/messages?sender=5521912345678".into(),
    ] {
        assert_eq!(get(&console, &cookie, &path).await.status, 403, "{path}");
    }
    let form = format!(
        "csrf={csrf}&reason=because&id={virus}&act=release&text=x&role=admin&name=eve&scope=admin&days=1&kind=domain&value=evil.example&sender=5521912345678"
    );
    for path in [
        format!("/messages/{virus}/release"),
        format!("/messages/{virus}/delete"),
        format!("/messages/{dead}/retry"),
        format!("/messages/{virus}/files/{}/download", console.seeded.virus),
        "/quarantine".into(),
        "/deliveries/replay".into(),
        "/rules/try".into(),
        "/lists".into(),
        "/lists/1/remove".into(),
        "/health/reload".into(),
        "/health/rescan".into(),
        "/health/test-alert".into(),
        "/health/erase".into(),
        "/people".into(),
        "/people/admin/reset".into(),
        "/people/viewer/change".into(),
        "/people/tokens".into(),
        "/people/tokens/1/remove".into(),
    ] {
        assert_eq!(post(&console, &cookie, &path, &form).await.status, 403, "{path}");
    }
    assert!(console.seeded.gateway.asked.lock().unwrap().is_empty(), "nothing reached the gateway");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_needs_its_session_s_token() {
    let console = console().await;
    let (cookie, _) = console.session("admin").await;
    let (_, other) = console.session("admin").await;
    let virus = console.seeded.id("virus");
    for form in ["reason=because".to_owned(), "csrf=&reason=because".into(), format!("csrf={other}&reason=because")] {
        for path in
            [format!("/messages/{virus}/release"), "/logout-all".into(), "/account/password".into(), "/people".into()]
        {
            assert_eq!(post(&console, &cookie, &path, &form).await.status, 403, "{path} {form}");
        }
    }
    let (cookie, csrf) = console.session("admin").await;
    let from_elsewhere = [
        ("cookie", cookie.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
        ("origin", "https://evil.example"),
    ];
    let answer = console
        .send("POST", &format!("/messages/{virus}/release"), &from_elsewhere, format!("csrf={csrf}&reason=because"))
        .await;
    assert_eq!(answer.status, 403);
    let page = get(&console, &cookie, &format!("/messages/{virus}")).await.text();
    assert!(page.contains("id=\"release\""), "nothing was released");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_virus_is_released_with_a_reason_and_stands_in_the_audit() {
    let console = console().await;
    let (cookie, csrf) = console.session("admin").await;
    let path = format!("/messages/{}", console.seeded.id("virus"));
    let without = post(&console, &cookie, &format!("{path}/release"), &format!("csrf={csrf}&reason=+")).await;
    assert!(without.text().contains("Say in a few words why"), "{}", without.text());
    let done = post(&console, &cookie, &format!("{path}/release"), &format!("csrf={csrf}&reason=known+to+us")).await;
    assert_eq!((done.status, done.header("location")), (303, format!("{path}?done=released").as_str()));
    let page = get(&console, &cookie, &format!("{path}?done=released")).await.text();
    assert!(page.contains("released by admin") && page.contains("Released. It goes to the backend"));
    let audit = get(&console, &cookie, "/audit").await.text();
    assert!(audit.contains("known to us") && audit.contains("released"));
    let again = post(&console, &cookie, &format!("{path}/release"), &format!("csrf={csrf}&reason=once+more")).await;
    assert!(again.text().contains("role=\"alert\""), "{}", again.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_is_an_encrypted_zip_with_a_plain_name() {
    let console = console().await;
    let (cookie, csrf) = console.session("reviewer").await;
    let (virus, hash) = (console.seeded.id("virus"), console.seeded.virus);
    let answer = post(
        &console,
        &cookie,
        &format!("/messages/{virus}/files/{hash}/download"),
        &format!("csrf={csrf}&reason=for+the+laboratory"),
    )
    .await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/zip"));
    assert!(answer.header("content-disposition").starts_with("attachment; filename=\"guarita-"));
    assert_eq!(&answer.body[..4], b"PK\x03\x04");
    assert!(!answer.body.windows(11).any(|bytes| bytes == b"not a virus"), "the bytes are under the password");
    let clean = console.seeded.id("clean");
    let elsewhere = post(
        &console,
        &cookie,
        &format!("/messages/{clean}/files/{hash}/download"),
        &format!("csrf={csrf}&reason=because"),
    )
    .await;
    assert_eq!(elsewhere.status, 404, "a hash opens nothing through another message");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_letters_and_pixels_and_nothing_that_acts() {
    let mut console = console().await;
    let hash = console.seeded.virus;
    let mut shown = Vec::new();
    for name in ["foto.png", "tudo.zip", "nota.pdf", "video.mp4"] {
        let content = serde_json::json!({"type": "document", "document": {"id": "900001", "filename": name}});
        shown.push(console.seeded.put("shown", "Ana", "551", content, Vec::new(), Outcome::Sent).await);
    }
    let (cookie, _) = console.session("reviewer").await;
    let page = async |at: usize, more: &str| {
        let answer = get(&console, &cookie, &format!("/messages/{}/files/{hash}/preview{more}", shown[at])).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
        let text = answer.text();
        assert!(!text.contains("<script>alert") && !text.contains("<img src=x") && !text.contains('\u{202e}'));
        text
    };
    assert!(page(0, "").await.contains("src=\"data:image/png;base64,iVBORw0KGgo"));
    let list = page(1, "").await;
    assert!(list.contains("Fatura_2026-11.pdf.lnk") && list.contains("class=\"d1\"") && list.contains("encrypted"));
    assert!(page(2, "").await.contains("Total: R$ 1.204,00"));
    assert!(page(3, "").await.contains("There is nothing in it that can be shown"));
    assert!(
        !page(2, "").await.contains("id=\"letter\">What came, and what was sent</h2><span"),
        "contents stay closed"
    );
    assert!(page(2, "?open=1").await.contains("This opening is in the audit"));

    let offered = get(&console, &cookie, &format!("/messages/{}", shown[0])).await.text();
    assert!(offered.contains(&format!("/messages/{}/files/{hash}/preview", shown[0])));
    let (viewer, _) = console.session("viewer").await;
    let offered = get(&console, &viewer, &format!("/messages/{}", shown[0])).await.text();
    assert!(!offered.contains("/preview"), "no way is shown to who must not");
    let answer = get(&console, &viewer, &format!("/messages/{}/files/{hash}/preview", shown[0])).await;
    assert_eq!(answer.status, 403);
    let elsewhere =
        get(&console, &cookie, &format!("/messages/{}/files/{hash}/preview", console.seeded.id("clean"))).await;
    assert_eq!(elsewhere.status, 404, "a hash shows nothing through another message");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_tried_only_after_its_token() {
    let console = console().await;
    let (cookie, csrf) = console.session("reviewer").await;
    let part = |name: &str, more: &str, value: &str| {
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"{more}\r\n\r\n{value}\r\n")
    };
    let file = part("file", "; filename=\"<b>.exe\"", "MZ");
    let headers = [("cookie", cookie.as_str()), ("content-type", "multipart/form-data; boundary=B")];
    let send = async |body: String| console.send("POST", "/rules/try-file", &headers, body + "--B--\r\n").await;
    let right = send(part("csrf", "", &csrf) + &file).await;
    assert_eq!(right.status, 200);
    assert!(right.text().contains("&lt;b&gt;.exe"), "{}", right.text());
    for body in [file.clone(), part("csrf", "", "wrong") + &file, file.clone() + &part("csrf", "", &csrf)] {
        assert_eq!(send(body).await.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn log_in_goes_on_only_to_ourselves() {
    let console = console().await;
    let password = guarita_console::seeded::Seeded::password_of("viewer");
    for (next, expect) in [
        ("/messages?q=a", "/messages?q=a"),
        ("//evil.example", "/"),
        ("https://evil.example", "/"),
        ("/login", "/"),
        ("/logout", "/"),
    ] {
        let encoded: String = next.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = post(
            &console,
            "guarita=chosen-by-somebody",
            "/login",
            &format!("name=viewer&password={password}&next={encoded}"),
        )
        .await;
        assert_eq!((answer.status, answer.header("location")), (303, expect), "{next}");
        let cookie = answer.header("set-cookie");
        assert!(
            cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && !cookie.contains("chosen-by-somebody"),
            "{cookie}"
        );
    }
    let wrong = post(&console, "", "/login", "name=viewer&password=wrong").await;
    assert_eq!(wrong.status, 403);
    assert!(!wrong.text().contains("wrong\"") && wrong.header("set-cookie").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn assets_are_kept_and_pages_are_not() {
    let console = console().await;
    let page = console.send("GET", "/login", &[], "").await;
    assert_eq!(page.header("cache-control"), "no-store");
    let address = page
        .text()
        .split("href=\"")
        .find_map(|rest| rest.split('"').next().filter(|path| path.ends_with(".css")).map(str::to_owned))
        .unwrap();
    let style = console.send("GET", &address, &[], "").await;
    assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
    assert!(style.header("cache-control").contains("immutable"));
    let again = console.send("GET", &address, &[("if-none-match", style.header("etag"))], "").await;
    assert_eq!(again.status, 304);
    for path in ["/assets/x/../../../etc/passwd", "/assets/x/%2e%2e%2fCargo.toml", "/assets/x/y"] {
        assert_ne!(console.send("GET", path, &[], "").await.status, 200, "{path}");
    }
}

/// What is refused is refused in the reader's language: no English sentence on a Portuguese page.
#[tokio::test(flavor = "multi_thread")]
async fn errors_speak_the_reader_s_language() {
    let console = console().await;
    let (cookie, csrf) = console.session("admin").await;
    let id = |what: &str| console.seeded.id(what);
    for (path, form) in [
        (format!("/messages/{}/release", id("virus")), "reason=+"),
        (format!("/messages/{}/release", id("clean")), "reason=because"),
        (format!("/messages/{}/delete", id("waiting")), "reason=because"),
        (format!("/messages/{}/retry", id("clean")), "reason=because"),
        ("/lists".into(), "side=allow&kind=hash&value=abc&reason=because"),
        ("/lists".into(), "side=allow&kind=domain&value=https://a.b/c&reason=because"),
        ("/lists".into(), "side=allow&kind=domain&value=&reason=because"),
        ("/lists".into(), "side=allow&kind=rule&value=x&reason=because"),
        ("/lists".into(), "side=deny&kind=sender&value=551&reason=because"),
        ("/lists".into(), "side=allow&kind=rule&value=a/b&covers_malware=1&reason=because"),
        ("/lists".into(), "side=allow&kind=rule&value=a/b&days=99999&reason=because"),
        ("/people".into(), "name=a+b&role=viewer"),
        ("/people".into(), "name=viewer&role=viewer"),
        ("/people/admin/change".into(), "role=viewer"),
        ("/people/tokens".into(), "name=x&days=30"),
        ("/people/tokens".into(), "name=x&days=0&scope=read"),
        ("/account/password".into(), "old=x&new=short"),
        ("/health/erase".into(), "sender=&reason=because"),
        ("/quarantine".into(), "act=release&reason=because"),
        ("/rules/try".into(), "text="),
    ] {
        let mut said = Vec::new();
        for language in ["en", "pt-BR", "es"] {
            let cookie = format!("{cookie}; guarita_lang={language}");
            let answer = post(&console, &cookie, &path, &format!("csrf={csrf}&{form}")).await;
            let page = answer.text();
            let alert = page.split("role=\"alert\"").nth(1).or_else(|| page.split("class=\"problem\"").nth(1));
            let alert = alert.unwrap_or_else(|| panic!("{path} {form}: {page}")).split("</div>").next().unwrap();
            said.push(alert.to_owned());
        }
        assert!(said[0] != said[1] && said[0] != said[2], "{path} {form}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_answered_and_nothing_falls_over() {
    let console = console().await;
    let (cookie, csrf) = console.session("admin").await;
    for path in [
        "/messages?before=x",
        "/messages?before=00000000000000000000000000",
        "/messages?from=-1&until=99999999999999999999",
        "/messages?q=%ff%00%0d%0a",
        "/messages?q=a+b+c+d+e+f+g+h+i+j+k",
        "/messages/x",
        "/messages/%00",
        "/messages/00000000000000000000000000/contents",
        "/quarantine?before=%",
        "/audit?before=-1",
        "/audit?before=18446744073709551615",
        "/rules?category=%3Cb%3E",
        "/nowhere",
        "/setup/x",
        "/login/code",
        "/?hours=99999999999999",
    ] {
        let answer = get(&console, &cookie, path).await;
        assert!(answer.status < 500, "{path}: {}", answer.status);
    }
    for (path, form) in [
        ("/lists/9223372036854775808/remove", ""),
        ("/lists", "kind=x"),
        ("/people", "role=x"),
        ("/people", "name=%00&role=viewer"),
        ("/people/tokens", "name=x&days=0"),
        ("/quarantine", "act=x&id=x&reason=because"),
        ("/deliveries/replay", "from=x&reason=because"),
        ("/rules/try", "text="),
        ("/account/preferences", "lang=x&theme=x"),
        ("/health/erase", "sender=&reason=because"),
        ("/account/second-step", "code=x"),
    ] {
        let answer = post(&console, &cookie, path, &format!("csrf={csrf}&{form}")).await;
        assert!(answer.status < 500, "{path} {form}: {}", answer.status);
    }
    let large = post(&console, &cookie, "/rules/try", &format!("csrf={csrf}&text={}", "a".repeat(300 * 1024))).await;
    assert_eq!(large.status, 413);
}
