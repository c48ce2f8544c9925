//! The inspectors on something that is no delivery: local files, and what an operator tries in the console.

use guarita_inspect::{FileInspector, FileUnderScan};
use guarita_message::{
    Channel, ConversationKey, Direction, FileReport, Inspection, Lane, Message, Part, PartBody, TextRole,
};
use guarita_pipeline::{Brains, FollowedLinks, inspect_texts, keep_worst, note_listed_files};
use std::sync::Arc;

/// Findings of one input; the worst are kept.
const FINDINGS_MAX: usize = 100;

/// Both rounds: the file, then the texts and links in it and in its name.
pub async fn look_at_file(
    inspectors: &[Arc<dyn FileInspector>],
    brains: Brains,
    file: &FileUnderScan,
) -> Result<Inspection, String> {
    let report = FileReport {
        place: file.place.clone(),
        name: file.name.clone(),
        true_type: String::new(),
        declared_type: file.declared_type.clone(),
        bytes: file.content.bytes(),
        sha256: Some(file.hash),
        scanned_by: Vec::new(),
    };
    let mut inspection = Inspection { files: vec![report], ..Inspection::default() };
    let looks = inspectors.iter().map(|inspector| inspector.inspect(file));
    for seen in futures_util::future::join_all(looks).await {
        inspection.merge(seen);
    }
    let message = message_of(vec![Part {
        pointer: "/name".into(),
        place: "/file/name".into(),
        body: PartBody::Text { text: file.name.clone(), role: TextRole::FileName },
    }]);
    let judged = tokio::task::spawn_blocking(move || {
        inspect_texts(&message, &mut inspection, &brains, &FollowedLinks::new());
        note_listed_files(&mut inspection, &brains);
        keep_worst(&mut inspection, FINDINGS_MAX);
        inspection
    });
    judged.await.map_err(|_| "our own inspection crashed; please report this file".to_owned())
}

/// One text or link.
pub fn look_at_words(brains: &Brains, body: PartBody) -> Inspection {
    let place = if matches!(body, PartBody::Text { .. }) { "/text" } else { "/url" };
    let message = message_of(vec![Part { pointer: place.into(), place: place.into(), body }]);
    let mut inspection = Inspection::default();
    inspect_texts(&message, &mut inspection, brains, &FollowedLinks::new());
    keep_worst(&mut inspection, FINDINGS_MAX);
    inspection
}

fn message_of(parts: Vec<Part>) -> Message {
    Message {
        channel: Channel::Whatsapp,
        direction: Direction::Inbound,
        lane: Lane::Message,
        id: String::new(),
        kind: "local".into(),
        pointer: String::new(),
        account: String::new(),
        senders: Vec::new(),
        conversation: ConversationKey(String::new()),
        dedupe: None,
        timestamp: 0,
        forwarded: false,
        frequently_forwarded: false,
        parts,
    }
}
