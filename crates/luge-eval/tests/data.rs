//! Rows of files: formats, encodings, and what is wrong with them.

use std::path::Path;

use luge_eval::{DataFile, Problem, Row};
use proptest::prelude::*;
use serde_json::json;

/// The rows of a file in memory, or the error.
fn rows(name: &str, bytes: &[u8]) -> Result<Vec<Result<Row, Problem>>, String> {
    let text = |error: luge_eval::Error| error.to_string();
    let data = DataFile::from_bytes(Path::new(name), bytes.to_vec()).map_err(text)?;
    let mut rows = Vec::new();
    data.each_row(|row| rows.push(row)).map_err(text)?;
    Ok(rows)
}

/// The same, a line for each row.
fn shown(name: &str, bytes: &[u8]) -> String {
    match rows(name, bytes) {
        Err(error) => error,
        Ok(rows) => {
            let line = |row: &Result<Row, Problem>| match row {
                Ok(row) => {
                    let columns = serde_json::to_string(&row.columns).unwrap();
                    format!("{} = {columns}\n", row.place)
                }
                Err(problem) => format!("{} {}\n", problem.place, problem.what),
            };
            rows.iter().map(line).collect()
        }
    }
}

#[test]
fn csv_has_quotes_and_line_breaks_in_them() {
    let text = "a,b\r\n1,\"x, \"\"y\"\"\r\nz\"\r\n\r\n2,\n";
    assert_eq!(
        shown("t.csv", text.as_bytes()),
        "t.csv, row 1 (line 2) = {\"a\":\"1\",\"b\":\"x, \\\"y\\\"\\r\\nz\"}\n\
         t.csv, row 2 (line 5) = {\"a\":\"2\",\"b\":\"\"}\n"
    );
}

#[test]
fn broken_csv_rows_are_named_and_the_others_go_on() {
    let text = b"a,b\n1,2,3\n4\n\"5,6\n7,8\n\"9\"x,9\n\xff,1\n10,11";
    assert_eq!(
        shown("t.csv", text),
        "t.csv, row 1 (line 2) has 3 fields, and the header 2\n\
         t.csv, row 2 (line 3) has 1 field, and the header 2\n\
         t.csv, row 3 (line 4) has a quote in the midst of a field: write \"\" for one quote \
         inside of quotes\n\
         t.csv, row 4 (line 5) = {\"a\":\"7\",\"b\":\"8\"}\n\
         t.csv, row 5 (line 6) has a quote in the midst of a field: write \"\" for one quote \
         inside of quotes\n\
         t.csv, row 6 (line 7) is not UTF-8: convert the file, for instance with iconv -f latin1 \
         -t utf-8\n\
         t.csv, row 7 (line 8) = {\"a\":\"10\",\"b\":\"11\"}\n"
    );
    assert_eq!(
        shown("t.csv", b"a,b\n1,\"2\n3,4\n"),
        "t.csv, row 1 (line 2) has a quote that is not closed\n\
         t.csv, row 2 (line 3) = {\"a\":\"3\",\"b\":\"4\"}\n"
    );
}

#[test]
fn fields_stand_between_tabs_and_semicolons_too() {
    let one = "t, row 1 (line 2) = {\"a\":\"1,5\",\"b\":\"2\"}\n";
    assert_eq!(shown("t", b"a\tb\n1,5\t2\n"), one);
    assert_eq!(shown("t", b"a;b\n1,5;2\n"), one);
    // A line of tabs is a row of empty fields, not an empty line.
    assert_eq!(shown("t.tsv", b"a\tb\n\t\n"), "t.tsv, row 1 (line 2) = {\"a\":\"\",\"b\":\"\"}\n");
}

#[test]
fn json_lines_go_on_behind_a_broken_one() {
    let text = b"{\"a\":1}\n\n{\"a\":\n[1]\n3\n{\"a\":\"\xe9\"}\n{\"a\":[true,null]}";
    assert_eq!(
        shown("t.jsonl", text),
        "t.jsonl, row 1 (line 1) = {\"a\":1}\n\
         t.jsonl, row 2 (line 3) is no JSON: EOF while parsing a value at column 5\n\
         t.jsonl, row 3 (line 4) is an array, not an object\n\
         t.jsonl, row 4 (line 5) is no JSON object\n\
         t.jsonl, row 5 (line 6) is not UTF-8: convert the file, for instance with iconv -f \
         latin1 -t utf-8\n\
         t.jsonl, row 6 (line 7) = {\"a\":[true,null]}\n"
    );
}

#[test]
fn an_array_of_json_goes_on_behind_a_broken_object() {
    let text = "[\n  {\"a\": \"], {\\\"\"},\n  {\"a\" 1},\n  7,\n  {\"a\": {\"b\": [1, 2]}}\n]\n";
    assert_eq!(
        shown("t.json", text.as_bytes()),
        "t.json, row 1 (line 2) = {\"a\":\"], {\\\"\"}\n\
         t.json, row 2 (line 3) is no JSON: expected `:` at column 6\n\
         t.json, row 3 (line 4) is no JSON object\n\
         t.json, row 4 (line 5) = {\"a\":{\"b\":[1,2]}}\n"
    );
    let cut = &text[..text.len() - 10];
    let last = shown("t.json", cut.as_bytes());
    assert!(last.ends_with("row 4 (line 5) is cut off: the file ends in it\n"), "{last}");
}

#[test]
fn json_comes_in_other_shapes_too() {
    let row = "= {\"a\":[1]}\n";
    let table = "{\"version\": [1], \"na\\\"me\" : [{\"a\":[1]}]}";
    assert_eq!(shown("t.json", table.as_bytes()), format!("t.json, row 1 (line 1) {row}"));
    assert_eq!(shown("t.json", b"\n{\"a\":[1]}"), format!("t.json, row 1 (line 2) {row}"));
    // One object a line, whatever the file is called.
    let two = shown("t.json", b"{\"a\":[1]}\n{\"a\":[1]}");
    assert_eq!(two, format!("t.json, row 1 (line 1) {row}t.json, row 2 (line 2) {row}"));
    let several = "{\"a\": [{\"b\":1}], \"c\": [{\"d\":1}]}";
    assert!(shown("t.json", several.as_bytes()).contains("several arrays of objects"));
}

#[test]
fn files_without_rows_are_errors() {
    for (name, bytes, what) in [
        ("t.csv", &b""[..], "it is empty"),
        ("t.csv", b"a,b\n", "it has no rows"),
        ("t.csv", b"\n\n", "it has no rows"),
        ("t.jsonl", b"\n \n", "it has no rows"),
        ("t.json", b"[]", "it has no rows"),
        ("t.json", b" ", "it has no rows"),
        ("t.json", b"7", "it is neither an array of objects nor an object"),
        ("t.csv", b"a,a\n1,2\n", "it has the column 'a' twice: rename one"),
        ("t.csv", b"\"a,b\n1,2\n", "its header has a quote that is not closed"),
        (
            "t.jsonl.gz",
            b"\x1f\x8b\x08",
            "it is compressed: unpack it first, for instance with gunzip",
        ),
        ("t.zip", b"PK\x03\x04", "it is an archive: unpack it first, for instance with unzip"),
        ("t.csv", b"\xff\xfea\0b", "it is broken UTF-16"),
    ] {
        assert_eq!(shown(name, bytes), format!("the data '{name}' cannot be used: {what}"));
    }
    assert!(shown("t.parquet", b"PAR1").contains("it is damaged, or no Parquet file"));
    let missing = DataFile::read(Path::new("no/such.csv")).err().unwrap().to_string();
    assert!(missing.starts_with("cannot read 'no/such.csv'"), "{missing}");
}

#[test]
fn byte_order_marks_are_no_part_of_the_first_column() {
    let text = "Frage,Antwort\nWo?,Köln\n";
    let plain = shown("t.csv", text.as_bytes());
    assert_eq!(plain, "t.csv, row 1 (line 2) = {\"Frage\":\"Wo?\",\"Antwort\":\"Köln\"}\n");
    assert_eq!(shown("t.csv", format!("\u{feff}{text}").as_bytes()), plain);
    let little: Vec<u8> =
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> =
        format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(shown("t.csv", &little), plain);
    assert_eq!(shown("t.csv", &big), plain);
}

#[test]
fn the_checksum_is_of_the_file_as_it_is() {
    let of = |bytes: &[u8]| {
        DataFile::from_bytes(Path::new("t.csv"), bytes.to_vec()).unwrap().sha256().to_owned()
    };
    // As `printf 'a\n1\n' | sha256sum` has it.
    assert_eq!(of(b"a\n1\n"), "309b0e45a73d3fc5325e2b6ed0a01ef8b9cde6b05a5633c1f893f970d52bfddc");
    assert_ne!(of(b"a\n1\n"), of(b"\xef\xbb\xbfa\n1\n"));
}

fn parquet(codec: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    std::fs::read(folder.join(format!("{codec}.parquet"))).unwrap()
}

#[test]
fn parquet_is_read_in_all_codecs() {
    for codec in ["none", "snappy", "zstd", "gzip"] {
        let rows = rows("t.parquet", &parquet(codec)).unwrap();
        let first = rows[0].as_ref().unwrap();
        assert_eq!(first.place, "t.parquet, row 1");
        assert_eq!(
            serde_json::Value::Object(first.columns.clone()),
            json!({
                "question": "Which star is nearest to the Earth?",
                "answer": {"value": "the Sun", "aliases": ["Sun", "Sol"]},
                "choices": ["the Sun", "Sirius", "Vega"],
                "index": 0,
                "category": "sky",
            })
        );
        let second = rows[1].as_ref().unwrap();
        assert_eq!(second.columns["question"], "Welche Farbe hat der Schnee? – weiß");
        assert_eq!(second.columns["answer"]["aliases"], json!([]));
        assert_eq!(rows[2].as_ref().unwrap().columns["question"], json!(null));
        assert_eq!(rows.len(), 3, "{codec}");
        let data = DataFile::from_bytes(Path::new("without a name"), parquet(codec)).unwrap();
        assert_eq!(data.columns().unwrap(), ["question", "answer", "choices", "index", "category"]);
    }
}

proptest! {
    // A damaged Parquet file makes its reader panic, which is caught but printed.
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_rows_or_an_error(bytes in any::<Vec<u8>>(), kind in 0usize..5) {
        let name = ["t.csv", "t.tsv", "t.json", "t.jsonl", "t.parquet"][kind];
        let _ = rows(name, &bytes);
    }

    #[test]
    fn bytes_that_look_like_data_are_rows_or_an_error(
        text in "([\\[\\]{}\",:;\\\\\n\r\t a1]|true){0,60}",
        kind in 0usize..5,
    ) {
        let name = ["t.csv", "t.tsv", "t.json", "t.jsonl", "t"][kind];
        if let Ok(rows) = rows(name, text.as_bytes()) {
            for (number, row) in rows.iter().enumerate() {
                let index = match row { Ok(row) => row.index, Err(problem) => problem.index };
                prop_assert_eq!(index, number);
            }
        }
    }

    #[test]
    fn a_damaged_parquet_file_is_an_error_or_rows(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        codec in 0usize..4,
    ) {
        let mut bytes = parquet(["none", "snappy", "zstd", "gzip"][codec]);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = rows("t.parquet", &bytes);
        bytes.truncate(at);
        prop_assert!(rows("t.parquet", &bytes).is_err());
    }

    #[test]
    fn tables_come_back_as_they_were_written(
        table in prop::collection::vec(prop::collection::vec("[a \",;\n\r\té]{0,6}", 3), 1..6),
    ) {
        let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
        let mut csv = "x,y,z\n".to_owned();
        let mut lines = String::new();
        for row in &table {
            csv += &row.iter().map(quoted).collect::<Vec<_>>().join(",");
            csv += "\n";
            lines += &json!({"x": row[0], "y": row[1], "z": row[2]}).to_string();
            lines += "\n";
        }
        let array = format!("[{}]", lines.trim_end().replace("}\n{", "},\n{"));
        for (name, text) in [("t.csv", &csv), ("t.jsonl", &lines), ("t.json", &array)] {
            let rows = rows(name, text.as_bytes()).unwrap();
            prop_assert_eq!(rows.len(), table.len());
            for (row, fields) in rows.iter().zip(&table) {
                let row = row.as_ref().unwrap();
                for (name, field) in ["x", "y", "z"].iter().zip(fields) {
                    prop_assert_eq!(&row.columns[*name], field.as_str());
                }
            }
        }
    }
}
