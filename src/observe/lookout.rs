//! Looks at a database on behalf of its coordinator, which tells it on as `GET /overview`.
//!
//! Whoever asks a coordinator need then not reach its database: not its file, not the server's password, and not the time to
//! open it. It has a thread of its own, so that a slow database holds up nothing else in the coordinator, and one
//! connection, so that many who ask do not make many: who asks while it is looking waits for the next look, together with
//! all others who do. And as long as nobody has written anything to a file, what was seen last is what would be seen now.

use super::database::{self, PATIENCE};
use crate::client::retry::RetryScope;
use crate::store::inspect::error::InspectError;
use crate::store::inspect::{Asker, Inspector, Moment, OpenOptions};
use crate::wire::ids::SagaId;
use crate::wire::overview::DatabaseOverview;
use crate::wire::part::Part;
use crate::wire::time::now;
use futures::FutureExt;
use std::collections::BTreeSet;
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long the database stays open when nobody asks: servers have few connections to give.
const KEPT_OPEN: Duration = Duration::from_secs(60);

/// Longest wait for the database to be opened. A server with two addresses is tried at the second one after two seconds.
const OPENING: Duration = Duration::from_millis(2500);

/// How the database is opened. A question is broken off sooner than a look is over, so that a server or a disk is not long at it
/// when nobody waits any more.
const OPTIONS: OpenOptions = OpenOptions {
    connect_timeout: OPENING,
    statement_timeout: Duration::from_secs(1),
    retry: RetryScope::Reads,
    asker: Asker::OnItsOwnThread,
};

/// Most that wait for the next look. Far more than people and scripts are; it is bounded for a disk that hangs.
const MOST_WAITING: usize = 1024;

/// Looks at one database.
#[derive(Clone)]
pub struct Lookout {
    questions: mpsc::Sender<Question>,
}

/// One who wants to know.
struct Question {
    recovered: BTreeSet<SagaId>,
    answer: oneshot::Sender<Part<DatabaseOverview>>,
}

impl Lookout {
    /// Begins to wait for questions. The database is opened for the first of them, and again when something was wrong with it.
    ///
    /// # Errors
    ///
    /// If the machine would not give what a thread needs.
    pub fn start(
        open: impl AsyncFn(&OpenOptions) -> Result<Inspector, InspectError> + Send + 'static,
    ) -> io::Result<Self> {
        let (questions, asked) = mpsc::channel(MOST_WAITING);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new().name("lookout".to_owned()).spawn(move || {
            runtime.block_on(answer_all(Eye::new(open), asked));
        })?;
        Ok(Self { questions })
    }

    /// What the database says now, and what became of these sagas. The answer may take seconds, and longer if it is looking
    /// already; whoever drops the future has waited long enough.
    pub async fn ask(self, recovered: Vec<SagaId>) -> Part<DatabaseOverview> {
        let (answer, answered) = oneshot::channel();
        let question = Question { recovered: recovered.into_iter().collect(), answer };
        match self.questions.try_send(question) {
            Ok(()) => answered.await.unwrap_or_else(|_| Part::Missing(defect())),
            Err(mpsc::error::TrySendError::Full(_)) => {
                Part::Missing(format!("more than {MOST_WAITING} wait for what it says"))
            }
            Err(mpsc::error::TrySendError::Closed(_)) => Part::Missing(defect()),
        }
    }
}

fn defect() -> String {
    "looking at it failed: this is a defect of sagactl".to_owned()
}

/// Answers until nobody can ask any more.
async fn answer_all<F>(mut eye: Eye<F>, mut asked: mpsc::Receiver<Question>) -> Eye<F>
where
    F: AsyncFn(&OpenOptions) -> Result<Inspector, InspectError>,
{
    loop {
        let first = match tokio::time::timeout(KEPT_OPEN, asked.recv()).await {
            Ok(first) => first,
            Err(_) => {
                eye.close();
                asked.recv().await
            }
        };
        let Some(first) = first else { return eye };
        let mut together = vec![first];
        while let Ok(more) = asked.try_recv() {
            together.push(more);
        }
        // Whoever has stopped waiting, as for a database that hangs, is no reason to ask it.
        together.retain(|question| !question.answer.is_closed());
        if together.is_empty() {
            continue;
        }
        let recovered = together.iter().flat_map(|question| question.recovered.iter().copied()).collect();
        // A panic costs these answers and not all that are to come.
        let seen = match AssertUnwindSafe(eye.look(recovered)).catch_unwind().await {
            Ok(Ok(overview)) => Part::Present(overview),
            Ok(Err(reason)) => Part::Missing(reason),
            Err(_) => Part::Missing(defect()),
        };
        for Question { recovered, answer } in together {
            let told = seen.clone().map(|overview| overview.of(&recovered));
            // Nobody is there any more if it took too long.
            let _ = answer.send(told);
        }
    }
}

/// What looks.
struct Eye<F> {
    open: F,
    kept: Option<Kept>,
    /// How often it has looked.
    looks: u64,
}

/// An open database, and what was last seen in it.
struct Kept {
    inspector: Inspector,
    last: Option<Seen>,
}

/// What was seen of a database at a moment.
struct Seen {
    moment: Moment,
    recovered: BTreeSet<SagaId>,
    overview: DatabaseOverview,
}

impl<F: AsyncFn(&OpenOptions) -> Result<Inspector, InspectError>> Eye<F> {
    fn new(open: F) -> Self {
        Self { open, kept: None, looks: 0 }
    }

    /// Lets the database go.
    fn close(&mut self) {
        self.kept = None;
    }

    async fn open(&self) -> Result<Inspector, String> {
        match tokio::time::timeout(OPENING, (self.open)(&OPTIONS)).await {
            Ok(opened) => opened.map_err(|error| error.to_string()),
            Err(_) => Err(format!("it could not be opened within {}", humantime::format_duration(OPENING))),
        }
    }

    /// What there is to see, these sagas included.
    async fn look(&mut self, recovered: BTreeSet<SagaId>) -> Result<DatabaseOverview, String> {
        // Taken out, so that where anything goes wrong the next look has a connection of its own.
        let Kept { inspector, last } = match self.kept.take() {
            Some(kept) => kept,
            None => Kept { inspector: self.open().await?, last: None },
        };
        // Before the look, so that what is written meanwhile is noticed.
        let moment = inspector.moment().map_err(|error| error.to_string())?;
        if let Some(last) = last
            && Some(last.moment) == moment
            && last.recovered.is_superset(&recovered)
        {
            let overview = last.overview.clone();
            self.kept = Some(Kept { inspector, last: Some(last) });
            return Ok(overview);
        }
        self.looks += 1;
        let ids: Vec<SagaId> = recovered.iter().copied().collect();
        let view = database::look(&inspector, &ids, now(), PATIENCE).await;
        let is_whole = view.names.is_present() && view.failed_sagas.is_present() && view.sagas.is_present();
        let overview = DatabaseOverview::from(view);
        if is_whole {
            let last = moment.map(|moment| Seen { moment, recovered, overview: overview.clone() });
            self.kept = Some(Kept { inspector, last });
        }
        Ok(overview)
    }
}

impl DatabaseOverview {
    /// The same with these sagas only, for one of many for whom it was looked.
    fn of(mut self, recovered: &BTreeSet<SagaId>) -> Self {
        if let Part::Present(sagas) = &mut self.recovered {
            sagas.retain(|saga| recovered.contains(&saga.saga_id));
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::database::{DatabaseView, SagaNames};
    use crate::scratch_postgres::Server;
    use crate::store::postgres::{self, PostgresStore};
    use crate::store::sagas::{self, NewSaga};
    use crate::store::sqlite::{self, SqliteStore};
    use crate::store::{Store as _, Until};
    use crate::wire::field::Field;
    use crate::wire::ids::SecId;
    use rustix::process::{Pid, Signal, kill_process};
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;
    use tempfile::TempDir;

    fn saga(id: SagaId) -> NewSaga {
        NewSaga {
            id,
            creator: SecId::random(),
            time_created: now(),
            name: "demo".to_owned(),
            dag: "{}".to_owned(),
            idempotency: None,
        }
    }

    /// A database of ours with a saga, which is open all the time, as its coordinator has it.
    struct Scratch {
        dir: TempDir,
        saga: SagaId,
        store: SqliteStore,
    }

    impl Scratch {
        async fn new() -> Self {
            let dir = tempfile::tempdir().expect("a scratch directory");
            let options = sqlite::OpenOptions::new(Arc::new(|why| panic!("{why}")));
            let store = SqliteStore::open(&dir.path().join("t.db"), options).expect("a database");
            let id = SagaId::random();
            store.write(sagas::create(saga(id)), Until::Durable).await.expect("created");
            Self { dir, saga: id, store }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("t.db")
        }

        /// One who looks at it.
        fn eye(&self) -> Eye<impl AsyncFn(&OpenOptions) -> Result<Inspector, InspectError> + Send + 'static> {
            let path = self.path();
            Eye::new(async move |options: &OpenOptions| Inspector::open_file(&path, options).await)
        }

        fn lookout(&self) -> Lookout {
            Lookout::start(self.eye().open).expect("a thread")
        }
    }

    fn ids(sagas: &[SagaId]) -> BTreeSet<SagaId> {
        sagas.iter().copied().collect()
    }

    fn present(answer: Part<DatabaseOverview>) -> DatabaseOverview {
        match answer {
            Part::Present(overview) => overview,
            Part::Missing(reason) => panic!("nothing is known: {reason}"),
        }
    }

    #[tokio::test]
    async fn what_is_told_is_what_a_look_sees() {
        let scratch = Scratch::new().await;
        let inspector =
            Inspector::open_file(&scratch.path(), &OpenOptions::default()).await.expect("readable");
        let wanted = [SagaId::random(), scratch.saga];
        let seen = database::look(&inspector, &wanted, now(), Duration::from_secs(60)).await;
        let told = DatabaseView::from(present(scratch.lookout().ask(wanted.to_vec()).await));
        assert_eq!(told, seen);
        let Part::Present(names) = told.names else { panic!("they are known") };
        let known =
            |names: SagaNames| names.into_values().map(|saga| (saga.saga_id, saga.name)).collect::<Vec<_>>();
        assert_eq!(known(names), [(scratch.saga, Field::Value("demo".to_owned()))]);
    }

    #[tokio::test]
    async fn it_looks_again_when_something_was_written_or_something_else_is_asked() {
        let scratch = Scratch::new().await;
        let mut eye = scratch.eye();
        let mut looks = 0;
        for sagas in 1..6 {
            let mut counted = async |wanted: &[SagaId]| {
                let told = eye.look(ids(wanted)).await.expect("readable");
                let (Part::Present(counts), Part::Present(recovered)) = (told.counts, told.recovered) else {
                    panic!("all is known")
                };
                (counts.unfinished.counted, recovered.len(), eye.looks)
            };
            assert_eq!(counted(&[]).await, (sagas, 0, looks + 1));
            assert_eq!(counted(&[]).await, (sagas, 0, looks + 1));
            assert_eq!(counted(&[scratch.saga]).await, (sagas, 1, looks + 2));
            assert_eq!(counted(&[]).await, (sagas, 1, looks + 2), "more than was asked for is no harm here");
            looks += 2;
            scratch
                .store
                .write(sagas::create(saga(SagaId::random())), Until::Durable)
                .await
                .expect("created");
        }
    }

    /// Asks all of these before anybody is there to answer, and then has them answered.
    async fn ask_together(
        eye: Eye<impl AsyncFn(&OpenOptions) -> Result<Inspector, InspectError>>,
        questions: Vec<Question>,
    ) -> u64 {
        let (sender, asked) = mpsc::channel(MOST_WAITING);
        for question in questions {
            assert!(sender.try_send(question).is_ok(), "there is room");
        }
        drop(sender);
        answer_all(eye, asked).await.looks
    }

    #[tokio::test]
    async fn who_asks_together_is_told_of_one_look_what_each_wants_to_know() {
        let scratch = Scratch::new().await;
        let (questions, answers): (Vec<_>, Vec<_>) = (0..64)
            .map(|number| {
                let (answer, answered) = oneshot::channel();
                // Only every other one asks for the saga.
                let wanted = if number % 2 == 0 { scratch.saga } else { SagaId::random() };
                (Question { recovered: ids(&[wanted]), answer }, answered)
            })
            .unzip();
        assert_eq!(ask_together(scratch.eye(), questions).await, 1);
        for (number, answered) in answers.into_iter().enumerate() {
            let told = present(answered.await.expect("an answer"));
            let Part::Present(recovered) = told.recovered else { panic!("it is known") };
            let told_of: Vec<SagaId> = recovered.iter().map(|saga| saga.saga_id).collect();
            assert_eq!(told_of, if number % 2 == 0 { vec![scratch.saga] } else { Vec::new() });
        }
    }

    #[tokio::test]
    async fn nobody_looks_for_those_who_have_stopped_waiting() {
        let scratch = Scratch::new().await;
        let questions =
            (0..64).map(|_| Question { recovered: BTreeSet::new(), answer: oneshot::channel().0 }).collect();
        assert_eq!(ask_together(scratch.eye(), questions).await, 0);
    }

    #[tokio::test]
    async fn a_database_that_is_lost_and_found_again() {
        let scratch = Scratch::new().await;
        let lookout = scratch.lookout();
        present(lookout.clone().ask(Vec::new()).await);
        let away = scratch.dir.path().join("away");
        let rename = |from: &Path, to: &Path| std::fs::rename(from, to).expect("renamed");
        rename(&scratch.path(), &away);
        // At first the connection to it is still there, then there is nothing to open either.
        for _ in 0..2 {
            let Part::Missing(reason) = lookout.clone().ask(vec![scratch.saga]).await else {
                panic!("it is not there")
            };
            assert!(reason.ends_with("there is no such file"), "{reason}");
        }
        rename(&away, &scratch.path());
        let Part::Present(recovered) = present(lookout.ask(vec![scratch.saga]).await).recovered else {
            panic!("it is back")
        };
        assert_eq!(recovered.len(), 1);
    }

    /// A server's process that has been stopped in its tracks, until the end of this.
    struct Stopped(Pid);

    impl Stopped {
        fn new(pid: Pid) -> Self {
            kill_process(pid, Signal::STOP).expect("it is there");
            Self(pid)
        }
    }

    impl Drop for Stopped {
        fn drop(&mut self) {
            let _ = kill_process(self.0, Signal::CONT);
        }
    }

    #[tokio::test]
    async fn a_session_that_hangs_is_given_up_for_another() {
        let database = Server::shared().database();
        let options = postgres::OpenOptions::new(SecId::random(), Arc::new(|why| panic!("{why}")));
        drop(PostgresStore::open(&database.url(), options).expect("a database"));
        let url = database.url();
        let mut eye =
            Eye::new(async move |options: &OpenOptions| Inspector::open_server(&url, options).await);
        let deadline = Instant::now() + Duration::from_secs(30);
        // Only what was wholly answered is kept open.
        while !eye
            .look(BTreeSet::new())
            .await
            .is_ok_and(|seen| seen.counts.is_present() && seen.failed.is_present())
        {
            assert!(Instant::now() < deadline, "nobody answers");
        }
        let sessions = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()
            AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let session = loop {
            // Those of the store end soon.
            if let Ok(session) = database.sql(sessions).parse() {
                break session;
            }
            assert!(Instant::now() < deadline, "sessions: {}", database.sql(sessions));
        };
        let _stopped = Stopped::new(Pid::from_raw(session).expect("a process"));
        let hung = eye.look(BTreeSet::new()).await.expect("an answer, though without what was asked for");
        let (Part::Missing(reason), Part::Missing(_)) = (hung.counts, hung.failed) else {
            panic!("nobody can have answered")
        };
        assert!(reason.contains("did not answer"), "{reason}");
        while !eye.look(BTreeSet::new()).await.is_ok_and(|again| again.counts.is_present()) {
            assert!(Instant::now() < deadline, "nobody answers though only one session is stopped");
        }
    }

    #[tokio::test]
    async fn a_panic_costs_one_answer() {
        let scratch = Scratch::new().await;
        let (path, panics) = (scratch.path(), AtomicBool::new(true));
        let lookout = Lookout::start(async move |options: &OpenOptions| {
            assert!(!panics.swap(false, Ordering::Relaxed), "this is meant to happen");
            Inspector::open_file(&path, options).await
        });
        let lookout = lookout.expect("a thread");
        assert_eq!(lookout.clone().ask(Vec::new()).await, Part::Missing(defect()));
        present(lookout.ask(Vec::new()).await);
    }
}
