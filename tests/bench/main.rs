//! Measures the budgets of the design: each figure beside the physical limit that it is a share of, in one run.
//!
//! `cargo bench` runs everything, `cargo bench -- sagas recovery` only those parts. Figures of one run can be compared
//! with each other; figures of two runs only if the machine was equally busy, so budgets are ratios. Nothing here is a
//! test: a slow machine fails nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod cli;
mod disk;
mod lab;
mod planning;
mod postgres;
mod recovery;
mod sagas;
#[path = "../support/postgres.rs"]
mod scratch;
mod table;

use table::Table;

// The same allocator as the program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Part = (&'static str, fn(&mut Table));

const PARTS: &[Part] = &[
    ("disk", disk::run),
    ("sagas", sagas::run),
    ("recovery", recovery::run),
    ("postgres", postgres::run),
    ("planning", planning::run),
    ("cli", cli::run),
];

fn main() {
    // `cargo bench` passes `--bench`; a benchmark that leaves sagas half done runs itself with a directory.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [command, dir, count] = arguments.as_slice()
        && command == recovery::LEAVE_UNFINISHED
    {
        return recovery::leave_unfinished(dir.as_ref(), count.parse().expect("a number of sagas"));
    }
    let known: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        println!("unknown part {unknown:?}; known parts: {}", known.join(", "));
        std::process::exit(2);
    }
    let mut table = Table::default();
    for (name, run) in PARTS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            println!("measuring {name} …");
            run(&mut table);
        }
    }
    table.print();
}
