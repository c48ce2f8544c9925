//! What a served file came with: its delivery, its message, what was found in it then. From the spool, as long as that
//! keeps it.

use super::Fault;
use crate::{Pipeline, files::password_candidates, process::texts_of};
use guarita_media::{Served, ServedMedia};
use guarita_message::{DeliveryId, FileReport, Finding, Message, PartBody};
use guarita_spool::SpoolError;
use serde::Deserialize;

pub(super) struct Origin {
    pub delivery: DeliveryId,
    pub route: String,
    pub message: Message,
    pub place: String,
    pub media: Option<String>,
    /// What was found in this file then.
    pub before: Vec<Finding>,
    pub report: Option<FileReport>,
    pub passwords: Vec<String>,
}

/// The parts of `process::report` that matter here.
#[derive(Deserialize)]
struct Report {
    messages: Vec<OfMessage>,
}

#[derive(Deserialize)]
struct OfMessage {
    pointer: String,
    #[serde(default)]
    inspection: OfInspection,
    #[serde(default)]
    media: Vec<OfMedia>,
}

#[derive(Default, Deserialize)]
struct OfInspection {
    #[serde(default)]
    findings: Vec<Finding>,
    #[serde(default)]
    files: Vec<FileReport>,
}

#[derive(Deserialize)]
struct OfMedia {
    #[serde(rename = "where")]
    place: String,
    id: String,
}

impl Origin {
    /// `None`: it is not known any more.
    pub(super) async fn find(
        pipeline: &Pipeline,
        served: &dyn Served,
        one: &ServedMedia,
    ) -> Result<Option<Origin>, Fault> {
        let Some(delivery) = one.origin.clone().map(DeliveryId) else { return Ok(None) };
        let spool = &pipeline.parts().spool;
        let Some(record) = spool.record(&delivery).await? else { return Ok(None) };
        let content = match spool.content(&delivery).await {
            Ok(content) => content,
            Err(SpoolError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let (Some(body), Some(report)) = (content.received, content.report) else { return Ok(None) };
        let (Ok(parsed), Ok(report)) = (guarita_webhook::parse(&body), serde_json::from_slice::<Report>(&report))
        else {
            return Ok(None);
        };
        for of in report.messages {
            let Some(media) = of.media.into_iter().find(|media| served.key(&media.id) == one.key) else { continue };
            let Some(message) = parsed.messages.iter().find(|message| message.pointer == of.pointer) else { continue };
            let place = media.place;
            return Ok(Some(Origin {
                delivery,
                route: record.route,
                passwords: password_candidates(texts_of(message).iter().map(String::as_str)),
                message: message.clone(),
                before: of.inspection.findings.into_iter().filter(|finding| finding.place == place).collect(),
                report: of.inspection.files.into_iter().find(|file| file.place == place),
                place,
                media: Some(media.id),
            }));
        }
        Ok(None)
    }

    /// The message as if it held this file and nothing else.
    pub(super) fn file_alone(&self) -> Message {
        let mut message = self.message.clone();
        message.parts.retain(|part| part.place == self.place && matches!(part.body, PartBody::File(_)));
        message
    }
}
