//! GGUF files: metadata, and the checks at the door.
//!
//! llama.cpp trusts its input in places: a table that points past the end of
//! the file is a bus error once the file is mapped. So a file is examined as a
//! whole here, before llama.cpp loads it: header, keys, tensor table, sizes. The
//! reading itself is ggml's own `gguf_init_from_file`.

use std::ffi::{CStr, CString, c_char};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;

use llama_cpp_sys_2 as sys;

use crate::Error;
use crate::backend::{self, with_log};

/// The metadata and tensor table of a GGUF file that is whole.
pub struct Gguf {
    context: NonNull<sys::gguf_context>,
    path: PathBuf,
}

/// A tensor as the file's table lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name, such as `blk.0.attn_q.weight`.
    pub name: String,
    /// Its shape, fastest dimension first: a matrix is `[columns, rows]`.
    pub shape: [u64; 4],
    /// Its size in bytes.
    pub bytes: u64,
    /// The type of its numbers as ggml calls it, such as `f16` or `q4_K`.
    pub kind: String,
}

/// A value of the metadata.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MetadataValue {
    /// A number without a sign, of any width.
    Unsigned(u64),
    /// A number with a sign, of any width.
    Signed(i64),
    /// A floating-point number of 32 bits.
    F32(f32),
    /// A floating-point number of 64 bits.
    F64(f64),
    /// A truth value.
    Bool(bool),
    /// A text.
    Text(String),
    /// An array, whose values are not read.
    Array {
        /// The type of its values, such as `str` or `i32`.
        kind: String,
        /// How many there are.
        length: u64,
    },
}

impl Gguf {
    /// Opens and examines a file.
    ///
    /// # Errors
    /// [`Error::Read`], [`Error::NotGguf`], [`Error::Damaged`] and
    /// [`Error::Truncated`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        backend::init();
        let read = |source| Error::Read { path: path.to_owned(), source };
        let damaged = |reason: String| Error::Damaged { path: path.to_owned(), reason };

        // Before opening: opening a named pipe would wait for its other end.
        let kind = std::fs::metadata(path).map_err(read)?;
        if kind.is_dir() {
            return Err(read(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")));
        } else if !kind.is_file() {
            return Err(read(io::Error::other("it is not an ordinary file")));
        }
        let mut file = File::open(path).map_err(read)?;
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic).map_err(read)?;
        if magic != b"GGUF" {
            let found = match &magic[..] {
                [] => "nothing (it is empty)".to_owned(),
                bytes => format!("\"{}\"", bytes.escape_ascii()),
            };
            return Err(Error::NotGguf { path: path.to_owned(), found });
        }
        let actual = file.seek(SeekFrom::End(0)).map_err(read)?;
        check_keys(&mut file, actual).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => damaged("it ends inside its header".to_owned()),
            io::ErrorKind::InvalidData => damaged(error.to_string()),
            _ => read(error),
        })?;

        let c_path = CString::new(path.as_os_str().as_encoded_bytes())
            .map_err(|_| damaged("its path contains a NUL byte".to_owned()))?;
        let params = sys::gguf_init_params { no_alloc: true, ctx: std::ptr::null_mut() };
        // SAFETY: the path is NUL-terminated and outlives the call; with `ctx`
        // null no tensors are created.
        let (context, reason) =
            with_log(|| unsafe { sys::gguf_init_from_file(c_path.as_ptr(), params) });
        let context = NonNull::new(context).ok_or_else(|| {
            damaged(reason.unwrap_or_else(|| "its header cannot be read".to_owned()))
        })?;
        let gguf = Gguf { context, path: path.to_owned() };

        let needed = gguf.data_end();
        match needed {
            Some(needed) if needed <= actual => Ok(gguf),
            Some(needed) => Err(Error::Truncated { path: gguf.path.clone(), needed, actual }),
            None => Err(damaged("its tensor sizes overflow".to_owned())),
        }
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A string from the metadata; `None` if it is absent or of another type.
    pub fn string(&self, key: &str) -> Option<String> {
        let id = self.find(key, sys::GGUF_TYPE_STRING)?;
        // SAFETY: `find` returned a valid id of type string.
        Some(unsafe { text(sys::gguf_get_val_str(self.context.as_ptr(), id)) })
    }

    /// An unsigned 32-bit number from the metadata.
    pub fn u32(&self, key: &str) -> Option<u32> {
        let id = self.find(key, sys::GGUF_TYPE_UINT32)?;
        // SAFETY: `find` returned a valid id of type u32.
        Some(unsafe { sys::gguf_get_val_u32(self.context.as_ptr(), id) })
    }

    /// An unsigned number from the metadata, of 32 bits or of 64.
    pub fn unsigned(&self, key: &str) -> Option<u64> {
        let wide = || {
            let id = self.find(key, sys::GGUF_TYPE_UINT64)?;
            // SAFETY: `find` returned a valid id of type u64.
            Some(unsafe { sys::gguf_get_val_u64(self.context.as_ptr(), id) })
        };
        self.u32(key).map(u64::from).or_else(wide)
    }

    /// An unsigned 16-bit number from the metadata.
    pub fn u16(&self, key: &str) -> Option<u16> {
        let id = self.find(key, sys::GGUF_TYPE_UINT16)?;
        // SAFETY: `find` returned a valid id of type u16.
        Some(unsafe { sys::gguf_get_val_u16(self.context.as_ptr(), id) })
    }

    /// A 32-bit floating-point number from the metadata.
    pub fn f32(&self, key: &str) -> Option<f32> {
        let id = self.find(key, sys::GGUF_TYPE_FLOAT32)?;
        // SAFETY: `find` returned a valid id of type f32.
        Some(unsafe { sys::gguf_get_val_f32(self.context.as_ptr(), id) })
    }

    /// A truth value from the metadata.
    pub fn bool(&self, key: &str) -> Option<bool> {
        let id = self.find(key, sys::GGUF_TYPE_BOOL)?;
        // SAFETY: `find` returned a valid id of type bool.
        Some(unsafe { sys::gguf_get_val_bool(self.context.as_ptr(), id) })
    }

    /// How many values an array of the metadata has.
    pub fn array_len(&self, key: &str) -> Option<u64> {
        let id = self.find(key, sys::GGUF_TYPE_ARRAY)?;
        // SAFETY: `find` returned a valid id of an array.
        Some(unsafe { sys::gguf_get_arr_n(self.context.as_ptr(), id) } as u64)
    }

    /// One string of an array of the metadata; `None` if there is none such.
    pub fn array_string(&self, key: &str, index: u64) -> Option<String> {
        let bytes = self.strings(key)?.nth(usize::try_from(index).ok()?)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    }

    /// All of the metadata, in the order of the file.
    pub fn metadata(&self) -> impl Iterator<Item = (String, MetadataValue)> + '_ {
        let context = self.context.as_ptr();
        // SAFETY: the context is live as long as `self`.
        let count = unsafe { sys::gguf_get_n_kv(context) };
        (0..count).filter_map(move |id| {
            // SAFETY: `id` is in range, and each value is read as what it is.
            unsafe {
                let value = match sys::gguf_get_kv_type(context, id) {
                    sys::GGUF_TYPE_UINT8 => {
                        MetadataValue::Unsigned(sys::gguf_get_val_u8(context, id).into())
                    }
                    sys::GGUF_TYPE_UINT16 => {
                        MetadataValue::Unsigned(sys::gguf_get_val_u16(context, id).into())
                    }
                    sys::GGUF_TYPE_UINT32 => {
                        MetadataValue::Unsigned(sys::gguf_get_val_u32(context, id).into())
                    }
                    sys::GGUF_TYPE_UINT64 => {
                        MetadataValue::Unsigned(sys::gguf_get_val_u64(context, id))
                    }
                    sys::GGUF_TYPE_INT8 => {
                        MetadataValue::Signed(sys::gguf_get_val_i8(context, id).into())
                    }
                    sys::GGUF_TYPE_INT16 => {
                        MetadataValue::Signed(sys::gguf_get_val_i16(context, id).into())
                    }
                    sys::GGUF_TYPE_INT32 => {
                        MetadataValue::Signed(sys::gguf_get_val_i32(context, id).into())
                    }
                    sys::GGUF_TYPE_INT64 => {
                        MetadataValue::Signed(sys::gguf_get_val_i64(context, id))
                    }
                    sys::GGUF_TYPE_FLOAT32 => {
                        MetadataValue::F32(sys::gguf_get_val_f32(context, id))
                    }
                    sys::GGUF_TYPE_FLOAT64 => {
                        MetadataValue::F64(sys::gguf_get_val_f64(context, id))
                    }
                    sys::GGUF_TYPE_BOOL => MetadataValue::Bool(sys::gguf_get_val_bool(context, id)),
                    sys::GGUF_TYPE_STRING => {
                        MetadataValue::Text(text(sys::gguf_get_val_str(context, id)))
                    }
                    sys::GGUF_TYPE_ARRAY => MetadataValue::Array {
                        kind: text(sys::gguf_type_name(sys::gguf_get_arr_type(context, id))),
                        length: sys::gguf_get_arr_n(context, id) as u64,
                    },
                    _ => return None,
                };
                Some((text(sys::gguf_get_key(context, id)), value))
            }
        })
    }

    /// The paths of a split model's parts after the first.
    ///
    /// # Errors
    /// [`Error::NotFirstPart`] if this is another part, and [`Error::Damaged`] if its
    /// name does not tell what the others are called.
    pub fn other_parts(&self) -> Result<Vec<PathBuf>, Error> {
        let count = self.u16("split.count").unwrap_or(1);
        if count <= 1 {
            return Ok(Vec::new());
        }
        let path = self.path();
        let part = u32::from(self.u16("split.no").unwrap_or(0)) + 1;
        let suffix = |part: u32| format!("-{part:05}-of-{count:05}.gguf");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let prefix = name.strip_suffix(&suffix(part)).ok_or_else(|| Error::Damaged {
            path: path.to_owned(),
            reason: format!(
                "it is part {part} of {count}, so its name must end in {}",
                suffix(part)
            ),
        })?;
        let sibling = |part: u32| path.with_file_name(format!("{prefix}{}", suffix(part)));
        if part != 1 {
            return Err(Error::NotFirstPart { path: path.to_owned(), part, first: sibling(1) });
        }
        Ok((2..=u32::from(count)).map(sibling).collect())
    }

    /// An array of strings from the metadata, as bytes.
    pub(crate) fn strings(&self, key: &str) -> Option<impl Iterator<Item = &[u8]>> {
        let id = self.find(key, sys::GGUF_TYPE_ARRAY)?;
        let context = self.context.as_ptr();
        // SAFETY: `find` returned a valid id of an array; its strings live as
        // long as `self`.
        unsafe {
            if sys::gguf_get_arr_type(context, id) != sys::GGUF_TYPE_STRING {
                return None;
            }
            let count = sys::gguf_get_arr_n(context, id);
            Some((0..count).map(move |index| {
                CStr::from_ptr(sys::gguf_get_arr_str(context, id, index)).to_bytes()
            }))
        }
    }

    /// The tensor table, in file order.
    pub fn tensors(&self) -> impl Iterator<Item = TensorInfo> + '_ {
        let context = self.context.as_ptr();
        // SAFETY: the context is live as long as `self`.
        let count = unsafe { sys::gguf_get_n_tensors(context) };
        (0..count).map(move |id| {
            // SAFETY: `id` is in range; the shape is an array of four.
            unsafe {
                let shape = sys::gguf_get_tensor_ne(context, id);
                TensorInfo {
                    name: text(sys::gguf_get_tensor_name(context, id)),
                    shape: std::array::from_fn(|axis| *shape.add(axis) as u64),
                    bytes: sys::gguf_get_tensor_size(context, id) as u64,
                    kind: text(sys::ggml_type_name(sys::gguf_get_tensor_type(context, id))),
                }
            }
        })
    }

    fn find(&self, key: &str, kind: sys::gguf_type) -> Option<i64> {
        let key = CString::new(key).ok()?;
        // SAFETY: the context is live and the key NUL-terminated; a negative id
        // means the key is absent.
        unsafe {
            let id = sys::gguf_find_key(self.context.as_ptr(), key.as_ptr());
            (id >= 0 && sys::gguf_get_kv_type(self.context.as_ptr(), id) == kind).then_some(id)
        }
    }

    /// Where the last tensor ends in the file, in bytes; `None` on overflow.
    fn data_end(&self) -> Option<u64> {
        let context = self.context.as_ptr();
        // SAFETY: the context is live; every id is in range.
        unsafe {
            let data = sys::gguf_get_data_offset(context) as u64;
            (0..sys::gguf_get_n_tensors(context))
                .map(|id| {
                    let offset = sys::gguf_get_tensor_offset(context, id) as u64;
                    let size = sys::gguf_get_tensor_size(context, id) as u64;
                    data.checked_add(offset)?.checked_add(size)
                })
                .try_fold(data, |end, tensor| Some(end.max(tensor?)))
        }
    }
}

impl Drop for Gguf {
    fn drop(&mut self) {
        // SAFETY: the context is live and owned by `self`.
        unsafe { sys::gguf_free(self.context.as_ptr()) }
    }
}

/// A copy of a C string.
///
/// # Safety
/// `pointer` must point to a NUL-terminated string.
unsafe fn text(pointer: *const c_char) -> String {
    // SAFETY: passed on to the caller.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// Walks the key–value section for what ggml's reader answers with an abort
/// (an empty key), and for lengths that point past the end of the file.
fn check_keys(file: &mut File, length: u64) -> io::Result<()> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    file.seek(SeekFrom::Start(4))?;
    let mut reader = KeyReader { inner: BufReader::new(file), left: length.saturating_sub(4) };
    let version = reader.u32()?;
    if !(2..=3).contains(&version) {
        return Err(invalid(&format!("its version is {version}, and only 2 and 3 are known")));
    }
    let _tensors = reader.u64()?;
    let pairs = reader.u64()?;
    for _ in 0..pairs {
        let key = reader.u64()?;
        if key == 0 {
            return Err(invalid("it has an empty metadata key"));
        }
        reader.skip(key)?;
        let kind = reader.u32()?;
        reader.skip_value(kind, true).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => invalid("it has metadata of an unknown type"),
            _ => error,
        })?;
    }
    Ok(())
}

/// Reads little-endian numbers and skips values, never past the end.
struct KeyReader<'a> {
    inner: BufReader<&'a mut File>,
    /// Bytes to the end. Counted here: to ask for the position is a system call, and a
    /// vocabulary has some hundred thousand strings.
    left: u64,
}

impl KeyReader<'_> {
    fn u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.inner.read_exact(&mut bytes)?;
        self.left = self.left.saturating_sub(4);
        Ok(u32::from_le_bytes(bytes))
    }

    fn u64(&mut self) -> io::Result<u64> {
        let mut bytes = [0; 8];
        self.inner.read_exact(&mut bytes)?;
        self.left = self.left.saturating_sub(8);
        Ok(u64::from_le_bytes(bytes))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > self.left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= bytes;
        self.inner.seek_relative(bytes as i64)
    }

    fn skip_value(&mut self, kind: u32, arrays: bool) -> io::Result<()> {
        match kind as sys::gguf_type {
            sys::GGUF_TYPE_STRING => {
                let length = self.u64()?;
                self.skip(length)
            }
            sys::GGUF_TYPE_ARRAY if arrays => {
                let kind = self.u32()?;
                let count = self.u64()?;
                match value_size(kind as sys::gguf_type) {
                    Some(size) => self.skip(count.saturating_mul(size)),
                    None => (0..count).try_for_each(|_| self.skip_value(kind, false)),
                }
            }
            kind => match value_size(kind) {
                Some(size) => self.skip(size),
                None => Err(io::ErrorKind::InvalidData.into()),
            },
        }
    }
}

/// The size of a value of fixed size, in bytes.
fn value_size(kind: sys::gguf_type) -> Option<u64> {
    match kind {
        sys::GGUF_TYPE_UINT8 | sys::GGUF_TYPE_INT8 | sys::GGUF_TYPE_BOOL => Some(1),
        sys::GGUF_TYPE_UINT16 | sys::GGUF_TYPE_INT16 => Some(2),
        sys::GGUF_TYPE_UINT32 | sys::GGUF_TYPE_INT32 | sys::GGUF_TYPE_FLOAT32 => Some(4),
        sys::GGUF_TYPE_UINT64 | sys::GGUF_TYPE_INT64 | sys::GGUF_TYPE_FLOAT64 => Some(8),
        _ => None,
    }
}
