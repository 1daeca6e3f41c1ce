//! The log as the one who sends it sees it.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use proptest::collection::vec;
use proptest::prelude::*;

use super::StepLog;
use super::ends::LIMIT;
use crate::mask::Masker;

fn log_of(masker: &Masker, chunks: &[&[u8]]) -> StepLog {
    let mut log = StepLog::new(masker);
    for chunk in chunks {
        log.push(chunk);
    }
    log.finish_line();
    log
}

#[test]
fn a_log_is_plain_and_masked() {
    let masker = Masker::new(["s3cret-value"]);
    let log = log_of(&masker, &[b"\x1b[1mpassword: s3cr", b"et-v\x1b[0malue\r", b"\nd\xc3", b"\xb6ne\n"]);
    assert_eq!(log.text(), "password: ***\nd\u{f6}ne\n");
    assert_eq!(log.total_bytes(), log.text().len() as u64);
}

#[test]
fn a_secret_of_several_lines_is_masked_however_its_lines_end() {
    let masker = Masker::new(["ab\r\ncd\nef"]);
    assert_eq!(log_of(&masker, &[b"x ab\r\ncd\nef y"]).text(), "x *** y");
    assert_eq!(log_of(&masker, &[b"x ab\r\ncd\r\nef y"]).text(), "x *** y");
}

#[test]
fn a_line_is_there_as_soon_as_it_has_ended() {
    let mut log = StepLog::new(&Masker::new(["s3cret-value"]));
    assert!(log.is_empty());
    log.push(b"Initializing...\n");
    assert_eq!(log.text(), "Initializing...\n");
    let revision = log.revision();
    log.push(b"\x1b[0m");
    assert_eq!(log.revision(), revision, "nothing that is shown");
    log.push(b"done\n\n \n");
    assert_ne!(log.revision(), revision);
}

#[test]
fn what_fits_is_whole_and_one_byte_more_is_cut_at_lines() {
    let line = b"0123456789abcde\n";
    let mut log = StepLog::new(&Masker::default());
    for _ in 0..LIMIT / line.len() {
        log.push(line);
    }
    assert_eq!(log.text().len(), LIMIT);
    assert!(!log.text().contains("left out"));
    log.push(b"x");
    let text = log.text();
    assert!(text.len() <= LIMIT && text.len() > LIMIT - 10_000, "{}", text.len());
    let gap = text.lines().position(|line| line.contains("left out")).expect("a line for the gap");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines[gap - 1], lines[gap + 1]), ("0123456789abcde", "0123456789abcde"));
    assert_eq!(lines.last(), Some(&"x"));
    let missing = LIMIT + 1 - (text.len() - lines[gap].len() - 1);
    assert_eq!(lines[gap], format!("[{missing} bytes of the log are left out here]"));
}

#[test]
fn a_long_log_keeps_its_head_and_its_tail() {
    let mut log = StepLog::new(&Masker::default());
    for number in 0..300_000 {
        log.push(format!("line {number}\n").as_bytes());
    }
    let text = log.text();
    assert!(text.len() <= LIMIT);
    assert!(text.starts_with("line 0\nline 1\n") && text.ends_with("line 299998\nline 299999\n"));
    let lengths: u64 = (0..300_000_u64).map(|number| format!("line {number}\n").len() as u64).sum();
    assert_eq!(log.total_bytes(), lengths);
}

#[test]
fn one_endless_line_is_cut_between_characters() {
    for shift in 0..4 {
        let mut log = StepLog::new(&Masker::default());
        log.push("a".repeat(shift).as_bytes());
        log.push("\u{1f600}".repeat(600_000).as_bytes());
        let text = log.text();
        assert!(text.len() <= LIMIT && !text.contains('\u{fffd}'));
        assert_eq!(text.lines().count(), 3);
    }
}

/// A sink that keeps what it got, and fails from `fails_at` bytes on.
struct Sink {
    kept: Arc<Mutex<Vec<u8>>>,
    fails_at: usize,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.kept.lock().expect("no test panics with the lock");
        if kept.len() + bytes.len() > self.fails_at {
            return Err(io::ErrorKind::StorageFull.into());
        }
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_tee_gets_the_whole_log_masked() {
    let kept = Arc::default();
    let mut log = StepLog::new(&Masker::new(["s3cret-value"]));
    log.tee(Box::new(Sink { kept: Arc::clone(&kept), fails_at: usize::MAX }));
    let line = format!("{} s3cret-value\n", "x".repeat(2000));
    for _ in 0..1000 {
        log.push(line.as_bytes());
    }
    log.push(b"s3cret");
    log.finish_line();
    let expected = line.replace("s3cret-value", "***").repeat(1000) + "s3cret";
    assert!(kept.lock().expect("not poisoned").as_slice() == expected.as_bytes());
    assert!(log.take_tee_error().is_none());
}

#[test]
fn a_tee_that_fails_is_reported_once_and_the_log_goes_on() {
    let kept = Arc::default();
    let mut log = StepLog::new(&Masker::default());
    log.tee(Box::new(Sink { kept: Arc::clone(&kept), fails_at: 6 }));
    log.push(b"one\n");
    log.push(b"two\n");
    log.push(b"three\n");
    assert_eq!(log.take_tee_error().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    assert!(log.take_tee_error().is_none());
    assert_eq!(log.text(), "one\ntwo\nthree\n");
    assert_eq!(kept.lock().expect("not poisoned").as_slice(), b"one\n");
}

proptest! {
    #[test]
    fn any_bytes_give_the_same_clean_text_however_they_are_cut(
        parts in vec(prop_oneof![
            vec(any::<u8>(), 0..5),
            "[a-c\r\n\u{1b}\u{7}\\[\\]0;m\u{e4}\u{1f600}]{0,12}".prop_map(String::into_bytes),
            Just(b"hunter2!".to_vec()),
        ], 0..20),
        size in 1_usize..9,
    ) {
        let masker = Masker::new(["hunter2!"]);
        let bytes = parts.concat();
        let whole = log_of(&masker, &[&bytes]).text();
        let cut = log_of(&masker, &bytes.chunks(size).collect::<Vec<_>>()).text();
        prop_assert_eq!(&whole, &cut);
        prop_assert!(!whole.contains("hunter2!"));
        prop_assert!(whole.chars().all(|char| matches!(char, '\n' | '\t') || !char.is_control()));
    }
}
