//! GGUF files taken apart and put together again, by hand: to tamper with one
//! field, and to make models that the parity set does not have.

use std::fs;

use tempfile::NamedTempFile;

use crate::support::model;

const ALIGNMENT: usize = 32;
const F32: u32 = 0;

/// A GGUF file whose tensors are all F32.
#[derive(Clone, Default)]
pub struct Gguf {
    metadata: Vec<(String, Value)>,
    tensors: Vec<Tensor>,
}

#[derive(Clone)]
struct Tensor {
    name: String,
    shape: Vec<u64>,
    data: Vec<u8>,
}

/// A metadata value as the file has it: its type, then its bytes.
#[derive(Clone)]
pub struct Value(u32, Vec<u8>);

impl Value {
    pub fn u16(number: u16) -> Self {
        Value(2, number.to_le_bytes().to_vec())
    }

    pub fn u32(number: u32) -> Self {
        Value(4, number.to_le_bytes().to_vec())
    }

    pub fn f32(number: f32) -> Self {
        Value(6, number.to_le_bytes().to_vec())
    }

    pub fn bool(truth: bool) -> Self {
        Value(7, vec![u8::from(truth)])
    }

    pub fn string(text: &str) -> Self {
        Value(8, string(text))
    }
}

/// Where the parts of a file end.
pub struct Parts {
    pub metadata: usize,
    pub tensor_table: usize,
    /// Where the tensors begin.
    pub data: usize,
}

impl Gguf {
    /// A model of the parity set.
    pub fn parity(name: &str) -> Self {
        Gguf::parse(&fs::read(model(name)).unwrap())
    }

    fn parse(file: &[u8]) -> Self {
        let mut reader = Reader { file, at: 8 };
        let (tensors, pairs) = (reader.u64(), reader.u64());
        let mut gguf = Gguf::default();
        for _ in 0..pairs {
            let key = reader.string();
            let kind = reader.u32();
            let start = reader.at;
            reader.skip_value(kind);
            gguf.metadata.push((key, Value(kind, file[start..reader.at].to_vec())));
        }
        let mut offsets = Vec::new();
        for _ in 0..tensors {
            let name = reader.string();
            let dimensions = reader.u32();
            let shape = (0..dimensions).map(|_| reader.u64()).collect();
            assert_eq!(reader.u32(), F32, "{name}");
            offsets.push(reader.u64() as usize);
            gguf.tensors.push(Tensor { name, shape, data: Vec::new() });
        }
        let data = &file[reader.at.next_multiple_of(ALIGNMENT)..];
        for (tensor, offset) in gguf.tensors.iter_mut().zip(offsets) {
            let size = tensor.shape.iter().product::<u64>() as usize * size_of::<f32>();
            tensor.data = data[offset..offset + size].to_vec();
        }
        gguf
    }

    /// Sets a metadata key, which may be new.
    pub fn set(&mut self, key: &str, value: Value) -> &mut Self {
        self.metadata.retain(|(known, _)| known != key);
        self.metadata.push((key.to_owned(), value));
        self
    }

    /// Renames a metadata key.
    pub fn rename(&mut self, key: &str, new: &str) -> &mut Self {
        let pair = self.metadata.iter_mut().find(|(known, _)| known == key).unwrap();
        pair.0 = new.to_owned();
        self
    }

    /// Puts one token of the vocabulary in the place of another as long as it.
    pub fn replace_token(&mut self, token: &str, new: &str) -> &mut Self {
        assert_eq!(token.len(), new.len());
        let (_, tokens) =
            self.metadata.iter_mut().find(|(key, _)| key == "tokenizer.ggml.tokens").unwrap();
        let written = string(token);
        let start = tokens.1.windows(written.len()).position(|bytes| bytes == written).unwrap();
        tokens.1[start..start + written.len()].copy_from_slice(&string(new));
        self
    }

    pub fn remove_tensor(&mut self, name: &str) -> &mut Self {
        self.tensors.retain(|tensor| tensor.name != name);
        self
    }

    /// Fills a tensor with one number.
    pub fn fill(&mut self, name: &str, number: f32) -> &mut Self {
        let tensor = self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
        for value in tensor.data.chunks_exact_mut(size_of::<f32>()) {
            value.copy_from_slice(&number.to_le_bytes());
        }
        self
    }

    /// Fills a row of a tensor with one number, such as a token's embedding.
    #[cfg(all(unix, feature = "atlas"))]
    pub fn fill_row(&mut self, name: &str, row: usize, number: f32) -> &mut Self {
        let tensor = self.tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
        let bytes = tensor.shape[0] as usize * size_of::<f32>();
        for value in tensor.data[row * bytes..(row + 1) * bytes].chunks_exact_mut(4) {
            value.copy_from_slice(&number.to_le_bytes());
        }
        self
    }

    /// The file, and where its parts end.
    pub fn to_bytes(&self) -> (Vec<u8>, Parts) {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, Value(kind, bytes)) in &self.metadata {
            file.extend(string(key));
            file.extend(kind.to_le_bytes());
            file.extend(bytes);
        }
        let metadata = file.len();
        let mut offset = 0;
        for tensor in &self.tensors {
            file.extend(string(&tensor.name));
            file.extend((tensor.shape.len() as u32).to_le_bytes());
            file.extend(tensor.shape.iter().flat_map(|size| size.to_le_bytes()));
            file.extend(F32.to_le_bytes());
            file.extend((offset as u64).to_le_bytes());
            offset += tensor.data.len().next_multiple_of(ALIGNMENT);
        }
        let tensor_table = file.len();
        for tensor in &self.tensors {
            file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
            file.extend(&tensor.data);
        }
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        let data = tensor_table.next_multiple_of(ALIGNMENT);
        (file, Parts { metadata, tensor_table, data })
    }

    /// The file on disk, for as long as the result lives.
    pub fn file(&self) -> NamedTempFile {
        file(&self.to_bytes().0)
    }
}

/// A file of these bytes, for as long as the result lives.
pub fn file(bytes: &[u8]) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    file
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

struct Reader<'a> {
    file: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        self.at += N;
        self.file[self.at - N..self.at].try_into().unwrap()
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn string(&mut self) -> String {
        let length = self.u64() as usize;
        self.at += length;
        String::from_utf8(self.file[self.at - length..self.at].to_vec()).unwrap()
    }

    fn skip_value(&mut self, kind: u32) {
        match kind {
            8 => drop(self.string()),
            9 => {
                let kind = self.u32();
                (0..self.u64()).for_each(|_| self.skip_value(kind));
            }
            0 | 1 | 7 => self.at += 1,
            2 | 3 => self.at += 2,
            4..=6 => self.at += 4,
            10..=12 => self.at += 8,
            _ => panic!("a metadata value of type {kind}"),
        }
    }
}

#[test]
fn a_file_taken_apart_and_put_together_is_the_same() {
    for name in crate::support::MODELS {
        let original = fs::read(model(name)).unwrap();
        assert!(Gguf::parse(&original).to_bytes().0 == original, "{name}");
    }
}
