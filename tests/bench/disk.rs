//! How fast this disk makes things durable: the floor under every strict figure.

use crate::table::{Budget, Table};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const LASTS: Duration = Duration::from_secs(2);

/// Synced writes of 4 KiB into a file that has its size already.
pub(crate) fn run(table: &mut Table) {
    let file: File = tempfile::tempfile_in(std::env::temp_dir()).expect("a scratch file");
    let page = [7; 4096];
    for index in 0..256 {
        file.write_all_at(&page, index * 4096).expect("room on the disk");
    }
    file.sync_all().expect("a sync");
    let started = Instant::now();
    let mut syncs = 0_u64;
    while started.elapsed() < LASTS {
        file.write_all_at(&page, (syncs % 256) * 4096).expect("room on the disk");
        file.sync_data().expect("a sync");
        syncs += 1;
    }
    let rate = syncs as f64 / started.elapsed().as_secs_f64();
    table.add("fdatasync of 4 KiB", rate, "/s", None, Budget::None);
}
