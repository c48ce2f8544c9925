//! Cells of CSV files that a spreadsheet would run: DDE calls and formulas that fetch.

use super::bytes::{cut, lossy};
use super::office_ole::say_dde;
use super::report::Report;

const TABLE_BYTES_MAX: usize = 8 << 20;

pub fn inspect(extension: &str, data: &[u8], report: &mut dyn Report) {
    // A text file opens in an editor, where no cell runs.
    if !matches!(extension, "csv" | "tsv" | "slk" | "iqy" | "") {
        return;
    }
    let text = lossy(data.get(..TABLE_BYTES_MAX.min(data.len())).unwrap_or_default());
    for cell in text.split([',', ';', '\t', '\n', '\r']) {
        let cell = cell.trim().trim_start_matches(['"', '\'']).trim_start();
        if !cell.starts_with(['=', '+', '-', '@']) {
            continue;
        }
        let lower = cut(cell, 400).to_ascii_lowercase();
        if lower.contains('|') && lower.contains('!') {
            say_dde(cut(cell, 200), report);
            return;
        }
        // `=HYPERLINK` waits for a click; `=WEBSERVICE` and `=IMPORTXML` do not.
        if ["webservice(", "importxml(", "importdata(", "call(", "register.id("].iter().any(|call| lower.contains(call))
        {
            report.fact("files/table-formula", cut(cell, 140));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::report::tests::Seen;

    #[test]
    fn cells_that_run() {
        let check = |extension: &str, text: &str, expect: &[&str]| {
            let mut seen = Seen::default();
            inspect(extension, text.as_bytes(), &mut seen);
            assert_eq!(seen.rules(), expect, "{text}");
        };
        check("csv", "a,b\n1,=cmd|'/C calc'!A0\n", &["files/office-dde"]);
        check("csv", "a;\"=WEBSERVICE(\"\"http://x\"\")\"\n", &["files/table-formula"]);
        check("csv", "a,-5,+55 11 99999-0000,=SUM(A1)\n", &[]);
        check("txt", "=cmd|'/C calc'!A0", &[]);
    }
}
