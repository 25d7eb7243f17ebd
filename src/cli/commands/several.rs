//! The same question to each of several coordinators, for commands whose `--url` may be repeated.
//!
//! One that does not answer hides none of the others: what they say is shown, and the command's failure names those that are
//! missing.

use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::client::base_url::BaseUrl;

/// What each of them answered.
pub(super) struct Answers<T> {
    /// Those that did, in the order in which they were named.
    pub(super) good: Vec<(BaseUrl, T)>,
    /// Those that did not.
    pub(super) bad: Vec<(BaseUrl, Failure)>,
}

/// Asks each.
pub(super) async fn ask_each<T>(
    ctx: &mut Context<'_>,
    mut ask: impl AsyncFnMut(&mut Context<'_>) -> Result<T, Failure>,
) -> Answers<T> {
    let mut answers = Answers { good: Vec::new(), bad: Vec::new() };
    let urls = ctx.urls();
    let mut left = u32::try_from(urls.len()).unwrap_or(u32::MAX);
    for url in &urls {
        if urls.len() > 1 {
            ctx.turn_to(url, left);
        }
        left -= 1;
        match ask(ctx).await {
            Ok(answer) => answers.good.push((url.clone(), answer)),
            Err(failure) => answers.bad.push((url.clone(), failure)),
        }
    }
    answers
}

impl<T> Answers<T> {
    /// Whether only one was asked.
    pub(super) fn is_one(&self) -> bool {
        self.good.len() + self.bad.len() == 1
    }

    /// The answers, if all are there.
    ///
    /// # Errors
    ///
    /// The failure of the one that was asked, or one that names all that failed.
    pub(super) fn finish(mut self) -> Result<Vec<T>, Failure> {
        let asked = self.good.len() + self.bad.len();
        if self.bad.is_empty() {
            return Ok(self.good.into_iter().map(|(_, answer)| answer).collect());
        }
        if asked == 1 {
            return Err(self.bad.remove(0).1);
        }
        let kind = self.bad[0].1.kind;
        let failure = Failure::new(
            kind,
            format!("{} of {asked} coordinators did not answer as they should", self.bad.len()),
        );
        Err(self
            .bad
            .iter()
            .fold(failure, |failure, (url, why)| failure.because(format!("{url}: {}", why.summary()))))
    }
}
