//! What was written is read again; what was torn is used as far as it goes.

use super::*;
use crate::blast::ledger::Totals;
use crate::blast::names::{Names, RequestId};
use crate::wire::time::now;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;
use std::time::Duration;

impl Recorder {
    /// One whose first line still had room.
    pub(in crate::blast) fn on_a_full_disk(names: &Names) -> Self {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        Self::go_on(Path::new("/dev/full"), full, &header(), names).expect("a thread")
    }
}

fn names() -> Names {
    Names::new("dummy-", "r1").expect("good names")
}

fn header() -> Header {
    Header {
        sagactl_blast: VERSION,
        run_id: "r1".to_owned(),
        prefix: "dummy-".to_owned(),
        workload: Workload::ProjectCreate,
        url: "http://127.0.0.1:1".to_owned(),
        concurrency: 2,
        model: "closed loop, 2 in flight".to_owned(),
        time_started: now(),
    }
}

fn entry(worker: u32, number: u32, seen: Seen, trouble: Option<&str>) -> Entry {
    let outcome = match seen {
        Seen::Acknowledged | Seen::Deleted => Outcome::Done,
        Seen::InDoubt => Outcome::InDoubt,
        Seen::Gone | Seen::Failed | Seen::Unsent => Outcome::Failed,
    };
    Entry {
        request: RequestId { worker, number },
        intended: Duration::from_millis(1),
        started: Duration::from_millis(2),
        ended: Duration::from_millis(1500),
        outcome,
        seen,
        trouble: trouble.map(|words| ("cut".to_owned(), words.to_owned())),
        saga: None,
    }
}

/// Writes a journal of three requests; with or without its end.
fn written(path: &Path, is_whole: bool) {
    let recorder = Recorder::create(path, &header(), &names()).expect("a journal");
    recorder.record(entry(0, 0, Seen::Acknowledged, None));
    recorder.record(entry(1, 0, Seen::InDoubt, Some("it\nbroke \"off\"")));
    recorder.record(entry(0, 1, Seen::Failed, Some("no")));
    let footer = Footer { ended: End::Count, started: 3, done: 1, failed: 1, in_doubt: 1 };
    recorder.finish(footer).expect("a temporary directory takes it");
    if !is_whole {
        let text = std::fs::read_to_string(path).expect("text");
        let torn = text.rsplit_once("{\"ended\"").expect("an end").0.to_owned() + "{\"name\":\"dumm";
        std::fs::write(path, torn).expect("written");
    }
}

#[test]
fn what_was_written_is_read_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    written(&path, true);
    let journal = Journal::read(&path).expect("a journal");
    assert!(journal.is_whole);
    let Totals { started, done, failed, in_doubt, in_flight } = journal.totals;
    assert_eq!((started, done, failed, in_doubt, in_flight), (3, 1, 1, 1, 0));
    let (requests, without_line) = journal.requests(&[RequestId { worker: 0, number: 7 }]);
    assert_eq!(without_line, 0, "a whole journal has a line for everything");
    let seen: Vec<_> = requests.into_iter().map(|(id, seen)| (id.worker, id.number, seen)).collect();
    assert_eq!(seen, [(0, 0, Seen::Acknowledged), (0, 1, Seen::Failed), (1, 0, Seen::InDoubt)]);

    let text = std::fs::read_to_string(&path).expect("text");
    assert_eq!(text.lines().count(), 5, "an error of two lines is one line here: {text}");
    let second: serde_json::Value = serde_json::from_str(text.lines().nth(1).expect("a line")).expect("JSON");
    assert_eq!((&second["key"], &second["answer"]), (&"dummy-r1-0-0".into(), &"ok".into()));
    let at = |name: &str| second[name].as_str().expect("a time").parse::<Time>().expect("a time");
    assert_eq!((at("time_ended") - at("time_intended")).num_milliseconds(), 1499);
}

#[test]
fn a_torn_journal_has_what_was_under_way_in_doubt() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    written(&path, false);
    let journal = Journal::read(&path).expect("a torn journal is one all the same");
    assert!(!journal.is_whole);
    let id = |worker, number| RequestId { worker, number };
    let (requests, without_line) = journal.requests(&[id(0, 0), id(0, 2), id(1, 5), id(2, 0)]);
    assert_eq!(without_line, 2, "of worker 2 there was none");
    assert_eq!(requests.get(&id(0, 2)), Some(&Seen::InDoubt));
    assert_eq!(requests.get(&id(1, 5)), Some(&Seen::InDoubt));
    assert_eq!(requests.get(&id(2, 0)), None);
    assert_eq!(requests.get(&id(0, 0)), Some(&Seen::Acknowledged));
}

#[test]
fn what_is_no_journal_is_refused_with_the_line() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let refused = |text: &str| {
        std::fs::write(&path, text).expect("written");
        Journal::read(&path).expect_err("refused").to_string()
    };
    assert!(refused("").contains("is no record of a blast"));
    assert!(refused("{\"run_id\":1}\n").contains("is no record of a blast"));
    assert!(refused("{\"sagactl_blast\":2,\"later\":true}\n").contains("is of version 2"));
    written(&path, true);
    let good = std::fs::read_to_string(&path).expect("text");
    let first = good.lines().nth(1).expect("a line");
    assert!(refused(&good.replace(&format!("{first}\n"), "")).contains("has lines of 2 requests"));
    assert!(refused(&format!("{good}what\n")).starts_with("line 6 of "));
    assert!(refused(&format!("{good}{first}\n")).contains("\"dummy-r1-0-0\", which has a line already"));
    let other = first.replace("dummy-r1-0-0", "dummy-r2-0-0");
    assert!(refused(&format!("{good}{other}\n")).contains("which is no name of this run"));
    assert!(matches!(Journal::read(&dir.path().join("none")), Err(JournalError::Read { .. })));
}

#[test]
fn a_full_disk_is_noticed_and_told() {
    let recorder = Recorder::on_a_full_disk(&names());
    for number in 0..20 {
        recorder.record(entry(0, number, Seen::Acknowledged, None));
    }
    let footer = Footer { ended: End::Record, started: 20, done: 20, failed: 0, in_doubt: 0 };
    let error = recorder.finish(footer).expect_err("the disk is full");
    assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
    assert!(Recorder::create(Path::new("/dev/full"), &header(), &names()).is_err());
}

#[test]
fn fuzzed_journals_are_read_or_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("journal");
    let seeds: Vec<Vec<u8>> = [true, false]
        .map(|is_whole| {
            written(&path, is_whole);
            let seed = std::fs::read(&path).expect("what was written");
            std::fs::remove_file(&path).expect("it is there");
            seed
        })
        .into();
    crate::fuzz::fuzz(&seeds, |bytes, _| match Journal::read_from(bytes, Path::new("journal")) {
        Ok(journal) => {
            let (requests, without_line) = journal.requests(&[RequestId { worker: 0, number: 3 }]);
            let Totals { started, done, failed, in_doubt, .. } = journal.totals;
            assert_eq!(started, done + failed + in_doubt);
            assert_eq!(requests.len() as u64, started + without_line);
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control), "{error}"),
    });
}
