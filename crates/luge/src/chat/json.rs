//! `tojson` as Hugging Face's templates know it: Python's `json.dumps` with
//! `ensure_ascii=False`, its separators and its indentation. Nothing is escaped for HTML.

use std::io::{self, Write};

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use serde::Serialize;
use serde_json::ser::Formatter;

/// The filter.
pub(super) fn tojson(
    value: &Value,
    indent: Option<usize>,
    options: Kwargs,
) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get("indent")?,
    };
    let sort = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let separators: Option<(String, String)> =
        options.get::<Option<Vec<String>>>("separators")?.and_then(|both| {
            let [item, key] = <[String; 2]>::try_from(both).ok()?;
            Some((item, key))
        });
    let _: Option<bool> = options.get("ensure_ascii")?;
    options.assert_all_used()?;
    let (item, key) = separators.unwrap_or_else(|| {
        ((if indent.is_some() { "," } else { ", " }).to_owned(), ": ".to_owned())
    });
    let mut out = Vec::new();
    let style = PythonStyle { indent, item, key, depth: 0, is_empty: true };
    write(value, sort, &mut serde_json::Serializer::with_formatter(&mut out, style))
        .map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from(String::from_utf8_lossy(&out)))
}

/// A value as `tojson` writes it where nothing else is asked for.
pub(super) fn text(value: &serde_json::Value) -> String {
    let style = PythonStyle {
        indent: None,
        item: ", ".to_owned(),
        key: ": ".to_owned(),
        depth: 0,
        is_empty: true,
    };
    let mut out = Vec::new();
    match value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, style)) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        // Writing to memory does not fail.
        Err(_) => value.to_string(),
    }
}

fn write(
    value: &Value,
    sort: bool,
    serializer: &mut serde_json::Serializer<&mut Vec<u8>, PythonStyle>,
) -> serde_json::Result<()> {
    if !sort {
        return value.serialize(serializer);
    }
    let mut value = serde_json::to_value(value)?;
    value.sort_all_objects();
    value.serialize(serializer)
}

/// JSON as Python writes it.
struct PythonStyle {
    /// Blanks a level; `None` for all on one line.
    indent: Option<usize>,
    /// Between items.
    item: String,
    /// Between a key and its value.
    key: String,
    depth: usize,
    /// Whether the list or object that was last begun has no item yet.
    is_empty: bool,
}

impl PythonStyle {
    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &str) -> io::Result<()> {
        self.depth += 1;
        self.is_empty = true;
        writer.write_all(bracket.as_bytes())
    }

    fn end<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &str) -> io::Result<()> {
        self.depth -= 1;
        if !std::mem::take(&mut self.is_empty) {
            self.line(writer)?;
        }
        writer.write_all(bracket.as_bytes())
    }

    fn item<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.is_empty = false;
        if !first {
            writer.write_all(self.item.as_bytes())?;
        }
        self.line(writer)
    }

    fn line<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        self.indent.map_or(Ok(()), |indent| write!(writer, "\n{:1$}", "", indent * self.depth))
    }
}

impl Formatter for PythonStyle {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, "[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, "]")
    }

    fn begin_array_value<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, "{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer, "}")
    }

    fn begin_object_key<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.item(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(self.key.as_bytes())
    }
}
