//! A few sessions that read, so that reads never wait for writes.

use super::link::Link;
use super::session::{Purpose, STATEMENT_LIMIT, Session};
use super::trouble::{Trouble, classify};
use super::value;
use crate::store::error::StoreError;
use crate::store::sql::{Row, Statement};
use futures::FutureExt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};

/// How long a read waits for a database that is out of reach. Whoever asks wants an answer, if only that there is none.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a read is begun again after its connection broke or somebody was in the way.
const ATTEMPTS: usize = 3;

/// How much longer than the server's own limit an answer may take before the connection counts as broken.
const GRACE: Duration = Duration::from_secs(5);

type Answer = oneshot::Sender<Result<Vec<Row>, StoreError>>;

/// The way to the sessions that read; when it is dropped they end.
pub(super) struct Readers {
    queue: mpsc::UnboundedSender<(Statement, Answer)>,
}

impl Readers {
    /// Starts so many sessions on the runtime that this runs on, and answers with a future that ends when they do. Each
    /// connects when it has something to read.
    pub(super) fn start(
        link: &Arc<Link>,
        purpose: Purpose,
        count: usize,
    ) -> (Self, impl Future<Output = ()> + use<>) {
        let (queue, jobs) = mpsc::unbounded_channel::<(Statement, Answer)>();
        let jobs = Arc::new(Mutex::new(jobs));
        let readers = (0..count).map(|_| {
            let mut reader = Reader { link: Arc::clone(link), purpose, session: None };
            let jobs = Arc::clone(&jobs);
            tokio::spawn(async move {
                loop {
                    // The lock is held while waiting, so that one waits for the next job and the others for the lock.
                    let job = jobs.lock().await.recv().await;
                    let Some((statement, answer)) = job else { return };
                    // Whoever asked may have given up, perhaps because there was much to do.
                    if !answer.is_closed() {
                        let _ = answer.send(reader.read(&statement).await);
                    }
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        (Self { queue }, futures::future::join_all(readers).map(drop))
    }

    /// Queues a read.
    pub(super) fn hand_over(&self, statement: Statement) -> oneshot::Receiver<Result<Vec<Row>, StoreError>> {
        let (answer, rows) = oneshot::channel();
        // Without anybody to take it the job is dropped, and with it the answer's other end.
        let _ = self.queue.send((statement, answer));
        rows
    }
}

struct Reader {
    link: Arc<Link>,
    purpose: Purpose,
    session: Option<Session>,
}

impl Reader {
    async fn read(&mut self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            let mut session = self.session().await?;
            let (epoch, limit) = (session.epoch(), STATEMENT_LIMIT + GRACE);
            let trouble = match tokio::time::timeout(limit, session.query(statement)).await {
                Ok(Ok(rows)) => {
                    self.session = Some(session);
                    return rows.iter().map(value::row).collect();
                }
                Ok(Err(error)) => classify(&error),
                Err(_) => Trouble::Lost(format!("no answer within {}", humantime::format_duration(limit))),
            };
            match trouble {
                Trouble::InTheWay(text) => {
                    self.session = Some(session);
                    why = text;
                }
                Trouble::Lost(text) => {
                    self.link.lost(epoch, &text);
                    why = text;
                }
                Trouble::Refused(refusal) => {
                    self.session = Some(session);
                    return Err(StoreError::Refused(refusal));
                }
                Trouble::Hopeless(text) => {
                    self.session = Some(session);
                    return Err(StoreError::Unusable(self.failed(&text)));
                }
            }
        }
        Err(StoreError::Unavailable(self.failed(&why)))
    }

    /// The open session, or a new one if the database can be reached within [`PATIENCE`].
    async fn session(&mut self) -> Result<Session, StoreError> {
        if let Some(session) = self.session.take() {
            return Ok(session);
        }
        self.link.up_within(PATIENCE).await?;
        match tokio::time::timeout(PATIENCE, Session::reopen(&self.link, self.purpose)).await {
            Ok(session) => Ok(session),
            Err(_) => {
                self.link.up_within(Duration::ZERO).await?;
                Err(StoreError::Unavailable(self.failed("connecting takes too long")))
            }
        }
    }

    fn failed(&self, why: &str) -> String {
        format!("cannot read database {}: {why}", self.link.target().shown())
    }
}
