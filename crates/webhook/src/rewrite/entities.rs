//! Telegram's entities (bold, links, commands) are offsets into a text: an edit moves those behind it.
//!
//! Offsets and lengths count UTF-16 units, as Telegram does.

use crate::json::{Changes, Document, Kind, NodeId};
use guarita_message::TextEdit;

/// One edit in UTF-16 units.
struct Moved {
    start: usize,
    end: usize,
    length: usize,
}

/// Moves the entities of every text that `edits` change.
pub(super) fn shift(document: &Document<'_>, changes: &mut Changes<'_, '_>, edits: &[TextEdit]) {
    let mut pointers: Vec<&str> = edits.iter().map(|edit| edit.pointer.as_str()).collect();
    pointers.sort_unstable();
    pointers.dedup();
    for pointer in pointers {
        let Some(text) = document.at(document.root(), pointer).filter(|node| document.kind(*node) == Kind::String)
        else {
            continue;
        };
        let list = match document.key(text).as_deref() {
            Some("text") => "entities",
            Some("caption") => "caption_entities",
            _ => continue,
        };
        let Some(entities) = document.parent(text).and_then(|message| document.get(message, list)) else { continue };
        let moved =
            moved(&document.text(text).unwrap_or_default(), edits.iter().filter(|edit| edit.pointer == pointer));
        for entity in document.children(entities) {
            shift_entity(document, changes, entity, &moved);
        }
    }
}

fn moved<'e>(text: &str, edits: impl Iterator<Item = &'e TextEdit>) -> Vec<Moved> {
    let units = |bytes: usize| {
        let before = text.char_indices().take_while(|(at, c)| at + c.len_utf8() <= bytes);
        before.map(|(_, c)| c.len_utf16()).sum::<usize>()
    };
    let mut moved: Vec<Moved> = edits
        .filter(|edit| edit.start <= edit.end)
        .map(|edit| Moved {
            start: units(edit.start),
            end: units(edit.end),
            length: edit.replacement.encode_utf16().count(),
        })
        .collect();
    moved.sort_by_key(|edit| edit.start);
    moved
}

fn shift_entity(document: &Document<'_>, changes: &mut Changes<'_, '_>, entity: NodeId, moved: &[Moved]) {
    let number = |name| {
        let node = document.get(entity, name)?;
        Some((node, document.raw(node).parse::<usize>().ok()?))
    };
    let (Some((offset_node, offset)), Some((length_node, length))) = (number("offset"), number("length")) else {
        return;
    };
    let start = place_of(offset, moved, false);
    let end = place_of(offset.saturating_add(length), moved, true).max(start);
    changes.replace(offset_node, start.to_string());
    changes.replace(length_node, (end - start).to_string());
}

/// Where a position is after the edits; one within an edit goes to that edit's start or end.
fn place_of(position: usize, moved: &[Moved], is_end: bool) -> usize {
    let mut place = position;
    for edit in moved.iter().rev().filter(|edit| edit.start < position || !is_end && edit.start == position) {
        if edit.end <= position {
            if edit.start < position || edit.start == edit.end {
                place = (place + edit.length).saturating_sub(edit.end - edit.start);
            }
        } else if edit.start < position {
            let into = position - edit.start;
            place = place - into.min(place) + if is_end { edit.length } else { 0 };
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use guarita_message::Action;

    /// Entities as `[offset, length]` before and after edits of `text`.
    fn check(text: &str, edits: &[(&str, &str)], before: &[(usize, usize)], after: &[(usize, usize)]) {
        let entities: Vec<String> = before.iter().map(|(o, l)| format!(r#"{{"offset":{o},"length":{l}}}"#)).collect();
        let json = format!(r#"{{"update_id":1,"m":{{"text":{text:?},"entities":[{}]}}}}"#, entities.join(","));
        let document = Document::parse(json.as_bytes()).unwrap();
        let edits: Vec<TextEdit> = edits
            .iter()
            .map(|(find, replacement)| {
                let start = text.find(find).unwrap();
                TextEdit {
                    pointer: "/m/text".into(),
                    start,
                    end: start + find.len(),
                    replacement: (*replacement).into(),
                    action: Action::Defang,
                }
            })
            .collect();
        let mut changes = Changes::of(&document);
        shift(&document, &mut changes, &edits);
        let out = changes.finish().unwrap_or_else(|| json.clone());
        let value: serde_json::Value = serde_json::from_str(&out).unwrap();
        let number = |entity: &serde_json::Value, name: &str| entity[name].as_u64().unwrap() as usize;
        let got: Vec<(usize, usize)> = value["m"]["entities"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| (number(e, "offset"), number(e, "length")))
            .collect();
        assert_eq!(got, after, "{text} {edits:?}");
    }

    #[test]
    fn entities_follow_their_words() {
        // "/start 😀 a.b fim": command, link, word behind it.
        let text = "/start 😀 a.b fim";
        let entities = [(0, 6), (10, 3), (14, 3)];
        check(text, &[], &entities, &entities);
        check(text, &[("a.b", "a[.]b")], &entities, &[(0, 6), (10, 5), (16, 3)]);
        check(text, &[("a.b", "")], &entities, &[(0, 6), (10, 0), (11, 3)]);
        check(text, &[("😀", "é"), ("a.b", "a[.]b")], &entities, &[(0, 6), (9, 5), (15, 3)]);
        check(text, &[("b fim", "c")], &entities, &[(0, 6), (10, 3), (12, 1)]);
        check(text, &[("art 😀 a", "x")], &entities, &[(0, 4), (3, 3), (7, 3)]);
    }
}
