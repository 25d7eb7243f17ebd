//! The twelve invariants: their names, what each says, and of which section it is.

use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// Something that holds as long as nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// Every unfinished saga is known to the SEC that it is assigned to.
    I1,
    /// Every saga that a SEC says is running is unfinished in the database.
    I2,
    /// Every log is complete and legal for its DAG.
    I3,
    /// Every unfinished saga belongs to a SEC that exists, is in service and answers.
    I4,
    /// Every unfinished saga has progressed of late.
    I5,
    /// The recovery counters add up, with the database and with the SEC's list.
    I6,
    /// The last recovery pass succeeded and is not old.
    I7,
    /// No saga is stuck.
    I8,
    /// What sagas made agrees with how they ended.
    I9,
    /// The SEC knows every action of its unfinished sagas.
    I10,
    /// No node ran under two owners at once, or again after what depends on it.
    I11,
    /// Nothing that was acknowledged is missing.
    I12,
}

/// What an invariant is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// What recovery answers for: losing nothing, repeating nothing, leaving nothing behind.
    Recovery,
    /// What recovery cannot help: what actions did, and how long they take.
    Other,
}

impl Invariant {
    /// All, in order.
    pub const ALL: [Self; 12] = [
        Self::I1,
        Self::I2,
        Self::I3,
        Self::I4,
        Self::I5,
        Self::I6,
        Self::I7,
        Self::I8,
        Self::I9,
        Self::I10,
        Self::I11,
        Self::I12,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::I1 => "I1",
            Self::I2 => "I2",
            Self::I3 => "I3",
            Self::I4 => "I4",
            Self::I5 => "I5",
            Self::I6 => "I6",
            Self::I7 => "I7",
            Self::I8 => "I8",
            Self::I9 => "I9",
            Self::I10 => "I10",
            Self::I11 => "I11",
            Self::I12 => "I12",
        }
    }

    /// What it says, in a line.
    pub const fn title(self) -> &'static str {
        match self {
            Self::I1 => "unfinished sagas are known to their SEC",
            Self::I2 => "what a SEC runs is unfinished in the database",
            Self::I3 => "logs are complete and legal",
            Self::I4 => "unfinished sagas have an owner that answers",
            Self::I5 => "unfinished sagas progress",
            Self::I6 => "recovery's counters add up",
            Self::I7 => "the last recovery pass is good and recent",
            Self::I8 => "no saga is stuck",
            Self::I9 => "what sagas made agrees with their outcomes",
            Self::I10 => "SECs know the actions of their sagas",
            Self::I11 => "no node ran under two owners at once",
            Self::I12 => "nothing acknowledged is missing",
        }
    }

    /// What it is about.
    pub const fn section(self) -> Section {
        match self {
            Self::I5 | Self::I8 | Self::I9 => Section::Other,
            _ => Section::Recovery,
        }
    }

    /// Whether it is about single sagas' rows and logs.
    pub const fn is_about_sagas(self) -> bool {
        !matches!(self, Self::I2 | Self::I6 | Self::I7 | Self::I12)
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Invariant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl FromStr for Invariant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found =
            Self::ALL.into_iter().find(|invariant| invariant.as_str().eq_ignore_ascii_case(text.trim()));
        found.ok_or_else(|| "invariants are I1 to I12".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_either_case() {
        for invariant in Invariant::ALL {
            assert_eq!(invariant.as_str().parse(), Ok(invariant));
            assert_eq!(invariant.as_str().to_lowercase().parse(), Ok(invariant));
        }
        for wrong in ["", "I0", "I13", "1", "I1 I2"] {
            assert!(wrong.parse::<Invariant>().is_err(), "{wrong}");
        }
    }
}
