//! Disk images that people mount by a double click: what lies in their file systems is found by its name and its way. The
//! images in `disks/` were made with mkfs.fat, mkntfs, genisoimage and qemu-img, and are packed twice, being mostly zeros.
//! All but `leia.img` hold `leia.txt`, `fatura.exe` (the head of a program, no code) and a script with a long name.

use guarita_file_worker::{Job, Kit, Report, look, walk::Limits};
use guarita_message::GapReason;
use guarita_rules::{Language, RuleSet};
use std::io::Read;
use std::path::Path;

fn image(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/disks").join(format!("{name}.gz.gz"));
    let packed = std::fs::read(path).expect("the image is there");
    let mut bytes = Vec::new();
    let once = flate2::read::GzDecoder::new(packed.as_slice());
    flate2::read::GzDecoder::new(once).read_to_end(&mut bytes).expect("a packed image");
    bytes
}

fn seen(name: &str, bytes: &[u8]) -> Report {
    let kit = Kit::new(RuleSet::compile(Vec::new(), Language::English).expect("no rules compile"), Limits::default());
    look(bytes, &Job { name: name.to_owned(), ..Job::default() }, &kit.expect("no rules compile"))
}

/// Ways to what was found, without the image's own name.
fn ways(report: &Report, rule: &str) -> Vec<String> {
    let of_rule = report.findings.iter().filter(|finding| finding.rule == rule);
    of_rule.filter_map(|finding| finding.inside.split_once(" › ").map(|(_, way)| way.to_owned())).collect()
}

#[test]
fn what_lies_in_a_file_system_is_found_by_its_way() {
    let check = |name: &str, script: &str| {
        let report = seen(name, &image(name));
        assert!(report.gaps.is_empty(), "{name}: {:?}", report.gaps);
        assert!(ways(&report, "files/program").contains(&"fatura.exe".to_owned()), "{name}: {report:?}");
        assert!(ways(&report, "files/script").contains(&script.to_owned()), "{name}: {report:?}");
    };
    check("fat12.img", "docs/nota fiscal de janeiro.js");
    check("fat32.img", "docs/nota fiscal de janeiro.js");
    check("fat16-in-dynamic.vhd", "docs/nota fiscal de janeiro.js");
    check("ntfs.img", "nota fiscal de janeiro.js");
    check("ntfs-in-fixed.vhd", "nota fiscal de janeiro.js");
    check("ntfs.vhdx", "nota fiscal de janeiro.js");
    check("udf.iso", "docs/nota fiscal de janeiro.js");
    check("bridge.iso", "docs/nota fiscal de janeiro.js");
}

#[test]
fn a_stream_behind_a_harmless_file_is_found() {
    let report = seen("ntfs.img", &image("ntfs.img"));
    assert!(ways(&report, "files/program").contains(&"leia.txt:oculto".to_owned()), "{report:?}");
}

#[test]
fn a_harmless_disk_is_a_disk_and_no_more() {
    let report = seen("leia.img", &image("leia.img"));
    assert!(report.gaps.is_empty(), "{report:?}");
    assert!(report.findings.iter().all(|finding| finding.rule == "files/disk-image"), "{report:?}");
}

#[test]
fn a_partition_of_another_form_is_a_gap() {
    let mut disk = image("fat16-in-dynamic.vhd");
    // The volume's first sector no longer says what it is.
    let at = disk.windows(5).position(|five| five == b"FAT16").expect("a volume");
    disk[at..at + 5].fill(0);
    disk[at - 54] = 0;
    let report = seen("a.vhd", &disk);
    assert_eq!(report.gaps.iter().map(|gap| gap.reason).collect::<Vec<_>>(), [GapReason::Unsupported], "{report:?}");
}

#[test]
fn broken_images_end() {
    let mut state = 5u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 8
    };
    for name in ["fat12.img", "ntfs.img", "ntfs.vhdx", "fat16-in-dynamic.vhd", "udf.iso"] {
        let whole = image(name);
        // Structures lie where the image is not empty.
        let used: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
        for _ in 0..12 {
            let mut broken = whole.clone();
            for _ in 0..40 {
                broken[used[next() as usize % used.len()]] = next() as u8;
            }
            seen(name, &broken);
        }
        seen(name, &whole[..whole.len() / 3]);
    }
}
