//! A file that the backend asks for and that no update brought here: a smaller size of a picture, a profile photo. It is
//! fetched, looked at and decided on at once, by the same steps as any other, and then known.

use crate::{
    file_lists::note_listed_files,
    files::{Look, fetch_deadline, inspect_files, scan_deadline},
    observe::Stages,
    outgoing::media_states,
    process::{JudgedMessage, Pipeline},
};
use guarita_media::MediaState;
use guarita_message::{Channel, ConversationKey, Direction, Lane, MediaRef, Message, Part, PartBody};
use guarita_policy::{Circumstances, decide, except};

/// The one who asks waits for it.
const LOOK_SECONDS_MAX: u64 = 30;

impl Pipeline {
    /// What was decided on Telegram's file `id`, looked at now. `None`: it could not be decided; asking again may help.
    pub async fn look_at_file(&self, route: &str, id: &str) -> Option<MediaState> {
        let routes = self.routes();
        let settings = routes.get(route)?;
        let _place = self.place_for_files(route, true).await.ok()?;
        let now = self.parts().now_ms();
        let message = asked_for(id);
        let deadline = fetch_deadline(now + LOOK_SECONDS_MAX * 1000, now);
        let scan_deadline = scan_deadline(now + LOOK_SECONDS_MAX * 1000, now);
        let stages = Stages::new(false);
        let look = Look {
            parts: self.parts(),
            route: settings,
            message: &message,
            passwords: &[],
            now_ms: now,
            deadline,
            scan_deadline,
            stages: &stages,
        };
        let looked = inspect_files(&look).await;
        let (files, mut inspection) =
            looked.inspect_err(|error| tracing::error!(%error, "a file that was asked for was not looked at")).ok()?;
        // Telegram is out of reach for a moment: nothing is known yet, and nothing is noted.
        if files.iter().any(|file| file.may_mend) {
            return None;
        }
        let brains = self.brains();
        let message = self.round_two(message, &mut inspection, &brains, 0).await;
        note_listed_files(&mut inspection, &brains);
        except(&message, &mut inspection, &brains.exceptions);
        let decision = decide(&message, &inspection, &settings.policy, Circumstances { deadline_passed: false });
        if decision.hold {
            return None;
        }
        let quarantine = decision.quarantine;
        let states =
            media_states(self.parts(), &JudgedMessage { message, inspection, decision, files, first_contact: false });
        let state = states.first().map(|(_, state)| state.clone());
        self.keep_contents(settings, quarantine, &states, now).await.ok()?;
        self.parts().index.decide(now, states).await.ok()?;
        state
    }
}

/// The message that such a file would have come in.
fn asked_for(id: &str) -> Message {
    let media = MediaRef { id: Some(id.to_owned()), ..MediaRef::default() };
    Message {
        channel: Channel::Telegram,
        direction: Direction::Inbound,
        lane: Lane::Message,
        id: String::new(),
        kind: "document".into(),
        account: String::new(),
        senders: Vec::new(),
        conversation: ConversationKey(String::new()),
        dedupe: None,
        timestamp: 0,
        forwarded: false,
        frequently_forwarded: false,
        parts: vec![Part {
            pointer: "/message/document".into(),
            place: "/document".into(),
            body: PartBody::File(media),
        }],
        pointer: "/message".into(),
    }
}
