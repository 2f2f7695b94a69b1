//! Parquet, as the Hub has datasets.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::Field;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::Next;

/// The names of the columns.
pub(super) fn columns(bytes: &Bytes) -> Result<Vec<String>, String> {
    guarded(|| {
        let reader = SerializedFileReader::new(bytes.clone())?;
        let schema = reader.metadata().file_metadata().schema();
        Ok(schema.get_fields().iter().map(|field| field.name().to_owned()).collect())
    })
}

pub(super) fn rows(bytes: &Bytes, next: Next<'_>) -> Result<(), String> {
    let reader = guarded(|| SerializedFileReader::new(bytes.clone()))?;
    let mut rows = guarded(|| reader.get_row_iter(None))?;
    let mut read = || {
        guarded(|| {
            let row = rows.next().transpose()?;
            Ok(row.map(|row| object(row.get_column_iter())))
        })
    };
    while let Some(row) = read()? {
        next(None, Ok(row));
    }
    Ok(())
}

/// Runs what reads the file. The reader checks much, but not all that it takes from a file:
/// a damaged one can make it panic. That must not end a run of hours.
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("it is damaged, or no Parquet file: {error}")),
        Err(_) => Err("it is damaged: fetch it again".to_owned()),
    }
}

/// A field as JSON. Bytes that are no text, such as pictures, are null.
fn value(field: &Field) -> Value {
    match field {
        Field::Null => Value::Null,
        Field::Bool(is) => Value::from(*is),
        Field::Byte(number) => Value::from(*number),
        Field::Short(number) => Value::from(*number),
        Field::Int(number) => Value::from(*number),
        Field::Long(number) => Value::from(*number),
        Field::UByte(number) => Value::from(*number),
        Field::UShort(number) => Value::from(*number),
        Field::UInt(number) => Value::from(*number),
        Field::ULong(number) => Value::from(*number),
        Field::Float16(number) => Value::from(f32::from(*number)),
        Field::Float(number) => Value::from(*number),
        Field::Double(number) => Value::from(*number),
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).map_or(Value::Null, Value::from),
        Field::Group(row) => Value::Object(object(row.get_column_iter())),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            let name = |key: &Field| match value(key) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            let entries = map.entries().iter();
            Value::Object(entries.map(|(key, field)| (name(key), value(field))).collect())
        }
        // Dates and times, decimals.
        other => Value::from(other.to_string()),
    }
}

fn object<'a>(columns: impl Iterator<Item = (&'a String, &'a Field)>) -> Map<String, Value> {
    columns.map(|(name, field)| (name.clone(), value(field))).collect()
}
