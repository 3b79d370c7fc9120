//! What can be known about a program without running it.
//!
//! Only the ELF header and the program headers are read: see `elf(5)`.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

/// Longest path of a dynamic linker that is read.
const MAX_INTERPRETER: u64 = 4096;

/// A file that is to be a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Its size in bytes.
    pub size: u64,
    /// Whether anybody may run it.
    pub executable: bool,
    /// What it is.
    pub format: Format,
}

/// What kind of file a program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// A Linux program.
    Elf(Elf),
    /// A script, with the line after `#!`.
    Script(String),
    /// A program for macOS.
    MachO,
    /// A program for Windows.
    Windows,
    /// Something else.
    Unknown,
}

/// What the headers of a Linux program say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// The processor, as Rust names it; the number of others.
    pub machine: String,
    /// The dynamic linker that it needs; static programs have none.
    pub interpreter: Option<String>,
    /// Whether it can be started at all: object files cannot.
    pub startable: bool,
}

impl Program {
    /// Looks at the file at `path`.
    ///
    /// # Errors
    ///
    /// When there is no file there, or it cannot be read.
    pub fn inspect(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let executable = metadata.permissions().mode() & 0o111 != 0;
        let file = File::open(path)?;
        let read = |offset: u64, length: u64| read_at(&file, offset, length);
        Ok(Self { size: metadata.len(), executable, format: format(read) })
    }
}

/// Up to `length` bytes; fewer at the end of the file, or where it cannot be read.
fn read_at(file: &File, offset: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) | Err(_) => break,
            Ok(read) => filled += read,
        }
    }
    bytes.truncate(filled);
    bytes
}

fn format(read: impl Fn(u64, u64) -> Vec<u8>) -> Format {
    let head = read(0, 256);
    match head.as_slice() {
        [0x7f, b'E', b'L', b'F', ..] => elf(&head, read).map_or(Format::Unknown, Format::Elf),
        [b'#', b'!', rest @ ..] => {
            let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
            Format::Script(String::from_utf8_lossy(line).trim().to_owned())
        }
        [0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..] => Format::MachO,
        [b'M', b'Z', ..] => Format::Windows,
        _ => Format::Unknown,
    }
}

/// A view on header fields of either byte order and word size.
struct Fields<'a> {
    bytes: &'a [u8],
    little: bool,
    wide: bool,
}

impl Fields<'_> {
    fn number(&self, offset: usize, length: usize) -> Option<u64> {
        let bytes = self.bytes.get(offset..offset.checked_add(length)?)?;
        let add = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
    }

    /// A word, which stands at different places in 32-bit and 64-bit headers.
    fn word(&self, narrow: usize, wide: usize) -> Option<u64> {
        if self.wide { self.number(wide, 8) } else { self.number(narrow, 4) }
    }
}

fn elf(head: &[u8], read: impl Fn(u64, u64) -> Vec<u8>) -> Option<Elf> {
    let wide = match head.get(4)? {
        1 => false,
        2 => true,
        _ => return None,
    };
    let little = *head.get(5)? == 1;
    let header = Fields { bytes: head, little, wide };
    let kind = header.number(16, 2)?;
    let machine = match header.number(18, 2)? {
        3 => "x86".to_owned(),
        40 => "arm".to_owned(),
        62 => "x86_64".to_owned(),
        183 => "aarch64".to_owned(),
        243 => "riscv64".to_owned(),
        other => format!("ELF machine {other}"),
    };
    let table = header.word(28, 32)?;
    let (size_at, count_at) = if wide { (54, 56) } else { (42, 44) };
    let size = header.number(size_at, 2)?;
    let count = header.number(count_at, 2)?;
    let table = read(table, size.saturating_mul(count).min(1 << 20));
    let segments = table.chunks(usize::try_from(size).ok()?.max(1));
    let interpreter = segments
        .map(|bytes| Fields { bytes, little, wide })
        .find(|segment| segment.number(0, 4) == Some(3))
        .and_then(|segment| Some((segment.word(4, 8)?, segment.word(16, 32)?)))
        .map(|(offset, length)| read(offset, length.min(MAX_INTERPRETER)))
        .map(|path| String::from_utf8_lossy(&path).trim_end_matches('\0').to_owned());
    Some(Elf { machine, interpreter, startable: kind == 2 || kind == 3 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Format {
        format(|offset, length| {
            let from = usize::try_from(offset).unwrap().min(bytes.len());
            let to = from.saturating_add(usize::try_from(length).unwrap()).min(bytes.len());
            bytes[from..to].to_vec()
        })
    }

    /// A 64-bit little-endian header, one segment of `segment_kind` whose content is `path`.
    fn elf64(machine: u16, segment_kind: u32, path: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16] = 3;
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64..68].copy_from_slice(&segment_kind.to_le_bytes());
        bytes[64 + 8] = 120;
        bytes[64 + 32] = u8::try_from(path.len()).unwrap();
        bytes.extend_from_slice(path);
        bytes
    }

    #[test]
    fn a_program_with_a_linker_is_dynamic() {
        let Format::Elf(elf) = of(&elf64(62, 3, b"/lib64/ld-linux-x86-64.so.2\0")) else {
            panic!("no ELF");
        };
        assert_eq!(elf.machine, "x86_64");
        assert_eq!(elf.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert!(elf.startable);
    }

    #[test]
    fn a_program_without_one_is_static() {
        let Format::Elf(elf) = of(&elf64(183, 1, b"")) else { panic!("no ELF") };
        assert_eq!((elf.machine.as_str(), elf.interpreter), ("aarch64", None));
    }

    #[test]
    fn a_big_endian_32_bit_program_is_read() {
        let mut bytes = vec![0; 52 + 32];
        bytes[..6].copy_from_slice(b"\x7fELF\x01\x02");
        bytes[17] = 2;
        bytes[19] = 8;
        bytes[31] = 52;
        bytes[43] = 32;
        bytes[45] = 1;
        bytes[52 + 3] = 3;
        bytes[52 + 7] = 84;
        bytes[52 + 19] = 4;
        bytes.extend_from_slice(b"/ld\0");
        let Format::Elf(elf) = of(&bytes) else { panic!("no ELF") };
        assert_eq!(elf.machine, "ELF machine 8");
        assert_eq!(elf.interpreter.as_deref(), Some("/ld"));
    }

    #[test]
    fn other_files_are_told_apart() {
        assert_eq!(of(b"#! /bin/sh\nexit"), Format::Script("/bin/sh".to_owned()));
        assert_eq!(of(b"\xcf\xfa\xed\xfe\x07"), Format::MachO);
        assert_eq!(of(b"MZ\x90\0"), Format::Windows);
        assert_eq!(of(b""), Format::Unknown);
        assert_eq!(of(b"text"), Format::Unknown);
    }

    #[test]
    fn no_header_makes_it_panic() {
        let whole = elf64(62, 3, b"/lib/ld\0");
        for length in 0..whole.len() {
            of(&whole[..length]);
        }
        for position in 4..whole.len() {
            let mut bytes = whole.clone();
            bytes[position] = 0xff;
            of(&bytes);
        }
    }
}
