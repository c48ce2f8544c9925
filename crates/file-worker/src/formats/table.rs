//! Cells of CSV and SYLK files that a spreadsheet would run: DDE calls, formulas that fetch, Excel 4 macros.

use super::bytes::{cut, lossy};
use super::office_ole::{say_dde, say_macro_sheets};
use super::report::Report;

/// Functions that only Excel 4 macro sheets know.
const MACRO_CALLS: &[&str] = &["exec(", "call(", "register(", "fopen(", "run(", "formula(", "halt("];
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

/// SYLK: `O;E` makes the sheet one of macros, `NN;NAuto_open` starts it.
pub fn inspect_sylk(data: &[u8], report: &mut dyn Report) {
    let text = lossy(data.get(..TABLE_BYTES_MAX.min(data.len())).unwrap_or_default());
    let (mut macros, mut starts) = (false, false);
    for line in text.lines() {
        let lower = cut(line, 400).to_ascii_lowercase();
        macros |= lower.starts_with("o;") && lower.split(';').any(|field| field == "e");
        starts |= lower.starts_with("nn;") && (lower.contains("auto_open") || lower.contains("auto_close"));
        let macro_call = |field: &str| {
            field.strip_prefix('e').is_some_and(|formula| MACRO_CALLS.iter().any(|call| formula.starts_with(call)))
        };
        macros |= lower.starts_with("c;") && lower.split(';').any(macro_call);
        let calls = |field: &str| field.starts_with('e') && field.contains('|') && field.contains('!');
        if lower.starts_with("c;") && lower.split(';').any(calls) {
            return say_dde(cut(line, 200), report);
        }
    }
    if macros || starts {
        say_macro_sheets(&[("SYLK".to_owned(), false)], starts, report);
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
        let mut seen = Seen::default();
        inspect_sylk(b"ID;P\nO;E\nNN;NAuto_open;ER101C1\nC;X1;Y101;EEXEC(\"calc\")\nE\n", &mut seen);
        inspect_sylk(b"ID;PWXL\nC;Y1;X1;K\"a|b!\"\n", &mut seen);
        assert_eq!(seen.rules(), ["files/office-xlm-autorun"]);
        inspect_sylk(b"ID;PWXL\nC;X1;Y1;K0;Ecmd|'/c calc'!A0\n", &mut seen);
        assert_eq!(seen.rules(), ["files/office-xlm-autorun", "files/office-dde"]);
        check("txt", "=cmd|'/C calc'!A0", &[]);
    }
}
