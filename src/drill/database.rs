//! Where a drill's coordinators keep their sagas: a file in the scratch directory, a file that was named, or a schema of
//! the drill's own on a server. The last is gone when the drill is over, and whatever else is in that database is never
//! touched.

use super::lab::DrillError;
use crate::store::postgres::scratch::ScratchSchema;
use crate::wire::info::ReadyFile;

/// The database of one drill.
pub struct DrillDatabase {
    given: Option<String>,
    schema: Option<ScratchSchema>,
}

impl DrillDatabase {
    /// Of the database that was named, if one was.
    ///
    /// # Errors
    ///
    /// If a schema of its own cannot be made there.
    pub async fn prepare(db_url: Option<&str>) -> Result<Self, DrillError> {
        let schema = match db_url {
            Some(url) if !url.starts_with("sqlite:") => {
                Some(ScratchSchema::create(url).await.map_err(DrillError::Schema)?)
            }
            _ => None,
        };
        Ok(Self { given: db_url.map(str::to_owned), schema })
    }

    fn named(&self) -> Option<&str> {
        self.schema.as_ref().map(ScratchSchema::url).or(self.given.as_deref())
    }

    /// What tells a coordinator to use it.
    pub fn arguments(&self) -> impl Iterator<Item = String> + '_ {
        self.named().into_iter().flat_map(|url| ["--db-url".to_owned(), url.to_owned()])
    }

    /// Where it is, for the tool. What a coordinator says of itself does not hold everything, the password for example.
    pub fn url<'a>(&'a self, ready: &'a ReadyFile) -> &'a str {
        self.named().unwrap_or(&ready.db_url)
    }

    /// Removes the schema, unless it is to stay; then answers its name. To be called when all coordinators are gone.
    ///
    /// # Errors
    ///
    /// If it could not be removed.
    pub fn finish(self, keep: bool) -> Result<Option<String>, DrillError> {
        match self.schema {
            Some(schema) if keep => Ok(Some(schema.keep())),
            Some(schema) => schema.remove().map(|()| None).map_err(DrillError::Schema),
            None => Ok(None),
        }
    }
}
