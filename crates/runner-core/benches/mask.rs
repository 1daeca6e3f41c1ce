//! How fast secrets are masked and logs are kept: 100 MB of Terraform-like output through 200 secrets.
//!
//! `cargo bench -p runner-core --bench mask` prints MB/s, and for how many times as long as plain copying and scanning
//! of the same bytes it takes. Figures, not a test: nothing fails here.

use std::hint::black_box;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use runner_core::mask::{self, Masker};

/// The log is private to the crate, so it is compiled into the benchmark once more.
#[path = "../src"]
#[expect(dead_code, unused_imports, reason = "the whole module with its tests, of which only the hot path is measured")]
mod private {
    pub(crate) mod log;
}

const BYTES: usize = 100_000_000;
const SECRETS: usize = 200;
/// What a pipe delivers at once.
const CHUNK: usize = 64 * 1024;
const ROUNDS: u32 = 3;

fn main() {
    let mut random = StdRng::seed_from_u64(4);
    let secrets = secrets(&mut random);
    let started = Instant::now();
    let masker = Masker::new(secrets.iter().map(String::as_str));
    black_box(masker.mask("the first use builds it"));
    println!("masker of {SECRETS} secrets: built in {:.1} ms", started.elapsed().as_secs_f64() * 1e3);

    let clean = text(&mut random, &[], "");
    let with_secrets = text(&mut random, &secrets, "");
    let coloured = text(&mut random, &secrets, "\x1b[32m");

    let copy = measure(&clean, |chunk, out| out.extend_from_slice(chunk));
    let scan = measure(&clean, |chunk, _| {
        black_box(memchr::memrchr(0, chunk));
    });
    report("copy (memcpy)", copy, copy, scan);
    report("scan (memchr)", scan, copy, scan);
    let mut stream = masker.stream();
    report("masker, no secret in the text", measure(&clean, |chunk, out| stream.push(chunk, out)), copy, scan);
    report(
        "masker, a secret in every 20th line",
        measure(&with_secrets, |chunk, out| stream.push(chunk, out)),
        copy,
        scan,
    );
    report("step log, coloured, with secrets", measure(&coloured, step_log(&masker)), copy, scan);
    report("step log without a masker", measure(&coloured, step_log(&Masker::default())), copy, scan);
}

fn step_log(masker: &Masker) -> impl FnMut(&[u8], &mut Vec<u8>) + use<> {
    let mut log = private::log::StepLog::new(masker);
    move |chunk, _| log.push(chunk)
}

/// The best of some rounds, in MB/s.
fn measure(text: &[u8], mut work: impl FnMut(&[u8], &mut Vec<u8>)) -> f64 {
    let mut out = Vec::with_capacity(2 * CHUNK);
    let round = |_| {
        let started = Instant::now();
        for chunk in text.chunks(CHUNK) {
            out.clear();
            work(black_box(chunk), &mut out);
            black_box(&out);
        }
        started.elapsed().as_secs_f64()
    };
    let best = (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min);
    #[expect(clippy::cast_precision_loss, reason = "a figure to print")]
    let megabytes = text.len() as f64 / 1e6;
    megabytes / best
}

fn report(what: &str, speed: f64, copy: f64, scan: f64) {
    println!("{what:<36} {speed:>7.0} MB/s   {:>6.1} x memcpy   {:>6.1} x memchr", copy / speed, scan / speed);
}

/// Passwords, tokens, and a few keys of several lines.
fn secrets(random: &mut StdRng) -> Vec<String> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    const ALL: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!\"$%&/()=?+#'-_.:,;<>|{}[]";
    let mut draw = |from: &[u8], length: usize| -> String {
        (0..length).map(|_| char::from(from[random.random_range(0..from.len())])).collect()
    };
    let mut secrets = Vec::new();
    for number in 0..SECRETS {
        secrets.push(match number % 10 {
            0..5 => draw(LETTERS, 40),
            5..9 => draw(ALL, 24),
            _ => (0..8).map(|_| draw(LETTERS, 64) + "\n").collect(),
        });
    }
    secrets
}

/// Lines as Terraform writes them; a secret in every 20th, if there are any.
fn text(random: &mut StdRng, secrets: &[String], colour: &str) -> Vec<u8> {
    let reset = if colour.is_empty() { "" } else { "\x1b[0m" };
    let mut text = Vec::with_capacity(BYTES + 1024);
    for number in 0_usize.. {
        let (id, net) = (random.random::<u64>(), random.random::<u8>());
        let line = match number % 20 {
            7 if !secrets.is_empty() => format!("  + admin = \"{}\"\n", secrets[number % secrets.len()]),
            even if even % 2 == 0 => {
                format!(
                    "{colour}module.network.aws_subnet.private[{net}]: Refreshing state... [id=subnet-{id:016x}]{reset}\n"
                )
            }
            _ => format!("  {colour}+{reset} cidr_block = \"10.{net}.0.0/16\" -> (known after apply)\n"),
        };
        text.extend_from_slice(line.as_bytes());
        if text.len() >= BYTES {
            break;
        }
    }
    text
}
