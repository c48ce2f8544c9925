//! `guarita doctor`: tries each outside thing and says how to mend what fails.

use crate::{
    commands::check_config::without_secrets,
    config::Settings,
    engine::{Engine, Wanted},
    routes::Plan,
};
use guarita_console::{Check, Readiness};
use guarita_media::Caller;
use guarita_testkit::MetaStandIn;
use std::{collections::HashSet, path::Path, time::Duration};

/// Below this a day's traffic may not fit.
const FREE_BYTES_MIN: u64 = 1 << 30;

pub async fn doctor(settings: Settings, file: &str) -> u8 {
    let mut checks = vec![config(&settings, file)];
    checks.extend(engine(&settings).await);
    match Plan::of(&settings, file) {
        // What is missing stands in the line `config`; the plain tables are tried all the same.
        Err(_) => {
            checks.push(graph(&settings, "graph", &settings.graph.access_token).await);
            checks.push(backend("backend", &settings.backend.url).await);
        }
        Ok(plan) => checks.extend(routes(&settings, &plan).await),
    }
    checks.push(disk(&settings.storage.path));
    let mut failed = 0;
    for check in &checks {
        let mark = if check.ok {
            "ok  "
        } else if check.warning {
            "note"
        } else {
            "FAIL"
        };
        println!("{mark}  {:<12} {}", check.name, check.detail);
        if !check.ok {
            failed += u8::from(!check.warning);
            if !check.mend.is_empty() {
                println!("      {:<12} mend: {}", "", check.mend);
            }
        }
    }
    u8::from(failed > 0)
}

fn check(name: &str, ok: bool, detail: impl Into<String>, mend: &str) -> Check {
    let mend = if ok { String::new() } else { mend.to_owned() };
    Check { name: name.into(), ok, warning: false, detail: detail.into(), mend }
}

fn config(settings: &Settings, file: &str) -> Check {
    match settings.check_for_run(file) {
        Ok(()) => check("config", true, format!("{file} is right"), ""),
        Err(error) => check("config", false, format!("{}: {}", error.at, error.problem), &error.mend),
    }
}

/// A gateway that is running says it itself; else the scanners are started for a moment.
async fn engine(settings: &Settings) -> Vec<Check> {
    let url = format!("http://{}/readyz", settings.console.listen);
    let asked = tokio::time::timeout(Duration::from_secs(3), MetaStandIn::get(&url, None)).await;
    if let Ok(Ok((_, _, body))) = asked
        && let Ok(readiness) = serde_json::from_slice::<Readiness>(&body)
    {
        let mut checks = vec![check("gateway", true, format!("running, asked at {}", settings.console.listen), "")];
        checks.extend(readiness.checks);
        return checks;
    }
    match Engine::start(settings, Wanted { files: true, clamav: true, lists: true }).await {
        Ok(engine) => {
            let mut checks = vec![Check {
                warning: true,
                ..check(
                    "gateway",
                    false,
                    format!("not running at {}", settings.console.listen),
                    "start it with `guarita run`",
                )
            }];
            checks.extend(engine.checks());
            engine.stop().await;
            checks
        }
        Err(error) => vec![check("engine", false, format!("{}: {}", error.at, error.problem), &error.mend)],
    }
}

/// Each token and each backend once, under the name of the first route that has it.
async fn routes(settings: &Settings, plan: &Plan) -> Vec<Check> {
    let (mut checks, mut tried) = (Vec::new(), HashSet::new());
    let named = |what: &str, route: &str| match plan.routes.len() {
        1 => what.to_owned(),
        _ => format!("{what} {route}"),
    };
    for route in &plan.routes {
        let name = &route.door.name;
        match &route.telegram {
            Some(bot) => checks.push(telegram(settings, &named("telegram", name), &bot.token).await),
            None if tried.insert(route.graph_token.clone()) => {
                checks.push(graph(settings, &named("graph", name), &route.graph_token).await);
            }
            None => {}
        }
        for one in &route.backends {
            if tried.insert(one.url.clone()) {
                checks.push(backend(&named("backend", name), &one.url).await);
            }
        }
    }
    checks
}

async fn telegram(settings: &Settings, name: &str, token: &str) -> Check {
    let mend = "make a new token with BotFather, or let this machine reach telegram.api_url";
    let caller = match Caller::telegram(&settings.telegram) {
        Ok(caller) => caller,
        Err(error) => return check(name, false, error.to_string(), "mend telegram.api_url"),
    };
    match caller.call(http::Method::GET, &format!("bot{token}/getWebhookInfo"), None, None).await {
        Ok((200, answer)) => {
            let set = answer["result"]["url"].as_str().is_some_and(|url| !url.is_empty());
            let detail = if set { "takes the token; a webhook is set" } else { "takes the token; NO webhook is set" };
            check(name, set, detail, "guarita connect --url https://… --apply")
        }
        Ok((status, _)) => check(name, false, format!("answered {status}"), mend),
        Err(why) => check(name, false, format!("not reached: {why}"), mend),
    }
}

pub(crate) async fn graph(settings: &Settings, name: &str, token: &str) -> Check {
    if token.is_empty() {
        return check(name, false, "graph.access_token is empty", "set it: attachments cannot be fetched without it");
    }
    let config = guarita_media::GraphConfig { access_token: token.to_owned(), ..settings.graph.clone() };
    let fetcher = guarita_media::probe(&config, Duration::from_secs(10)).await;
    match fetcher {
        Ok(200..=299) => check(name, true, "answers, and takes the token", ""),
        Ok(400 | 401 | 403) => check(
            name,
            false,
            "answers, but refuses the token",
            "make a new system user token; old ones end when a password changes",
        ),
        Ok(status) => check(name, false, format!("answered {status}"), "see Meta's status page; try again later"),
        Err(why) => check(name, false, format!("not reached: {why}"), "let this machine reach graph.base_url"),
    }
}

async fn backend(name: &str, url: &str) -> Check {
    let mend = "start the backend, or mend backend.url";
    let shown = without_secrets(url);
    let Ok(url) = url.parse::<http::Uri>() else {
        return check(name, false, "backend.url is no url", mend);
    };
    let Some(host) = url.host() else { return check(name, false, "backend.url is missing", mend) };
    let port = url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
    let host = host.trim_matches(['[', ']']).to_owned();
    match tokio::time::timeout(Duration::from_secs(5), tokio::net::TcpStream::connect((host.as_str(), port))).await {
        Ok(Ok(_)) => check(name, true, format!("{shown} takes connections"), ""),
        Ok(Err(error)) => check(name, false, format!("{shown}: {error}"), mend),
        Err(_) => check(name, false, format!("{shown}: no connection within 5 s"), mend),
    }
}

pub(crate) fn disk(folder: &Path) -> Check {
    let existing = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let probe = existing.join(format!(".guarita-doctor-{}", std::process::id()));
    let written = std::fs::write(&probe, [0u8; 4096]).and_then(|()| std::fs::remove_file(&probe));
    if let Err(error) = written {
        return check("disk", false, format!("{}: {error}", existing.display()), "let this user write storage.path");
    }
    match rustix::fs::statvfs(existing) {
        Ok(stat) => {
            let free = stat.f_bavail * stat.f_frsize;
            let detail = format!("{}: {:.1} GB free", existing.display(), free as f64 / 1e9);
            check("disk", free >= FREE_BYTES_MIN, detail, "free space: at least 1 GB")
        }
        Err(error) => check("disk", false, format!("{}: {error}", existing.display()), "look at the file system"),
    }
}
