//! Looks at a database on behalf of its coordinator, which tells it on as `GET /overview`.
//!
//! Whoever asks a coordinator need then not reach its database: not its file, not the server's password, and not the time to
//! open it. It has a thread of its own, so that a slow database holds up nothing else in the coordinator, and one
//! connection, so that many who ask do not make many: who asks while it is looking waits for the next look, together with
//! all others who do. And as long as nobody has written anything to the database, what was seen last is what would be seen now.

use super::Part;
use super::database;
use crate::client::retry::RetryScope;
use crate::store::inspect::error::InspectError;
use crate::store::inspect::{Asker, Inspector, Moment, OpenOptions};
use crate::wire::ids::SagaId;
use crate::wire::overview::DatabaseOverview;
use crate::wire::time::now;
use std::collections::BTreeSet;
use std::io;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long the database stays open when nobody asks: servers have few connections to give.
const KEPT_OPEN: Duration = Duration::from_secs(60);

/// How it is opened. A coordinator tells its clients within three seconds what there is to tell.
const OPTIONS: OpenOptions = OpenOptions {
    connect_timeout: Duration::from_secs(1),
    statement_timeout: Duration::from_secs(2),
    retry: RetryScope::Reads,
    asker: Asker::OnItsOwnThread,
};

/// Looks at one database.
#[derive(Clone)]
pub struct Lookout {
    questions: mpsc::UnboundedSender<Question>,
}

/// One who wants to know.
struct Question {
    recovered: Vec<SagaId>,
    answer: oneshot::Sender<Part<DatabaseOverview>>,
}

impl Lookout {
    /// Begins to wait for questions. The database is opened for the first of them, and again after it has been lost.
    ///
    /// # Errors
    ///
    /// If the machine would not give a thread.
    pub fn start(
        open: impl AsyncFn(&OpenOptions) -> Result<Inspector, InspectError> + Send + 'static,
    ) -> io::Result<Self> {
        let (questions, asked) = mpsc::unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("lookout".to_owned())
            .spawn(move || runtime.block_on(answer_all(open, asked)))?;
        Ok(Self { questions })
    }

    /// What the database says now, and what became of these sagas. It takes as long as [`database::look`], twice if it is
    /// looking already; whoever drops the future has waited long enough.
    pub async fn ask(self, recovered: Vec<SagaId>) -> Part<DatabaseOverview> {
        let (answer, answered) = oneshot::channel();
        let question = Question { recovered, answer };
        // Only a panic ends the thread.
        let failed = || Part::Missing("looking at it failed: this is a defect of sagactl".to_owned());
        match self.questions.send(question) {
            Ok(()) => answered.await.unwrap_or_else(|_| failed()),
            Err(_) => failed(),
        }
    }
}

async fn answer_all(
    open: impl AsyncFn(&OpenOptions) -> Result<Inspector, InspectError>,
    mut asked: mpsc::UnboundedReceiver<Question>,
) {
    let mut kept = None;
    loop {
        let first = match tokio::time::timeout(KEPT_OPEN, asked.recv()).await {
            Ok(first) => first,
            Err(_) => {
                kept = None;
                asked.recv().await
            }
        };
        let Some(first) = first else { return };
        let mut together = vec![first];
        while let Ok(more) = asked.try_recv() {
            together.push(more);
        }
        // Whoever has stopped waiting, as for a database that hangs, is no reason to ask it.
        together.retain(|question| !question.answer.is_closed());
        if together.is_empty() {
            continue;
        }
        let recovered: BTreeSet<SagaId> =
            together.iter().flat_map(|question| question.recovered.iter().copied()).collect();
        let overview = match look(&open, &mut kept, recovered).await {
            Ok(overview) => Part::Present(overview),
            Err(error) => Part::Missing(error.to_string()),
        };
        for question in together {
            // Gone in the meantime.
            let _ = question.answer.send(overview.clone());
        }
    }
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

async fn look(
    open: &impl AsyncFn(&OpenOptions) -> Result<Inspector, InspectError>,
    kept: &mut Option<Kept>,
    recovered: BTreeSet<SagaId>,
) -> Result<DatabaseOverview, InspectError> {
    // What goes wrong is tried on a new connection next time.
    let Kept { inspector, last } = match kept.take() {
        Some(kept) => kept,
        None => Kept { inspector: open(&OPTIONS).await?, last: None },
    };
    // Before the look, so that what is written meanwhile is noticed.
    let moment = inspector.moment()?;
    if let Some(last) = last
        && Some(last.moment) == moment
        && last.recovered.is_superset(&recovered)
    {
        let overview = last.overview.clone();
        *kept = Some(Kept { inspector, last: Some(last) });
        return Ok(overview);
    }
    let ids: Vec<SagaId> = recovered.iter().copied().collect();
    let view = database::look(&inspector, &ids, now()).await;
    let is_whole = view.names.is_present() && view.failed_sagas.is_present() && view.sagas.is_present();
    // A lookup by id always has an answer unless something is wrong with the database.
    let is_readable = view.names.is_present();
    let overview = DatabaseOverview::from(view);
    if is_readable {
        let last =
            moment.filter(|_| is_whole).map(|moment| Seen { moment, recovered, overview: overview.clone() });
        *kept = Some(Kept { inspector, last });
    }
    Ok(overview)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::database::{DatabaseView, SagaNames};
    use crate::store::sagas::{self, NewSaga};
    use crate::store::sqlite::{self, SqliteStore};
    use crate::store::{Store as _, Until};
    use crate::wire::field::Field;
    use crate::wire::ids::SecId;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
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

        /// One who looks at it, and how often it opened it.
        fn lookout(&self) -> (Lookout, Arc<AtomicUsize>) {
            let (path, opened) = (self.path(), Arc::new(AtomicUsize::new(0)));
            let counted = Arc::clone(&opened);
            let open = async move |options: &OpenOptions| {
                counted.fetch_add(1, Ordering::Relaxed);
                Inspector::open_file(&path, options).await
            };
            (Lookout::start(open).expect("a thread"), opened)
        }
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
        let seen = database::look(&inspector, &wanted, now()).await;
        let (lookout, _) = scratch.lookout();
        let told = DatabaseView::from(present(lookout.ask(wanted.to_vec()).await));
        assert_eq!(told, seen);
        let Part::Present(names) = told.names else { panic!("they are known") };
        let known =
            |names: SagaNames| names.into_values().map(|saga| (saga.saga_id, saga.name)).collect::<Vec<_>>();
        assert_eq!(known(names), [(scratch.saga, Field::Value("demo".to_owned()))]);
    }

    #[tokio::test]
    async fn what_is_written_between_two_looks_is_seen() {
        let scratch = Scratch::new().await;
        let (lookout, opened) = scratch.lookout();
        let counted = async |wanted: &[SagaId]| {
            let told = present(lookout.clone().ask(wanted.to_vec()).await);
            let (Part::Present(counts), Part::Present(recovered)) = (told.counts, told.recovered) else {
                panic!("all is known")
            };
            (counts.unfinished.counted, recovered.len())
        };
        for sagas in 1..10 {
            // More than once, for what was seen once may be told again; and of other sagas, of which nothing was seen.
            assert_eq!(counted(&[]).await, (sagas, 0));
            assert_eq!(counted(&[]).await, (sagas, 0));
            assert_eq!(counted(&[scratch.saga]).await, (sagas, 1));
            scratch
                .store
                .write(sagas::create(saga(SagaId::random())), Until::Durable)
                .await
                .expect("created");
        }
        assert_eq!(opened.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn many_who_ask_are_told_what_each_wants_to_know_through_one_connection() {
        let scratch = Scratch::new().await;
        let (lookout, opened) = scratch.lookout();
        let asking = (0..64).map(|number| {
            // Only every other one asks for the saga.
            let wanted = if number % 2 == 0 { vec![scratch.saga] } else { vec![SagaId::random()] };
            let lookout = lookout.clone();
            async move { (number, present(lookout.ask(wanted).await).recovered) }
        });
        for (number, recovered) in futures::future::join_all(asking).await {
            let Part::Present(recovered) = recovered else { panic!("it is known") };
            // Who asks together may also be told of the others' sagas.
            assert!(number % 2 == 1 || recovered.iter().any(|saga| saga.saga_id == scratch.saga), "{number}");
        }
        assert_eq!(opened.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn who_has_stopped_waiting_holds_nobody_up() {
        let scratch = Scratch::new().await;
        let (lookout, _) = scratch.lookout();
        for _ in 0..100 {
            drop(futures::poll!(std::pin::pin!(lookout.clone().ask(Vec::new()))));
        }
        present(lookout.ask(Vec::new()).await);
    }

    #[tokio::test]
    async fn a_database_that_is_lost_and_found_again() {
        let scratch = Scratch::new().await;
        let (lookout, opened) = scratch.lookout();
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
        assert_eq!(opened.load(Ordering::Relaxed), 3);
    }
}
