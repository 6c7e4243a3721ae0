#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::os::unix::fs::{FileExt, PermissionsExt};

use super::*;

fn file(dir: &tempfile::TempDir, content: &[u8], mode: u32) -> PathBuf {
    let path = dir.path().join("pin");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn strips_one_newline_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    for (content, pin) in [("1234", "1234"), ("1234\n", "1234"), ("1234\n\n", "1234\n"), (" 1 ", " 1 ")] {
        assert_eq!(Pin::read(&file(&dir, content.as_bytes(), 0o600)).unwrap().0.as_slice(), pin.as_bytes());
    }
}

#[test]
fn refuses_a_file_that_others_may_read() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [0o640, 0o604, 0o620, 0o700, 0o4600] {
        assert!(matches!(Pin::read(&file(&dir, b"1234", mode)), Err(PinFileError::Mode { .. })), "{mode:o}");
    }
    assert!(Pin::read(&file(&dir, b"1234", 0o400)).is_ok());
}

#[test]
fn refuses_an_empty_and_an_endless_file() {
    let dir = tempfile::tempdir().unwrap();
    for content in [b"".as_slice(), b"\n", &[b'1'; 257]] {
        assert!(matches!(Pin::read(&file(&dir, content, 0o600)), Err(PinFileError::Content { .. })));
    }
}

#[test]
fn never_writes_over_a_pin_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, b"1234", 0o600);
    assert!(Pin::random(255).unwrap().write_new(&path).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"1234");
}

#[test]
fn what_it_writes_it_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new");
    let pin = Pin::random(255).unwrap();
    pin.write_new(&path).unwrap();
    assert_eq!(Pin::read(&path).unwrap().0, pin.0);
}

/// What this process can write to, as it lies there. It makes nothing new while it looks: what was let go of could be written over.
struct Memory {
    maps: String,
    bytes: File,
    buffer: Vec<u8>,
}

impl Memory {
    fn open() -> Self {
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        Self { maps, bytes: File::open("/proc/self/mem").unwrap(), buffer: vec![0; 1 << 20] }
    }

    /// At how many places an allocator may have chosen these bytes lie.
    fn count(&mut self, wanted: &[u8]) -> usize {
        let own = self.buffer.as_ptr_range();
        let mut found = 0;
        for line in self.maps.lines().filter(|line| line.contains(" rw")) {
            let (from, to) = line.split_whitespace().next().unwrap().split_once('-').unwrap();
            let address = |text| u64::from_str_radix(text, 16).unwrap();
            let (mut at, end) = (address(from), address(to));
            while at < end {
                let len = usize::try_from(end - at).unwrap().min(self.buffer.len());
                let part = &mut self.buffer[..len];
                if self.bytes.read_exact_at(part, at).is_ok() {
                    let places = part.chunks(16).enumerate().filter(|(index, _)| {
                        let place = usize::try_from(at).unwrap() + index * 16;
                        !(own.start.addr()..own.end.addr()).contains(&place)
                    });
                    found += places.filter(|(index, _)| part[index * 16..].starts_with(wanted)).count();
                }
                at += u64::try_from(len).unwrap();
            }
        }
        found
    }
}

#[test]
fn one_that_no_yubikey_takes_leaves_no_copy_behind() {
    let mut bytes = Zeroizing::new(vec![0; 64]);
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    let pin = Pin::hold(bytes);
    let mut memory = Memory::open();
    // An allocator writes over the first bytes of what it gets back.
    let rest = &pin.0[16..];
    let before = memory.count(rest);
    assert!(pin.for_piv().is_none());
    assert_eq!((memory.count(rest), before), (1, 1), "the PIN itself");
}

#[test]
fn a_yubikeys_is_filled_up_and_one_of_another_length_is_none() {
    let padded = |pin: &str| Pin::hold(Zeroizing::new(pin.as_bytes().to_vec())).for_piv();
    assert_eq!(padded("123456").unwrap().as_slice(), b"123456\xFF\xFF");
    assert_eq!(padded("12345678").unwrap().as_slice(), b"12345678");
    assert!(padded("12345").is_none() && padded("123456789").is_none());
}

#[test]
fn a_mark_is_of_one_pin_on_one_token() {
    let pin = Pin::hold(Zeroizing::new(b"1234".to_vec()));
    let mark = pin.mark("a").unwrap();
    assert!(pin.is_marked(&mark, "a"));
    assert!(!pin.is_marked(&mark, "b"));
    assert!(!Pin::hold(Zeroizing::new(b"5678".to_vec())).is_marked(&mark, "a"));
}

#[test]
fn stays_out_of_the_swap() {
    let locked = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap()
    };
    let pin = Pin::random(255).unwrap();
    assert_eq!(pin.in_memory(), InMemory::Locked);
    assert!(locked() > 0);
}

#[test]
fn debug_does_not_show_it() {
    assert_eq!(format!("{:?}", Pin::hold(Zeroizing::new(b"s3cret".to_vec()))), "Pin");
}

#[test]
fn the_stamp_changes_with_the_file_and_only_then() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, b"1234", 0o600);
    let before = Stamp::of(&path);
    Pin::read(&path).unwrap();
    assert_eq!(Stamp::of(&path), before);
    let other = dir.path().join("other");
    fs::write(&other, b"5678").unwrap();
    fs::rename(&other, &path).unwrap();
    assert_ne!(Stamp::of(&path), before);
}

#[test]
fn a_random_pin_fits_the_token() {
    for (longest, len) in [(255, 24), (24, 24), (8, 8), (0, 24)] {
        assert_eq!(Pin::random(longest).unwrap().0.len(), len, "{longest}");
    }
}
