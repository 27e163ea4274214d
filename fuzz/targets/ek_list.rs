//! A fleet's list of EK hashes: what is read of a line is what stands in it, however the line is dressed.
#![no_main]

// The module by itself: all of the attestor would take minutes to build.
#[rustfmt::skip]
#[path = "../../attestor/src/ek_hashes/csv.rs"]
#[allow(dead_code, reason = "the attestor uses all of it")]
mod csv;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut last = 0;
    for (line, fields) in csv::lines(data) {
        assert!(last < line && line <= data.len());
        last = line;
        let Ok(fields) = fields else { continue };
        assert!(!fields.concat().contains([',', '"', '\n']));
        let [first, second] = fields;
        let dressed = format!("\"{first}\",\t\"{second}\"");
        // The dress may be what makes it too long.
        let expected = if dressed.len() > csv::MAX_LINE {
            Err(csv::LineProblem::Length)
        } else {
            Ok(fields)
        };
        let again = format!("\u{feff}{dressed}\r\n");
        let mut again = csv::lines(again.as_bytes());
        assert_eq!(again.next(), Some((1, expected)));
        assert_eq!(again.next(), None);
    }
});
