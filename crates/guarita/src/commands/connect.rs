//! `guarita connect`: the calls that put the gateway between Meta (or Telegram) and the backend, and take it out again.
//! Shown by default, made with `--apply`. No token is ever printed.

use crate::{
    config::Settings,
    routes::{Plan, Planned},
};
use clap::Args;
use guarita_media::Caller;
use guarita_receive::Proof;
use http::Method;
use serde_json::{Value, json};

#[derive(Args, Debug)]
pub struct ConnectArgs {
    /// How the world reaches the public door: `https://gate.example`. Each route's path is put behind it.
    #[arg(long)]
    pub url: Option<String>,
    /// Only these routes.
    #[arg(long)]
    pub route: Vec<String>,
    /// Numbers, pages and Instagram accounts where the configuration names none.
    #[arg(long)]
    pub phone_number_id: Vec<String>,
    #[arg(long)]
    pub page: Vec<String>,
    #[arg(long)]
    pub instagram: Vec<String>,
    /// The app's id: pages and Instagram accounts are reached through the app's one callback.
    #[arg(long)]
    pub app_id: Option<String>,
    /// Make the calls. Without it they are only shown.
    #[arg(long)]
    pub apply: bool,
    /// Take the gateway out.
    #[arg(long)]
    pub remove: bool,
    /// With --remove: where an app's callback or a bot's webhook goes back to.
    #[arg(long, requires = "remove")]
    pub back_to: Option<String>,
    /// With --remove: the verify token that address knows (app callbacks).
    #[arg(long, requires = "back_to", env = "GUARITA_BACK_VERIFY_TOKEN", hide_env_values = true)]
    pub back_verify_token: Option<String>,
}

/// Meta's bound on a callback.
const URL_CHARS_MAX: usize = 200;
const PAGE_FIELDS: &str = "messages,messaging_postbacks,messaging_optins,messaging_referrals,message_echoes,message_edits,message_reactions,messaging_handovers,standby,message_reads,message_deliveries";
const INSTAGRAM_FIELDS: &str = "messages,messaging_postbacks,messaging_referral,messaging_seen,messaging_handover,message_reactions,message_edit,standby";

/// Who is asked, and by which secret.
#[derive(Clone)]
enum Whom {
    Graph { token: String, shown: &'static str },
    Bot { token: String },
}

/// One call, with what a person must know of it.
struct Step {
    what: String,
    whom: Whom,
    method: Method,
    /// For a bot: the method's name.
    path: String,
    body: Option<Value>,
    /// The call that shows what is set at this moment.
    look: Option<String>,
}

/// What stops a person before anything is called.
struct Unclear(String);

pub async fn connect(args: &ConnectArgs, settings: &Settings, file: &str) -> u8 {
    let plan = match settings.check_for_run(file).and_then(|()| Plan::of(settings, file)) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return 64;
        }
    };
    let steps = match steps(args, settings, &plan) {
        Ok(steps) => steps,
        Err(Unclear(why)) => {
            eprintln!("guarita connect: {why}");
            return 64;
        }
    };
    let callers = Caller::graph(&settings.graph).and_then(|graph| Ok((graph, Caller::telegram(&settings.telegram)?)));
    let (graph, telegram) = match callers {
        Ok(callers) => callers,
        Err(error) => {
            eprintln!("guarita connect: {error}");
            return 64;
        }
    };
    let mut failed = 0;
    for (number, step) in steps.iter().enumerate() {
        println!("{}. {}", number + 1, step.what);
        println!("   {} {}", step.method, shown_url(settings, step));
        if let Some(body) = &step.body {
            println!("   {}", hidden(body));
        }
        if args.apply {
            if let Some(now) = look(step, &graph, &telegram).await {
                println!("   before: {now}");
            }
            let outcome = make(step, &graph, &telegram).await;
            println!("   {}", outcome.as_ref().map_or_else(|why| format!("FAILED: {why}"), |()| "done".to_owned()));
            failed += u8::from(outcome.is_err());
        }
    }
    if !args.apply {
        println!("\nNothing was called. Add --apply to make these calls, as they stand.");
    } else if failed == 0 {
        println!(
            "\n{}",
            if args.remove {
                "The gateway is out of the way. Let it run until all is delivered."
            } else {
                "The gateway is in place. `guarita connect --remove` shows the way out."
            }
        );
    } else {
        println!("\n{failed} of {} calls failed; what was done stays done. Calling again does no harm.", steps.len());
    }
    u8::from(failed > 0)
}

fn steps(args: &ConnectArgs, settings: &Settings, plan: &Plan) -> Result<Vec<Step>, Unclear> {
    let base = match (&args.url, args.remove) {
        (Some(url), _) => url.trim_end_matches('/').to_owned(),
        (None, true) => String::new(),
        (None, false) => {
            return Err(Unclear(
                "--url is missing: how the world reaches the public door, https://gate.example".into(),
            ));
        }
    };
    if !base.is_empty() && !base.starts_with("https://") && !is_loopback(&base) {
        return Err(Unclear("--url must begin with https://: Meta and Telegram post to nothing else".into()));
    }
    for name in &args.route {
        if !plan.routes.iter().any(|route| route.door.name == *name) {
            return Err(Unclear(format!("there is no route `{name}`")));
        }
    }
    let mut steps = Vec::new();
    let chosen = |route: &&Planned| args.route.is_empty() || args.route.contains(&route.door.name);
    for route in plan.routes.iter().filter(chosen) {
        let url = format!("{base}{}", route.door.path);
        if url.chars().count() > URL_CHARS_MAX {
            return Err(Unclear(format!("{url}: Meta takes {URL_CHARS_MAX} characters at most; shorten match.path")));
        }
        steps.extend(of_route(args, settings, route, &url)?);
    }
    if steps.is_empty() {
        return Err(Unclear(
            "nothing to connect: no route names a number, page, account or bot; give --phone-number-id, --page or --instagram".into(),
        ));
    }
    Ok(steps)
}

fn of_route(args: &ConnectArgs, settings: &Settings, route: &Planned, url: &str) -> Result<Vec<Step>, Unclear> {
    let name = &route.door.name;
    if let Some(bot) = &route.telegram {
        return Ok(vec![of_bot(args, name, &bot.token, &bot.secret_token, url)]);
    }
    let entry = settings.routes.iter().find(|entry| entry.name == *name);
    let ids = |of_file: Option<&crate::routes::Names>, given: &[String]| -> Vec<String> {
        of_file.map(|names| names.0.clone()).filter(|names| !names.is_empty()).unwrap_or_else(|| given.to_vec())
    };
    let numbers = ids(entry.map(|entry| &entry.wishes.phone_number_id), &args.phone_number_id);
    let pages = ids(entry.map(|entry| &entry.wishes.page), &args.page);
    let accounts = ids(entry.map(|entry| &entry.wishes.instagram), &args.instagram);
    let graph = Whom::Graph { token: route.graph_token.clone(), shown: "the route's access_token" };
    if route.graph_token.is_empty() && !(numbers.is_empty() && pages.is_empty() && accounts.is_empty()) {
        return Err(Unclear(format!("route `{name}` has no access_token to call Graph with")));
    }
    let mut steps = Vec::new();
    for id in &numbers {
        let wanted = if args.remove {
            json!({"override_callback_uri": ""})
        } else {
            json!({"override_callback_uri": url, "verify_token": route.door.verify_token})
        };
        let what = if args.remove {
            "its override goes; Meta posts where it did before"
        } else {
            "an override of this number alone"
        };
        steps.push(Step {
            what: format!("route {name}, WhatsApp number {id}: {what}"),
            whom: graph.clone(),
            method: Method::POST,
            path: id.clone(),
            body: Some(json!({"webhook_configuration": wanted})),
            look: Some(format!("{id}?fields=webhook_configuration")),
        });
    }
    for (object, ids, fields) in [("page", &pages, PAGE_FIELDS), ("instagram", &accounts, INSTAGRAM_FIELDS)] {
        if ids.is_empty() {
            continue;
        }
        steps.push(of_app(args, route, object, fields, url)?);
        if args.remove {
            continue; // The pages stay subscribed: the app's callback is where they post to.
        }
        for id in ids {
            steps.push(Step {
                what: format!("route {name}, {object} {id}: its messages go to the app"),
                whom: graph.clone(),
                method: Method::POST,
                path: format!("{id}/subscribed_apps"),
                body: Some(json!({"subscribed_fields": fields})),
                look: None,
            });
        }
    }
    Ok(steps)
}

/// Pages and Instagram accounts know no override: the app's one callback for the object is set, for all of the app's.
fn of_app(args: &ConnectArgs, route: &Planned, object: &str, fields: &str, url: &str) -> Result<Step, Unclear> {
    let name = &route.door.name;
    let Some(app) = &args.app_id else {
        return Err(Unclear(format!(
            "route `{name}` has a {object}: give --app-id (App Dashboard > App settings > Basic)"
        )));
    };
    let Proof::AppSecret(secret) = &route.door.proof else {
        return Err(Unclear(format!("route `{name}` has no app secret")));
    };
    let (callback, verify_token, what) = match (args.remove, &args.back_to, &args.back_verify_token) {
        (false, ..) => (url.to_owned(), route.door.verify_token.clone(), "the app's callback; for all of the app's"),
        (true, Some(back), Some(token)) => (back.clone(), token.clone(), "the app's callback goes back"),
        (true, ..) => {
            return Err(Unclear(format!(
                "route `{name}`: an app's callback for `{object}` cannot be taken away, only put elsewhere: give --back-to and --back-verify-token"
            )));
        }
    };
    Ok(Step {
        what: format!("route {name}, app {app}, object {object}: {what}"),
        whom: Whom::Graph { token: format!("{app}|{secret}"), shown: "app id and app_secret" },
        method: Method::POST,
        path: format!("{app}/subscriptions"),
        body: Some(json!({
            "object": object, "callback_url": callback, "verify_token": verify_token, "fields": fields, "include_values": true,
        })),
        look: Some(format!("{app}/subscriptions")),
    })
}

fn of_bot(args: &ConnectArgs, name: &str, token: &str, secret_token: &str, url: &str) -> Step {
    let id = token.split_once(':').map_or("", |(id, _)| id);
    let (path, body, what) = match (args.remove, &args.back_to) {
        (false, _) => ("setWebhook", json!({"url": url, "secret_token": secret_token}), "its webhook"),
        (true, Some(back)) => (
            "setWebhook",
            json!({"url": back, "secret_token": secret_token}),
            "its webhook goes back, with the same secret token",
        ),
        (true, None) => ("deleteWebhook", json!({}), "its webhook goes; the bot may poll, or set its own again"),
    };
    Step {
        what: format!("route {name}, bot {id}: {what}"),
        whom: Whom::Bot { token: token.to_owned() },
        method: Method::POST,
        path: path.to_owned(),
        body: Some(body),
        look: Some("getWebhookInfo".into()),
    }
}

async fn make(step: &Step, graph: &Caller, telegram: &Caller) -> Result<(), String> {
    let (status, answer) = call(step, step.method.clone(), &step.path, step.body.as_ref(), graph, telegram).await?;
    let well = answer["success"] == true || answer["ok"] == true || answer["id"].is_string();
    if (200..300).contains(&status) && well {
        return Ok(());
    }
    let said = answer["error"]["message"].as_str().or(answer["description"].as_str()).unwrap_or("no reason given");
    let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
    Err(format!("{status}: {said}"))
}

/// What is set at this moment, as far as it can be told.
async fn look(step: &Step, graph: &Caller, telegram: &Caller) -> Option<String> {
    let path = step.look.as_ref()?;
    let (status, answer) = call(step, Method::GET, path, None, graph, telegram).await.ok()?;
    if status != 200 {
        return None;
    }
    let of_number = &answer["webhook_configuration"];
    let text = |value: &Value| value.as_str().filter(|url| !url.is_empty()).unwrap_or("-").to_owned();
    if of_number.is_object() {
        return Some(format!("number {}, app {}", text(&of_number["phone_number"]), text(&of_number["application"])));
    }
    if let Some(data) = answer["data"].as_array() {
        let all = data.iter().map(|one| format!("{} {}", text(&one["object"]), text(&one["callback_url"])));
        return Some(all.collect::<Vec<_>>().join(", "));
    }
    answer["result"]["url"].as_str().map(|url| if url.is_empty() { "no webhook".to_owned() } else { url.to_owned() })
}

async fn call(
    step: &Step,
    method: Method,
    path: &str,
    body: Option<&Value>,
    graph: &Caller,
    telegram: &Caller,
) -> Result<(u16, Value), String> {
    match &step.whom {
        Whom::Graph { token, .. } => graph.call(method, path, Some(token), body).await,
        Whom::Bot { token } => telegram.call(method, &format!("bot{token}/{path}"), None, body).await,
    }
}

fn shown_url(settings: &Settings, step: &Step) -> String {
    match &step.whom {
        Whom::Graph { shown, .. } => {
            let base = settings.graph.base_url.trim_end_matches('/');
            format!("{base}/{}/{}   (by {shown})", settings.graph.version, step.path)
        }
        Whom::Bot { .. } => format!("{}/bot<bot_token>/{}", settings.telegram.api_url.trim_end_matches('/'), step.path),
    }
}

/// The body without its secrets.
fn hidden(body: &Value) -> String {
    let mut shown = body.clone();
    hide(&mut shown);
    shown.to_string()
}

fn hide(value: &mut Value) {
    let Value::Object(object) = value else { return };
    for (key, value) in object.iter_mut() {
        if matches!(key.as_str(), "verify_token" | "secret_token") {
            *value = json!(format!("<{key}>"));
        } else {
            hide(value);
        }
    }
}

fn is_loopback(url: &str) -> bool {
    let host = url.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
    matches!(host, Some("127.0.0.1" | "localhost"))
}
