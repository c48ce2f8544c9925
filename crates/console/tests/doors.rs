//! The ways in, as a browser walks them and as an attacker tries them: on a real socket, with forms and cookies.

mod common;

use common::{Answer, Console, console, console_with};
use guarita_console::{
    Actor, Config, Role,
    people::code_now,
    seeded::{NASTY, Seeded},
};

impl Console {
    async fn get(&self, path: &str, cookie: &str) -> Answer {
        self.send("GET", path, &[("cookie", cookie), ("accept", "text/html")], "").await
    }

    async fn post(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
        let body: String = form(fields);
        let headers =
            [("cookie", cookie), ("content-type", "application/x-www-form-urlencoded"), ("origin", &self.base)];
        self.send("POST", path, &headers, body).await
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { (byte as char).to_string() } else { format!("%{byte:02X}") })
            .collect()
    };
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

/// The session cookie that an answer sets; empty: none.
fn cookie_of(answer: &Answer) -> String {
    let all = answer.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    let mut ours = all.filter(|value| value.starts_with("guarita=") || value.starts_with("__Host-guarita="));
    ours.next_back().and_then(|value| value.split(';').next()).unwrap_or_default().to_owned()
}

/// The token in a page's form.
fn csrf_in(answer: &Answer) -> String {
    let text = answer.text();
    let at = text.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("no token in {text}"));
    at.split('"').next().unwrap_or_default().to_owned()
}

fn now_ms() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_user_comes_in_by_the_link_and_sets_a_second_step_up() {
    let console = console_with(Config::default()).await;
    // There are people already: no link makes a first admin any more.
    assert!(console.seeded.desk.people().first_link().await.unwrap().is_none());
    let secret = console.seeded.desk.add_user(&Actor::local("t"), "dora", Role::Reviewer).await.unwrap();
    let path = format!("/setup/{secret}");
    assert!(console.get(&path, "").await.text().contains("dora"));
    let short = console.post(&path, "", &[("name", "dora"), ("password", "short")]).await;
    assert_eq!((short.status, cookie_of(&short).as_str()), (422, ""));
    let password = "quatro palavras bem longas";
    let chosen = console.post(&path, "", &[("name", "admin"), ("password", password)]).await;
    assert_eq!((chosen.status, chosen.header("location")), (303, "/account/second-step"));
    let half = cookie_of(&chosen);
    assert_eq!(console.post(&path, "", &[("password", password)]).await.status, 404, "a link works once");
    assert_eq!(console.get(&path, "").await.status, 404);

    // Half way in nothing else opens.
    for page in ["/", "/messages", "/people", "/audit"] {
        assert_eq!(console.get(page, &half).await.header("location"), "/account/second-step", "{page}");
    }
    assert_eq!(console.send("GET", "/api/v1/overview", &[("cookie", half.as_str())], "").await.status, 401);

    let offer = console.get("/account/second-step", &half).await;
    assert!(offer.text().contains("<svg"), "{}", offer.text());
    let csrf = csrf_in(&offer);
    let secret = offer
        .text()
        .split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != ' ')
        .map(|word| word.replace(' ', ""))
        .find(|word| word.len() == 32 && code_now(word, 0).is_some())
        .expect("the secret is shown for those who cannot scan");
    let code = code_now(&secret, now_ms()).expect("it is base 32");
    let without = console.post("/account/second-step", &half, &[("code", code.as_str())]).await;
    assert_eq!(without.status, 403, "without the page's token");
    let confirmed =
        console.post("/account/second-step", &half, &[("csrf", csrf.as_str()), ("code", code.as_str())]).await;
    assert_eq!(confirmed.status, 200, "{}", confirmed.text());
    let inside = cookie_of(&confirmed);
    assert_ne!(inside, half, "the secret changes with what it opens");
    assert_eq!(console.get("/", &inside).await.status, 200);
    assert_eq!(console.get("/", &half).await.header("location"), "/login", "the half-way session is over");

    // The next time: the password, then a code; the one that was used is worth nothing.
    let first = console.post("/login", "", &[("name", "dora"), ("password", password), ("next", "/quarantine")]).await;
    assert!(first.header("location").starts_with("/login/code"), "{}", first.header("location"));
    let half = cookie_of(&first);
    let page = console.get("/login/code", &half).await;
    let csrf = csrf_in(&page);
    let again = console.post("/login/code", &half, &[("csrf", csrf.as_str()), ("code", code.as_str())]).await;
    assert_eq!((again.status, cookie_of(&again).as_str()), (403, ""), "a code works once");
    let later = code_now(&secret, now_ms() + 30_000).expect("it is base 32");
    let fields = [("csrf", csrf.as_str()), ("code", later.as_str()), ("next", "/quarantine")];
    let inside = console.post("/login/code", &half, &fields).await;
    assert_eq!((inside.status, inside.header("location")), (303, "/quarantine"), "{}", inside.text());
    assert_eq!(console.get("/quarantine", &cookie_of(&inside)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_never_the_visitors_own() {
    let console = console().await;
    let brought = format!("guarita={}", "a".repeat(64));
    let password = Seeded::password_of("viewer");
    let fields = [("name", "viewer"), ("password", password.as_str()), ("next", "//evil.example")];
    let answer = console.post("/login", &brought, &fields).await;
    assert_eq!((answer.status, answer.header("location")), (303, "/"), "nobody is sent elsewhere");
    let cookie = cookie_of(&answer);
    assert!(cookie.len() > 40 && cookie != brought);
    let set = answer.header("set-cookie");
    for flag in ["HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(set.contains(flag), "{set}");
    }
    assert_eq!(console.get("/", &brought).await.header("location"), "/login");

    // A page of another site sends the same form.
    let body = form(&fields);
    let kind = ("content-type", "application/x-www-form-urlencoded");
    for foreign in [("origin", "http://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let answer = console.send("POST", "/login", &[kind, foreign], body.clone()).await;
        assert_eq!((answer.status, cookie_of(&answer).as_str()), (403, ""), "{foreign:?}");
    }

    // Out is out, and only by a form of one's own.
    let csrf = csrf_in(&console.get("/account", &cookie).await);
    console.post("/logout", &cookie, &[("csrf", "x")]).await;
    assert_eq!(console.get("/", &cookie).await.status, 200);
    let out = console.post("/logout", &cookie, &[("csrf", csrf.as_str())]).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"));
    assert_eq!(console.get("/", &cookie).await.header("location"), "/login");
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_gets_slower() {
    let console = console().await;
    let guess =
        async |name: &str| console.post("/login", "", &[("name", name), ("password", "wrong wrong wrong")]).await;
    for _ in 0..4 {
        assert_eq!(guess("admin").await.status, 403);
    }
    assert_eq!(guess("admin").await.status, 429);
    let password = Seeded::password_of("admin");
    let right = console.post("/login", "", &[("name", "admin"), ("password", password.as_str())]).await;
    assert_eq!((right.status, cookie_of(&right).as_str()), (429, ""), "a right guess does not show either");
    // One that does not exist looks the same.
    for _ in 0..4 {
        assert_eq!(guess("nobody").await.status, 403);
    }
    assert_eq!(guess("nobody").await.status, 429);
}

/// Each page for each role, and every form of a role that may not.
#[tokio::test(flavor = "multi_thread")]
async fn roles_open_what_is_theirs() {
    let console = console().await;
    let virus = console.seeded.id("virus");
    let (viewer, viewer_csrf) = console.session("viewer").await;
    let (reviewer, reviewer_csrf) = console.session("reviewer").await;
    let (admin, _) = console.session("admin").await;
    for (path, viewer_may, reviewer_may) in [
        ("/".to_owned(), true, true),
        ("/messages".into(), true, true),
        (format!("/messages/{virus}"), true, true),
        (format!("/messages/{virus}/contents"), false, true),
        ("/quarantine".into(), true, true),
        ("/deliveries".into(), true, true),
        ("/rules".into(), true, true),
        ("/lists".into(), true, true),
        ("/health".into(), true, true),
        ("/audit".into(), false, false),
        ("/audit/export".into(), false, false),
        ("/people".into(), false, false),
    ] {
        for (cookie, may) in [(&viewer, viewer_may), (&reviewer, reviewer_may), (&admin, true)] {
            let answer = console.get(&path, cookie).await;
            assert_eq!(answer.status, if may { 200 } else { 403 }, "{path}");
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
            assert_eq!(answer.header("x-frame-options"), "DENY");
        }
        assert_eq!(console.get(&path, "").await.status, 303, "{path}: nobody is led to the log-in");
    }
    let because = |csrf: &'static str| vec![("reason", "because"), ("csrf", csrf)];
    let viewer_csrf: &'static str = viewer_csrf.leak();
    let reviewer_csrf: &'static str = reviewer_csrf.leak();
    for path in [
        format!("/messages/{virus}/release"),
        format!("/messages/{virus}/delete"),
        format!("/messages/{virus}/files/{}/download", console.seeded.virus),
        format!("/messages/{}/retry", console.seeded.id("dead")),
        "/deliveries/replay".into(),
        "/health/erase".into(),
        "/health/rescan".into(),
        "/people/viewer/reset".into(),
    ] {
        let answer = console.post(&path, &viewer, &because(viewer_csrf)).await;
        assert!(matches!(answer.status, 403 | 422), "{path}: {}", answer.status);
        // Another's token opens nothing, nor does none at all.
        for csrf in [reviewer_csrf, ""] {
            assert_eq!(console.post(&path, &viewer, &because(csrf)).await.status, 403, "{path}");
        }
    }
    assert_eq!(console.post("/people/viewer/reset", &reviewer, &because(reviewer_csrf)).await.status, 403);
    let rows = console.seeded.desk.audit(&Actor::local("t"), None, 200).await.unwrap().items;
    let acts = ["released", "deleted", "downloaded", "retried", "replayed", "erased_sender", "rescanned", "reset_user"];
    assert!(!rows.iter().any(|row| acts.contains(&row.action.as_str())), "something was done all the same");
}

/// What a hostile sender writes stands nowhere as markup.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_sent_becomes_markup() {
    let console = console().await;
    let (admin, _) = console.session("admin").await;
    let nasty = console.seeded.id("nasty");
    assert!(NASTY.contains("<script>") && NASTY.contains("onerror"));
    for path in [
        "/".to_owned(),
        "/messages".into(),
        format!("/messages/{nasty}"),
        format!("/messages/{nasty}/contents"),
        "/audit".into(),
    ] {
        let text = console.get(&path, &admin).await.text();
        assert!(!text.contains("<script>alert") && !text.contains("<img src=x"), "{path}");
    }
    for query in
        ["q=%3Cscript%3Ealert(1)%3C/script%3E", "sender=%22%3E%3Cimg%20src=x%3E", "done=%3Cb%3E", "cursor=%3Cb%3E"]
    {
        let text = console.get(&format!("/messages?{query}"), &admin).await.text();
        assert!(!text.contains("<script>alert") && !text.contains("<img src=x") && !text.contains("<b>"), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_believed_only_if_named() {
    let proxied = Config {
        second_step: false,
        proxy_user_header: "x-user".into(),
        proxy_addresses: vec!["127.0.0.1".parse().expect("an address")],
        ..Config::default()
    };
    let console = console_with(proxied).await;
    let headers = [("x-user", "viewer"), ("x-forwarded-proto", "https"), ("accept", "text/html")];
    let answer = console.send("GET", "/", &headers, "").await;
    assert_eq!(answer.status, 200, "the proxy's word is enough");
    assert!(answer.header("strict-transport-security").starts_with("max-age"));
    let unknown = [("x-user", "nobody"), ("accept", "text/html")];
    assert_eq!(console.send("GET", "/", &unknown, "").await.header("location"), "/login");
    let password = Seeded::password_of("viewer");
    let body = form(&[("name", "viewer"), ("password", password.as_str())]);
    let kind = ("content-type", "application/x-www-form-urlencoded");
    let answer = console.send("POST", "/login", &[kind, ("x-forwarded-proto", "https")], body).await;
    let set = answer.header("set-cookie");
    assert!(set.starts_with("__Host-guarita=") && set.contains("; Secure"), "{set}");

    let plain = common::console().await;
    assert_eq!(plain.send("GET", "/", &headers, "").await.header("location"), "/login", "nobody named a proxy");
}
