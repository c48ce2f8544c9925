//! What a file worker that was taken over may answer: frames, and reports in them. Nothing in it reaches beyond the file
//! that was asked about, or grows beyond what a report may hold.

#![no_main]

use libfuzzer_sys::fuzz_target;
use guarita_inspect::{Content, FileUnderScan};
use guarita_message::ContentHash;
use std::io::{self, Read};
use std::sync::Arc;

const ANSWER_BYTES_MAX: usize = 1 << 20;

struct Nothing;

impl Content for Nothing {
    fn bytes(&self) -> u64 {
        0
    }
    fn open(&self) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::empty()))
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut from = bytes;
    while let Ok((_, payload)) = guarita_sandbox::frame::read(&mut from, ANSWER_BYTES_MAX) {
        assert!(payload.len() <= bytes.len());
    }
    let _ = guarita_file_worker::Setup::decode(bytes);
    let file = FileUnderScan {
        place: "/document".to_owned(),
        name: "a.pdf".to_owned(),
        declared_type: "application/pdf".to_owned(),
        hash: ContentHash([7; 32]),
        content: Arc::new(Nothing),
        passwords: Vec::new(),
    };
    let taken = guarita_scanners::fuzzing::read_answer(bytes, &file, "v");
    assert!(taken.findings.len() <= 200 && taken.gaps.len() <= 50 && taken.found.len() <= 400);
    assert_eq!(taken.files.len(), 1);
    assert_eq!(taken.files[0].sha256, Some(ContentHash([7; 32])));
    assert!(taken.findings.iter().all(|finding| finding.place == "/document" && finding.span.is_none()));
    assert!(taken.gaps.iter().all(|gap| gap.place == "/document"));
    assert!((0.0..=1.0).contains(&taken.score));
});
