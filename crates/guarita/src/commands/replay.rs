//! `guarita replay FILE`: shows step by step what would happen to a recorded delivery. Nothing is sent or fetched.

use crate::{
    config::{ConfigError, Settings, exit_code},
    routes::Plan,
    rules,
};
use clap::Args;
use guarita_message::{FileClass, Gap, GapReason, Inspection, Message, PartBody, Verdict};
use guarita_pipeline::{Annotate, Brains, FollowedLinks, inspect_texts};
use guarita_policy::{Circumstances, Policy, decide, explain};
use guarita_webhook::{Order, SplitBy, Unit};
use std::{path::PathBuf, sync::Arc};

#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The recorded body, as Meta or Telegram sent it; `-` for standard input.
    pub file: PathBuf,
    /// Judge it by this route, whoever would take it.
    #[arg(long)]
    pub route: Option<String>,
}

pub fn replay(args: &ReplayArgs, settings: &Settings) -> u8 {
    let body = if args.file.as_os_str() == "-" {
        std::io::Read::bytes(std::io::stdin()).collect::<Result<Vec<u8>, _>>()
    } else {
        std::fs::read(&args.file)
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            eprintln!("guarita replay: {}: {error}", args.file.display());
            return 64;
        }
    };
    let loaded = rules::load(Some(&settings.policy.rules), settings.policy.notice_language)
        .and_then(|set| Ok((set, rules::policy(settings)?)));
    let (set, policy) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return 1;
        }
    };
    let brains = Brains { rules: Arc::new(set), lists: None, exceptions: Arc::default() };
    let by = if settings.backend.split { SplitBy::Message } else { SplitBy::Conversation };
    let units = match guarita_webhook::split(&body, by) {
        Ok(units) => units,
        Err(error) => {
            println!("1. receive   refused with 400: {error}");
            return 64;
        }
    };
    println!("1. receive   {} bytes; with a right signature answered 200", body.len());
    println!("2. split     into {} of their own:", units.len());
    for (number, unit) in units.iter().enumerate() {
        let channel = unit.channel.map_or("unknown object", |channel| channel.as_str());
        println!(
            "             [{}] {channel}, lane {}, {} updates, {} bytes",
            number + 1,
            unit.lane,
            unit.dedupe.len(),
            unit.body.len()
        );
    }
    let mut worst = Verdict::Clean;
    for (number, unit) in units.iter().enumerate() {
        println!("\n-- [{}]", number + 1);
        let (route_policy, annotate) = match by_route(args, settings, unit) {
            Ok(Some(route)) => (Some(route.0), route.1),
            Ok(None) => (None, settings.backend.annotate),
            Err(error) => {
                eprintln!("{error}");
                return 1;
            }
        };
        worst = worst.max(replay_unit(&unit.body, &brains, route_policy.as_ref().unwrap_or(&policy), annotate));
    }
    exit_code(worst)
}

/// Policy and annotation of the route that takes the unit, where there are routes.
fn by_route(args: &ReplayArgs, settings: &Settings, unit: &Unit) -> Result<Option<(Policy, Annotate)>, ConfigError> {
    if settings.routes.is_empty() {
        return Ok(None);
    }
    let plan = Plan::of(settings, "configuration")?;
    let takers = plan.table()?.takers(unit);
    match takers.as_slice() {
        [] => println!("   route     none wants it: receive.unmatched = {:?}", settings.receive.unmatched),
        [one] => println!("   route     {one}"),
        several => println!("   route     one of {}, by whose secret signed it", several.join(", ")),
    }
    let Some(name) = args.route.as_ref().or(takers.first()) else { return Ok(None) };
    let found = plan.routes.iter().find(|route| route.door.name == *name);
    let Some(route) = found else {
        let mend = "`guarita check-config` shows them".into();
        return Err(ConfigError { at: "--route".into(), problem: format!("there is no route `{name}`"), mend });
    };
    println!("   judged    by the policy of {name}");
    Ok(Some((route.read_policy()?, route.backends[0].annotate)))
}

fn replay_unit(body: &[u8], brains: &Brains, policy: &Policy, annotate: Annotate) -> Verdict {
    let Ok(delivery) = guarita_webhook::parse(body) else {
        println!("3. parse     not JSON");
        return Verdict::Unscanned;
    };
    println!("3. parse     {} messages", delivery.messages.len());
    let (mut worst, mut orders) = (Verdict::Clean, Vec::new());
    for message in &delivery.messages {
        println!("             {} {} at {}", message.channel, message.kind, message.pointer);
        for part in &message.parts {
            match &part.body {
                PartBody::Text { text, role } => println!("             {} ({role}): {}", part.place, cut(text)),
                PartBody::Link { url } => println!("             {} (link): {}", part.place, cut(url)),
                PartBody::File(media) => println!(
                    "             {} (file): {} {}",
                    part.place,
                    media.name.as_deref().unwrap_or("without a name"),
                    media.declared_type.as_deref().unwrap_or_default()
                ),
            }
        }
        let mut inspection = Inspection { gaps: files_not_fetched(message), ..Inspection::default() };
        inspect_texts(message, &mut inspection, brains, &FollowedLinks::new());
        println!("4. look      {} findings, {} gaps", inspection.findings.len(), inspection.gaps.len());
        for finding in &inspection.findings {
            println!(
                "             {:<8} {} at {}: {}",
                finding.severity, finding.rule, finding.place, finding.evidence
            );
        }
        for gap in &inspection.gaps {
            println!("             gap      {} at {}: {}", gap.reason, gap.place, gap.detail);
        }
        let decision = decide(message, &inspection, policy, Circumstances { deadline_passed: true });
        println!("5. decide    {}", explain(&decision).replace("\n  ", "\n             "));
        let mut order = Order::of(&message.pointer);
        order.edits.clone_from(&decision.edits);
        orders.push(order);
        worst = worst.max(decision.verdict);
    }
    let rewritten = guarita_webhook::rewrite(body, &orders);
    let how = if rewritten == body { "texts stay byte for byte" } else { "texts are changed:" };
    println!("6. rewrite   {how}");
    if rewritten != body {
        println!("             {}", String::from_utf8_lossy(&rewritten));
    }
    println!("7. deliver   X-Guarita-Verdict: {worst}; annotation: {annotate:?}");
    worst
}

/// A replay has no network: attachments are what they would be if Graph did not answer.
fn files_not_fetched(message: &Message) -> Vec<Gap> {
    let files = message.parts.iter().filter(|part| matches!(part.body, PartBody::File(_)));
    files
        .map(|part| Gap {
            reason: GapReason::FetchFailed,
            place: part.place.clone(),
            inside: String::new(),
            scanner: "fetch".into(),
            detail: "a replay fetches nothing; look at the file itself with `guarita scan`".into(),
            class: FileClass::Other,
        })
        .collect()
}

fn cut(text: &str) -> String {
    let line: String = text.chars().take(100).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > 100 { format!("{line}…") } else { line }
}
