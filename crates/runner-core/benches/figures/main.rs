//! What a run costs: requests, writes, delay and memory. Figures, not a test: nothing fails here.
//!
//! `cargo bench -p runner-core --bench figures`; some only: `… -- delay memory` (of `requests`, `delay`, `memory`).

mod delay;
mod journal;
mod memory;
mod requests;
mod scene;

fn main() {
    // `cargo test --all-targets` starts benches too, with a debug build: that would measure nothing.
    if cfg!(debug_assertions) {
        println!("figures: nothing is measured in a debug build; use `cargo bench -p runner-core`");
        return;
    }
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    if arguments.first().is_some_and(|argument| argument == memory::CHILD) {
        runtime.block_on(memory::child());
        return;
    }
    let is_wanted =
        |name: &str| arguments.is_empty() || arguments.iter().any(|argument| name.contains(argument.as_str()));
    if is_wanted("requests") {
        runtime.block_on(requests::print());
    }
    if is_wanted("delay") {
        runtime.block_on(delay::print());
    }
    if is_wanted("memory") {
        memory::print(&runtime);
    }
}
