//! What one message costs here: `cargo run --release -p guarita-webhook --example speed`.
//!
//! Splits, parses and rewrites (one annotation of 400 bytes, one edit) a typical POST of 1.2 KB, and a batch of 1000.

use guarita_message::{Action, PartBody, TextEdit};
use guarita_webhook::{Order, SplitBy, parse, rewrite, sign, split, verify_signature};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 20_000;

fn message(number: usize) -> String {
    format!(
        r#"{{"from":"55119{number:08}","from_user_id":"BR.{number:016}","id":"wamid.HBgNNTUxMTkwMDAwMDAwMBUCABIYFDNBNEE2{number:08}","timestamp":"1795000000","type":"text","text":{{"body":"Ol\u00e1, tudo bem? Segue o link da segunda via: https://pagamento.example/boleto?id=12345 e o n\u00famero do pedido 998877. Podem conferir, por favor? {}"}}}}"#,
        "Obrigado pela aten\\u00e7\\u00e3o. ".repeat(12)
    )
}

fn post(messages: usize) -> String {
    let contacts: Vec<String> = (0..messages)
        .map(|n| format!(r#"{{"profile":{{"name":"Cliente {n}"}},"wa_id":"55119{n:08}","user_id":"BR.{n:016}"}}"#))
        .collect();
    let messages: Vec<String> = (0..messages).map(message).collect();
    format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"102290129340398","changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"15550783881","phone_number_id":"106540352242922"}},"contacts":[{}],"messages":[{}]}},"field":"messages"}}]}}]}}"#,
        contacts.join(","),
        messages.join(",")
    )
}

fn orders(body: &[u8]) -> Vec<Order> {
    let annotation =
        format!(r#"{{"version":1,"verdict":"malicious","findings":[{}]}}"#, vec!["\"finding\""; 40].join(","));
    let messages = parse(body).map(|delivery| delivery.messages).unwrap_or_default();
    let order = |message: guarita_message::Message| {
        let text = message.parts.iter().find(|part| matches!(&part.body, PartBody::Text { .. }));
        let edits = text.map(|part| TextEdit {
            pointer: part.pointer.clone(),
            start: 46,
            end: 60,
            replacement: "hxxps://pagamento[.]example".into(),
            action: Action::Defang,
        });
        Order { annotation: Some(annotation.clone()), edits: edits.into_iter().collect(), ..Order::of(message.pointer) }
    };
    messages.into_iter().map(order).collect()
}

/// The best of ten turns: the machine may be busy with other things.
fn timed(rounds: usize, mut run: impl FnMut()) -> Duration {
    let turn = |run: &mut dyn FnMut()| {
        let started = Instant::now();
        (0..rounds / 10).for_each(|_| run());
        started.elapsed() / u32::try_from(rounds / 10).unwrap_or(u32::MAX)
    };
    (0..10).map(|_| turn(&mut run)).min().unwrap_or_default()
}

#[allow(clippy::print_stdout)]
fn main() {
    let (one, many) = (post(1), post(1000));
    for (name, body, rounds) in [("1 message", one.as_bytes(), ROUNDS), ("1000 messages", many.as_bytes(), 20)] {
        let orders = orders(body);
        println!("{name}, {} bytes", body.len());
        println!("  parse            {:?}", timed(rounds, || drop(black_box(parse(black_box(body))))));
        println!(
            "  split by message {:?}",
            timed(rounds, || drop(black_box(split(black_box(body), SplitBy::Message))))
        );
        println!(
            "  split by convers {:?}",
            timed(rounds, || drop(black_box(split(black_box(body), SplitBy::Conversation))))
        );
        println!("  rewrite          {:?}", timed(rounds, || drop(black_box(rewrite(black_box(body), &orders)))));
        let signature = sign(b"secret", body);
        println!(
            "  verify           {:?}",
            timed(rounds, || {
                let _ = black_box(verify_signature(b"secret", body, Some(&signature)));
            })
        );
    }
}
