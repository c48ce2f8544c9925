//! `kill -9` at random moments under load: nothing answered with 200 is lost, repeats carry the same delivery id, and each
//! conversation keeps its order.

use crate::rig::{APP_SECRET, Rig};
use guarita_testkit::{
    MetaStandIn,
    payload::{self, Customer},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const CONVERSATIONS: usize = 8;
const KILLS: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost() {
    let environment = [("GUARITA__CLAMAV__ADDRESS", "unix:/nowhere")];
    let mut rig = Rig::prepare(None).await;
    rig.launch(&environment).await;
    let stop = Arc::new(AtomicBool::new(false));
    let acknowledged: Arc<Mutex<Vec<Vec<u32>>>> = Arc::new(Mutex::new(vec![Vec::new(); CONVERSATIONS]));
    let mut senders = Vec::new();
    for conversation in 0..CONVERSATIONS {
        let (stop, acknowledged, webhook) = (stop.clone(), acknowledged.clone(), rig.webhook());
        senders.push(tokio::spawn(async move {
            let customer = Customer::new("C", &format!("55119000000{conversation:02}"));
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) {
                let id = format!("wamid.K{conversation}.{number}");
                let body = payload::whatsapp(&customer, &id, u64::from(number), payload::text("oi")).to_string();
                // As Meta does: without a 200 the same is sent again.
                match MetaStandIn::deliver(&webhook, APP_SECRET, body.as_bytes()).await {
                    Ok(sent) if sent.status == 200 => {
                        acknowledged.lock().unwrap()[conversation].push(number);
                        number += 1;
                    }
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        }));
    }
    // Moments that differ from run to run would be a test that fails once a month: these are spread, and fixed.
    for kill in 0..KILLS {
        tokio::time::sleep(Duration::from_millis(150 + kill * 137 % 400)).await;
        rig.kill();
        rig.launch(&environment).await;
    }
    // A slow disk makes few messages; the kills must have met some all the same.
    let counted = || acknowledged.lock().unwrap().iter().map(Vec::len).sum::<usize>();
    for _ in 0..600 {
        if counted() > 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.expect("a sender does not panic");
    }
    let acknowledged = acknowledged.lock().unwrap().clone();
    let total: usize = acknowledged.iter().map(Vec::len).sum();
    assert!(total > 50, "hardly any load within a minute: {total}");
    let all_there = |received: &[guarita_testkit::Received]| {
        let mut seen: HashMap<String, ()> = HashMap::new();
        for one in received {
            seen.insert(one.message()["id"].as_str().unwrap_or_default().to_owned(), ());
        }
        acknowledged.iter().enumerate().all(|(conversation, numbers)| {
            numbers.iter().all(|number| seen.contains_key(&format!("wamid.K{conversation}.{number}")))
        })
    };
    // A dead gateway's leases die with it, so everything comes soon.
    assert!(rig.backend.wait_until(60, all_there).await, "acknowledged messages are missing\n{}", rig.log());

    let mut deliveries: HashMap<String, String> = HashMap::new();
    let mut order: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for one in rig.backend.received() {
        let id = one.message()["id"].as_str().unwrap().to_owned();
        let delivery = one.header("x-guarita-delivery").to_owned();
        let (conversation, number) = id.strip_prefix("wamid.K").and_then(|rest| rest.split_once('.')).unwrap();
        let earlier = deliveries.insert(id.clone(), delivery.clone());
        assert!(earlier.is_none_or(|earlier| earlier == delivery), "{id} came under two delivery ids");
        let numbers = order.entry(conversation.to_owned()).or_default();
        let number: u32 = number.parse().unwrap();
        // A repeat of the last one is the only step that is not forward.
        assert!(
            numbers.last().is_none_or(|last| number == *last || number == last + 1),
            "{conversation}: {number} after {numbers:?}"
        );
        numbers.push(number);
    }
}
