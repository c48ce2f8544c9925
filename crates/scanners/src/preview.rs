//! A preview from the locked worker, read as hostile: the worker may have been taken over by the file it drew. What is
//! taken from it are numbers and letters within bounds; a picture's pixels are pixels whatever they are.

use crate::sandboxed::{Header, SandboxedFiles, cut, is_media_type};
use guarita_message::{Finding, GapReason, Member, Preview, Shown};
use guarita_sandbox::{Open, Outcome};

impl SandboxedFiles {
    /// What the file looks like. `open` is called on a worker's thread. Never fails: what went wrong is in the answer.
    pub async fn preview(&self, name: &str, declared_type: &str, open: Open) -> Preview {
        let header = Header::of(name, declared_type, &[]).wanting_preview();
        let header = serde_json::to_vec(&header).expect("strings always serialise");
        match self.pool().look(header, open).await {
            Outcome::Answer(answer) => read(&answer).unwrap_or_else(|| Preview::nothing(GapReason::Crashed)),
            Outcome::TimedOut => Preview::nothing(GapReason::Timeout),
            Outcome::Crashed(_) => Preview::nothing(GapReason::Crashed),
            Outcome::TooLarge => Preview::nothing(GapReason::TooLarge),
            Outcome::InputFailed(_) | Outcome::Unavailable(_) => Preview::nothing(GapReason::ScannerUnavailable),
        }
    }
}

/// Four bytes of length, JSON, pixels. `None`: it makes no sense.
fn read(answer: &[u8]) -> Option<Preview> {
    let (length, rest) = answer.split_first_chunk::<4>()?;
    let (head, behind) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    let mut preview: Preview = serde_json::from_slice(head).ok()?;
    if !is_media_type(&preview.true_type) {
        preview.true_type = "application/octet-stream".to_owned();
    }
    match &mut preview.shown {
        Shown::Picture { width, height, pixels } => {
            let sides = 1..=Preview::SIDE_MAX;
            let bytes = (*width as usize).saturating_mul(*height as usize).saturating_mul(3);
            if !sides.contains(width) || !sides.contains(height) || behind.len() != bytes {
                return None;
            }
            *pixels = behind.to_vec();
        }
        // A mark of its own may stand at the end of each line.
        Shown::Text { text, .. } => *text = cut(text, Preview::TEXT_CHARS_MAX + 2 * Preview::LINES_MAX),
        Shown::Members { members, .. } => {
            members.truncate(Preview::MEMBERS_MAX);
            members.iter_mut().for_each(tame);
        }
        Shown::Nothing { .. } => {}
    }
    Some(preview)
}

fn tame(member: &mut Member) {
    member.name = cut(&Finding::evidence_of(&member.name), Preview::NAME_CHARS_MAX);
    if !is_media_type(&member.true_type) {
        member.true_type.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(head: &str, behind: &[u8]) -> Vec<u8> {
        let mut out = (head.len() as u32).to_le_bytes().to_vec();
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(behind);
        out
    }

    #[test]
    fn a_picture_has_exactly_its_pixels() {
        let check = |width: u64, height: u64, bytes: usize| {
            let head =
                format!(r#"{{"type":"image/png","shown":{{"kind":"picture","width":{width},"height":{height}}}}}"#);
            read(&answer(&head, &vec![7; bytes])).is_some()
        };
        assert!(check(2, 3, 18));
        assert!(!check(2, 3, 17) && !check(2, 3, 19), "too few or too many");
        assert!(!check(0, 3, 0) && !check(513, 1, 1539) && !check(4_000_000_000, 4_000_000_000, 0));
        assert!(!check(u64::MAX, 1, 3));
    }

    #[test]
    fn a_worker_that_lies_is_held_to_the_bounds() {
        let long = "x".repeat(100_000);
        let head = format!(r#"{{"type":"text/html\r\nX: y","shown":{{"kind":"text","text":"{long}","cut":false}}}}"#);
        let preview = read(&answer(&head, b"")).unwrap();
        assert_eq!(preview.true_type, "application/octet-stream");
        let Shown::Text { text, .. } = preview.shown else { panic!() };
        assert!(text.len() < 13_000);
        let member =
            r#"{"name":"a\u202egpj.exe","depth":4294967295,"type":"<b>","bytes":18446744073709551615,"closed":null}"#;
        let members = vec![member; 5_000].join(",");
        let head =
            format!(r#"{{"type":"application/zip","shown":{{"kind":"members","members":[{members}],"cut":false}}}}"#);
        let Shown::Members { members, .. } = read(&answer(&head, b"")).unwrap().shown else { panic!() };
        assert_eq!(members.len(), Preview::MEMBERS_MAX);
        assert!(!members[0].name.contains('\u{202e}') && members[0].true_type.is_empty());
        for nonsense in [&b""[..], b"\xff\xff\xff\xff{}", b"\x02\0\0\0{}", b"\x00\0\0\0"] {
            assert!(read(nonsense).is_none());
        }
    }
}
