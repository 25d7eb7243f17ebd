//! Measures the budgets of the design: each figure beside the physical limit that it is a share of, in one run.
//!
//! `cargo bench` runs everything, `cargo bench -- sagas recovery` only those parts. `cargo bench -- load --install` also
//! installs the load generators that `blast` is measured beside; without it those that are missing are left out. Figures of one run can be compared
//! with each other; figures of two runs only if the machine was equally busy, so budgets are ratios. Nothing here is a
//! test: a slow machine fails nothing.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

mod cli;
mod disk;
mod lab;
mod list;
mod load;
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
    ("list", list::run),
    ("cli", cli::run),
    ("load", load::run),
];

fn main() {
    // `cargo bench` passes `--bench`; a benchmark that leaves sagas half done runs itself with a directory.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [command, dir, count] = arguments.as_slice()
        && command == recovery::LEAVE_UNFINISHED
    {
        return recovery::leave_unfinished(dir.as_ref(), count.parse().expect("a number of sagas"));
    }
    let (flags, arguments): (Vec<_>, Vec<_>) =
        arguments.into_iter().partition(|argument| argument.starts_with("--"));
    match flags.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => {}
        ["--install"] => load::install(),
        _ => {
            println!("unknown flag {}; the only one is --install", flags.join(" "));
            std::process::exit(2);
        }
    }
    let known: Vec<_> = PARTS.iter().map(|(name, _)| *name).collect();
    if let Some(unknown) = arguments.iter().find(|argument| !known.contains(&argument.as_str())) {
        println!("unknown part {unknown:?}; known parts: {}", known.join(", "));
        std::process::exit(2);
    }
    // The library chooses its own for each client it makes, and reqwest none.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let mut table = Table::default();
    for (name, run) in PARTS {
        if arguments.is_empty() || arguments.iter().any(|argument| argument == name) {
            println!("measuring {name} …");
            run(&mut table);
        }
    }
    table.print();
}
