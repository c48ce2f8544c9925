//! The admin API against its own document: every operation answers, every answer has the form the document says, and
//! nobody does what their scopes do not allow.

mod common;

use common::{Answer, Console, console};
use guarita_console::{Scope, api::OPENAPI};
use serde_json::{Value, json};

fn document() -> Value {
    serde_json::from_str(&OPENAPI).expect("the document is JSON")
}

/// Each operation of the document: method, path, what it says.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().expect("paths is an object");
    let flat = paths.iter().flat_map(|(path, methods)| {
        methods
            .as_object()
            .expect("a path has methods")
            .iter()
            .map(move |(method, op)| (method.to_uppercase(), path.clone(), op.clone()))
    });
    flat.collect()
}

/// A request that is right, for each operation: what stands for the path's names, and the body.
fn right(console: &Console, op: &str) -> (Vec<(&'static str, String)>, Value) {
    let because = json!({"reason": "a test wants it"});
    let id = |what: &str| vec![("id", console.seeded.id(what))];
    match op {
        "message" | "contents" => (id("virus"), Value::Null),
        "release" => (id("virus"), json!({"reason": "a false alarm", "exception": true, "exception_days": 7})),
        "deleteMessage" => (id("link"), because),
        "retry" => (id("dead"), because),
        "download" | "preview" => {
            let mut names = id("virus");
            names.push(("sha256", console.seeded.virus.to_string()));
            (names, if op == "preview" { Value::Null } else { because })
        }
        "replay" => (Vec::new(), json!({"reason": "the backend is well again", "most": 5})),
        "try" => (Vec::new(), json!({"text": "veja http://x.example"})),
        "addException" => (
            Vec::new(),
            json!({"side": "allow", "kind": "domain", "value": "Shop.example", "reason": "our shop", "days": 3}),
        ),
        "removeException" => (vec![("number", "1".into())], because),
        "rescan" => (Vec::new(), because),
        "addUser" => (Vec::new(), json!({"name": "carla", "role": "viewer"})),
        "changeUser" => (vec![("name", "viewer".into())], json!({"role": "reviewer"})),
        "resetUser" => (vec![("name", "viewer".into())], Value::Null),
        "addToken" => (Vec::new(), json!({"name": "siem", "scopes": ["read"], "days": 30})),
        "removeToken" => (vec![("number", "1".into())], Value::Null),
        "eraseSender" => (Vec::new(), json!({"sender": "5541900000002", "reason": "asked for it"})),
        _ => (Vec::new(), Value::Null),
    }
}

fn path_of(path: &str, names: &[(&str, String)]) -> String {
    names.iter().fold(path.to_owned(), |path, (name, value)| path.replace(&format!("{{{name}}}"), value))
}

async fn ask(console: &Console, token: &str, method: &str, path: &str, op: &str) -> Answer {
    let (names, body) = right(console, op);
    let path = path_of(path, &names);
    if op == "tryFile" {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/octet-stream")];
        return console.send(method, &format!("/api/v1{path}?name=a.exe"), &headers, &b"MZ"[..]).await;
    }
    console.api(token, method, &path, &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_as_the_document_says() {
    let (console, document) = (console().await, document());
    // The token that asks must not be the one that is removed.
    let _first = console.token(&[Scope::Read]).await;
    let token = console.token(&Scope::ALL).await;
    let mut ops = operations(&document);
    // What removes things goes last.
    ops.sort_by_key(|(_, _, op)| {
        ["deleteMessage", "eraseSender", "removeToken", "removeException"]
            .contains(&op["operationId"].as_str().unwrap())
    });
    for (method, path, op) in ops {
        let id = op["operationId"].as_str().unwrap();
        let answer = ask(&console, &token, &method, &path, id).await;
        // No alert target in the seeded desk: that refusal is its right answer.
        let refused = id == "testAlert";
        let expect = if refused {
            409
        } else if op["responses"]["204"].is_object() {
            204
        } else {
            200
        };
        assert_eq!(answer.status, expect, "{method} {path}: {}", answer.text());
        check_answer(&document, &op, &answer, &format!("{method} {path}"));
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_does_what_their_scopes_do_not_allow() {
    let (console, document) = (console().await, document());
    let before = console.seeded.desk.verify_audit(&guarita_console::Actor::local("x")).await.unwrap().0;
    for (method, path, op) in operations(&document) {
        let id = op["operationId"].as_str().unwrap();
        let Some(needed) = op["security"][0]["token"][0].as_str() else { continue };
        for token in ["", "guarita_00", &format!("guarita_{}", "0".repeat(64))] {
            let answer = ask(&console, token, &method, &path, id).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"), "{path}");
            check_answer(&document, &op, &answer, &path);
        }
        let needed: Scope = needed.parse().unwrap();
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| *scope != needed).collect();
        let token = console.token(&others).await;
        let answer = ask(&console, &token, &method, &path, id).await;
        if id == "me" {
            assert_eq!(answer.status, 200);
            continue;
        }
        assert_eq!(answer.status, 403, "{method} {path} without {needed}: {}", answer.text());
        check_answer(&document, &op, &answer, &path);
    }
    let rows = console.seeded.desk.audit(&guarita_console::Actor::local("x"), None, 200).await.unwrap().items;
    let done: Vec<_> = rows.iter().filter(|row| row.number > before && row.action.as_str() != "added_token").collect();
    assert!(done.is_empty(), "something was done all the same: {done:?}");
    assert!(console.seeded.gateway.asked.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_wrongly_is_a_problem() {
    let console = console().await;
    let token = console.token(&Scope::ALL).await;
    let virus = console.seeded.id("virus");
    for (method, path, body, status, says) in [
        ("GET", "/nothing", Value::Null, 404, "no such address"),
        ("DELETE", "/overview", Value::Null, 405, "other methods"),
        ("GET", "/messages/none", Value::Null, 404, "no such message"),
        ("GET", "/messages/%2e%2e%2f", Value::Null, 404, "no such message"),
        ("GET", "/messages/00000000000000000000000000", Value::Null, 404, "no such message"),
        ("GET", "/messages?most=x", Value::Null, 422, "whole number"),
        ("GET", "/messages?verdicts=evil", Value::Null, 422, "evil"),
        ("GET", "/messages?sort=asc", Value::Null, 422, "sort"),
        ("GET", "/messages?cursor=zzz", Value::Null, 422, "cursor"),
        ("GET", "/messages?terms=a,b,c,d,e,f,g,h,i", Value::Null, 422, "at most 8"),
        ("POST", &format!("/messages/{virus}/release"), json!({"reason": "  "}), 422, "why"),
        ("POST", &format!("/messages/{virus}/release"), json!({"reason": "x".repeat(600)}), 422, "at most 500"),
        // As it came, not as it stays once blanks are off.
        (
            "POST",
            &format!("/messages/{virus}/release"),
            json!({"reason": format!("why{}", " ".repeat(600))}),
            422,
            "at most 500",
        ),
        ("POST", "/rules/try", json!({"text": "x".repeat(16_385)}), 422, "larger than 16384 characters"),
        ("POST", &format!("/messages/{virus}/release"), json!({"because": "x"}), 422, "because"),
        (
            "POST",
            &format!("/messages/{}/release", console.seeded.id("clean")),
            json!({"reason": "false alarm"}),
            409,
            "not held",
        ),
        (
            "POST",
            &format!("/messages/{}/delete", console.seeded.id("waiting")),
            json!({"reason": "false alarm"}),
            409,
            "on its way",
        ),
        (
            "POST",
            "/exceptions",
            json!({"side": "deny", "kind": "sender", "value": "1", "reason": "because"}),
            422,
            "hashes and domains",
        ),
        (
            "POST",
            "/exceptions",
            json!({"side": "allow", "kind": "rule", "value": "a/b", "reason": "because", "covers_malware": true}),
            422,
            "by hash",
        ),
        (
            "POST",
            "/exceptions",
            json!({"side": "allow", "kind": "hash", "value": "abc", "reason": "because"}),
            422,
            "64 hex",
        ),
        (
            "POST",
            "/exceptions",
            json!({"side": "allow", "kind": "domain", "value": "https://a.b/c", "reason": "because"}),
            422,
            "domain",
        ),
        ("POST", "/rules/try", json!({}), 422, "either"),
        ("POST", "/users", json!({"name": "a b", "role": "viewer"}), 422, "name"),
        ("PATCH", "/users/admin", json!({"role": "viewer"}), 422, "last admin"),
        ("POST", "/tokens", json!({"name": "x", "scopes": [], "days": 1}), 422, "scope"),
    ] {
        let answer = console.api(&token, method, path, &body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().contains(says), "{path}: {problem}");
    }
    let bearer = format!("Bearer {token}");
    for (kind, body, status) in [
        ("text/plain", "{}".to_owned(), 415),
        ("application/json", "{".to_owned(), 400),
        ("application/json", "x".repeat(300_000), 413),
    ] {
        let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
        let answer = console.send("POST", "/api/v1/rules/try", &headers, body).await;
        assert_eq!((answer.status, answer.header("content-type")), (status, "application/problem+json"), "{kind}");
    }
}

/// Viewers see people masked, and cannot find out by asking.
#[tokio::test(flavor = "multi_thread")]
async fn personal_data_is_masked() {
    let console = console().await;
    let viewer = console.token(&[Scope::Read]).await;
    let reviewer = console.token(&[Scope::Read, Scope::Content]).await;
    let (phone, name) = ("5521912345678", "Bruno Lima");
    for path in ["/messages".to_owned(), format!("/messages/{}", console.seeded.id("virus")), "/deliveries".into()] {
        let text = console.api(&viewer, "GET", &path, &Value::Null).await.text();
        for hidden in [phone, name, "fatura", "wamid.SEED"] {
            assert!(!text.contains(hidden), "{hidden} in {path}: {text}");
        }
    }
    let text =
        console.api(&viewer, "GET", &format!("/messages/{}", console.seeded.id("virus")), &Value::Null).await.text();
    assert!(text.contains("•••78") && text.contains("B. L.") && text.contains("*.pdf"), "{text}");
    let text =
        console.api(&reviewer, "GET", &format!("/messages/{}", console.seeded.id("virus")), &Value::Null).await.text();
    assert!(text.contains(phone) && text.contains(name) && text.contains("fatura.pdf"), "{text}");
    let found = console.api(&reviewer, "GET", &format!("/messages?sender={phone}"), &Value::Null).await;
    assert_eq!(found.json()["items"].as_array().unwrap().len(), 1);
    let asked = console.api(&viewer, "GET", &format!("/messages?sender={phone}"), &Value::Null).await;
    assert_eq!(asked.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_narrowed_and_paged() {
    let console = console().await;
    let token = console.token(&Scope::ALL).await;
    let ids = async |query: &str| -> Vec<String> {
        let answer = console.api(&token, "GET", &format!("/messages?{query}"), &Value::Null).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["items"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    };
    let id = |what: &str| console.seeded.id(what);
    assert_eq!(ids("").await.len(), 6);
    assert_eq!(ids("verdicts=malicious").await, [id("virus"), id("link")]);
    assert_eq!(ids("verdicts=malicious,suspicious").await.len(), 3);
    assert_eq!(ids("states=dead_lettered&states=received").await, [id("waiting"), id("dead")]);
    assert_eq!(ids("quarantine=true").await, [id("virus")]);
    assert_eq!(ids("terms=links/lookalike-brand").await, [id("link")]);
    assert_eq!(ids(&format!("terms={}", console.seeded.virus)).await, [id("virus")]);
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let answer =
            console.api(&token, "GET", &format!("/messages?most=4&cursor={cursor}"), &Value::Null).await.json();
        all.extend(answer["items"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
        match answer["next"].as_str() {
            Some(next) => cursor = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(all, ids("").await, "pages make up the whole, nothing twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_out_as_a_zip_and_only_its_own() {
    let console = console().await;
    let token = console.token(&Scope::ALL).await;
    let (virus, hash) = (console.seeded.id("virus"), console.seeded.virus);
    let because = json!({"reason": "for the analyst"});
    let answer = console.api(&token, "POST", &format!("/messages/{virus}/files/{hash}"), &because).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/zip"));
    let expect = format!("attachment; filename=\"guarita-{virus}-{}.zip\"", &hash.to_string()[..12]);
    assert_eq!(answer.header("content-disposition"), expect);
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.body.starts_with(b"PK\x03\x04") && !answer.text().contains("not a virus"));
    // By another message's id the same file does not open.
    let other = format!("/messages/{}/files/{hash}", console.seeded.id("link"));
    assert_eq!(console.api(&token, "POST", &other, &because).await.status, 404);
    let other = format!("/messages/{virus}/files/{}", "00".repeat(32));
    assert_eq!(console.api(&token, "POST", &other, &because).await.status, 404);
}

/// Made by the locked worker, on demand, for those who see contents; of a message's own files alone; and in the audit.
#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_for_readers_of_contents_and_stands_in_the_audit() {
    let console = console().await;
    let token = console.token(&[Scope::Read, Scope::Content, Scope::Admin]).await;
    let (virus, hash) = (console.seeded.id("virus"), console.seeded.virus);
    let path = format!("/messages/{virus}/files/{hash}/preview");
    let answer = console.api(&token, "GET", &path, &Value::Null).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    assert!(answer.header("content-security-policy").contains("sandbox"));
    assert_eq!((answer.header("cache-control"), answer.header("x-content-type-options")), ("no-store", "nosniff"));
    assert_eq!(answer.json()["shown"]["kind"], "text");
    let viewer = console.token(&[Scope::Read, Scope::Review]).await;
    assert_eq!(console.api(&viewer, "GET", &path, &Value::Null).await.status, 403);
    for other in [
        format!("/messages/{}/files/{hash}/preview", console.seeded.id("link")),
        format!("/messages/{virus}/files/{}/preview", "00".repeat(32)),
        format!("/messages/{virus}/files/x/preview"),
    ] {
        assert_eq!(console.api(&token, "GET", &other, &Value::Null).await.status, 404, "{other}");
    }
    assert_eq!(*console.seeded.gateway.asked.lock().unwrap(), ["preview"], "the worker was asked once");
    let rows = console.api(&token, "GET", "/audit", &Value::Null).await.json();
    let shown: Vec<_> = rows["items"].as_array().unwrap().iter().filter(|row| row["action"] == "previewed").collect();
    assert_eq!((shown.len(), &shown[0]["target"]), (1, &json!(virus)));
}

/// The audit has each thing that was done, in order, without content; and it is whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_done_is_audited() {
    let console = console().await;
    let token = console.token(&Scope::ALL).await;
    let virus = console.seeded.id("virus");
    let because = json!({"reason": "a false alarm"});
    assert_eq!(console.api(&token, "GET", &format!("/messages/{virus}/contents"), &Value::Null).await.status, 200);
    assert_eq!(console.api(&token, "POST", &format!("/messages/{virus}/release"), &because).await.status, 204);
    assert_eq!(console.api(&token, "POST", &format!("/messages/{virus}/release"), &because).await.status, 409, "once");
    let erase = json!({"sender": "5541900000002", "reason": "asked by mail"});
    assert_eq!(
        console.api(&token, "POST", "/erase", &erase).await.json(),
        json!({"entries": 1, "files": 0, "left": 0})
    );
    let rows = console.api(&token, "GET", "/audit?most=3", &Value::Null).await.json();
    let seen: Vec<_> = rows["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["action"].as_str().unwrap(), row["target"].as_str().unwrap()))
        .collect();
    assert_eq!(seen, [("erased_sender", ""), ("released", &*virus), ("opened_content", &*virus)]);
    assert_eq!(rows["items"][1]["who"], "token:test");
    assert_eq!(rows["items"][1]["address"], "127.0.0.1");
    let export = console.api(&token, "GET", "/audit/export", &Value::Null).await;
    let mut checker = guarita_console::Checker::default();
    for line in export.text().lines() {
        checker.take(&serde_json::from_str(line).unwrap()).unwrap();
    }
    assert!(!export.text().contains("5541900000002"), "the person is not in the audit");
    assert_eq!(console.api(&token, "GET", "/audit/verify", &Value::Null).await.json()["whole"], true);
    let found = console.api(&token, "GET", "/messages?sender=5541900000002", &Value::Null).await.json();
    assert_eq!(found["items"], json!([]));
}

/// Who looks for a person is seen, page by page; for whom is not. A search by anything else is nobody's affair.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_by_sender_stands_in_the_audit_without_the_sender() {
    let console = console().await;
    let token = console.token(&[Scope::Read, Scope::Content, Scope::Admin]).await;
    let viewer = console.token(&[Scope::Read]).await;
    let virus = console.seeded.id("virus");
    for (path, status) in [
        ("/messages?sender=5521912345678".to_owned(), 200),
        (format!("/messages?sender=5521912345678&cursor={virus}"), 200),
        ("/messages?terms=malware".to_owned(), 200),
    ] {
        assert_eq!(console.api(&token, "GET", &path, &Value::Null).await.status, status, "{path}");
    }
    assert_eq!(console.api(&viewer, "GET", "/messages?sender=5521912345678", &Value::Null).await.status, 403);
    let rows = console.api(&token, "GET", "/audit", &Value::Null).await;
    let searches =
        rows.json()["items"].as_array().unwrap().iter().filter(|row| row["action"] == "searched_sender").count();
    assert_eq!(searches, 2, "each page of it, and nothing else");
    assert!(!rows.text().contains("5521912345678"), "the person is not in the audit");
}

/// What was let go is asked for apart, however much is held above it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_released_is_listed_apart() {
    let console = console().await;
    let token = console.token(&[Scope::Read, Scope::Review]).await;
    let virus = console.seeded.id("virus");
    let check = async |expect: [&[&str]; 2]| {
        for (asked, expect) in ["quarantine=true&released=false", "released=true"].into_iter().zip(expect) {
            let path = format!("/messages?{asked}&most=1");
            let found = console.api(&token, "GET", &path, &Value::Null).await.json();
            let ids: Vec<_> =
                found["items"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
            assert_eq!(ids, expect, "{asked}");
        }
    };
    check([&[&virus], &[]]).await;
    let because = json!({"reason": "a false alarm"});
    assert_eq!(console.api(&token, "POST", &format!("/messages/{virus}/release"), &because).await.status, 204);
    check([&[], &[&virus]]).await;
}

/// A session may use the API as well, as a page's script does: with its token, and from no other page.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_needs_its_token() {
    let console = console().await;
    let (cookie, csrf) = console.session("reviewer").await;
    let (other_cookie, other_csrf) = console.session("viewer").await;
    let path = format!("/api/v1/messages/{}/release", console.seeded.id("virus"));
    let body = json!({"reason": "a false alarm"}).to_string();
    let json = ("content-type", "application/json");
    let own = console.base.clone();
    for (headers, status) in [
        (vec![("cookie", cookie.as_str()), json], 403),
        (vec![("cookie", cookie.as_str()), json, ("x-csrf-token", other_csrf.as_str())], 403),
        (
            vec![("cookie", cookie.as_str()), json, ("x-csrf-token", csrf.as_str()), ("origin", "http://evil.example")],
            403,
        ),
        (
            vec![("cookie", cookie.as_str()), json, ("x-csrf-token", csrf.as_str()), ("sec-fetch-site", "cross-site")],
            403,
        ),
        (vec![("cookie", other_cookie.as_str()), json, ("x-csrf-token", other_csrf.as_str())], 403),
        (vec![("cookie", "guarita=0"), json, ("x-csrf-token", csrf.as_str())], 401),
        (vec![("cookie", cookie.as_str()), json, ("x-csrf-token", csrf.as_str()), ("origin", own.as_str())], 204),
    ] {
        let answer = console.send("POST", &path, &headers, body.clone()).await;
        assert_eq!(answer.status, status, "{headers:?}: {}", answer.text());
    }
    let overview = console.send("GET", "/api/v1/overview", &[("cookie", other_cookie.as_str())], "").await;
    assert_eq!(overview.status, 200);
}

// ---- the document's schemas, checked by hand: the few keywords we use --------------------------------------------

fn check_answer(document: &Value, op: &Value, answer: &Answer, what: &str) {
    let response = &op["responses"][answer.status.to_string()];
    assert!(!response.is_null(), "{what}: the document knows no {}", answer.status);
    let response = resolve(document, response);
    let Some(content) = response["content"].as_object() else {
        assert!(answer.body.is_empty(), "{what}");
        return;
    };
    let kind = answer.header("content-type");
    let schema = content.get(kind).unwrap_or_else(|| panic!("{what}: {kind} is not in the document"));
    if kind.ends_with("json") && kind != "application/x-ndjson" {
        let mut problems = Vec::new();
        fits(document, &schema["schema"], &answer.json(), "", &mut problems);
        assert!(problems.is_empty(), "{what}: {problems:#?}");
    }
}

fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            let found = document.pointer(reference.trim_start_matches('#'));
            found.unwrap_or_else(|| panic!("{reference} is not in the document"))
        }
        None => value,
    }
}

fn fits(document: &Value, schema: &Value, value: &Value, at: &str, problems: &mut Vec<String>) {
    let schema = resolve(document, schema);
    if let Some(any) = schema["anyOf"].as_array() {
        let fitting = any.iter().any(|schema| {
            let mut tried = Vec::new();
            fits(document, schema, value, at, &mut tried);
            tried.is_empty()
        });
        if !fitting {
            problems.push(format!("{at}: fits none of anyOf: {value}"));
        }
        return;
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_u64() || number.is_i64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is_number = kind == "integer" && kinds.contains(&"number");
    if !(kinds.is_empty() || kinds.contains(&kind) || is_number) {
        problems.push(format!("{at}: is {kind}, not {kinds:?}"));
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        problems.push(format!("{at}: {value} is not one of {words:?}"));
    }
    if let Some(members) = value.as_object() {
        let known = schema["properties"].as_object();
        for (name, member) in members {
            match known.and_then(|known| known.get(name)) {
                Some(schema) => fits(document, schema, member, &format!("{at}/{name}"), problems),
                None if schema["additionalProperties"] == false => {
                    problems.push(format!("{at}/{name}: is not in the document"))
                }
                None => {}
            }
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                problems.push(format!("{at}/{name}: is missing"));
            }
        }
    }
    if let Some(items) = value.as_array() {
        for (index, item) in items.iter().enumerate() {
            let own = schema["prefixItems"].get(index).unwrap_or(&schema["items"]);
            if !own.is_null() {
                fits(document, own, item, &format!("{at}/{index}"), problems);
            }
        }
    }
}
