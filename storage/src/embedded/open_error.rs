//! Why a store does not open, in words for whoever runs it: likely cause, and what to do.

use std::fmt;
use std::path::PathBuf;

/// Why a store was not opened. The text says what to do.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it open.
    Locked {
        /// The store's folder.
        path: PathBuf,
    },
    /// It was written by another version.
    OtherFormat {
        /// The store's folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format that is understood.
        known: u32,
    },
    /// Something that was acknowledged is missing.
    Damaged(Box<DamagedStore>),
    /// The system or the database said no.
    Io {
        /// What was being done.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        reason: String,
        /// Whether it is for lack of room.
        full: bool,
    },
}

/// What is missing, and what there is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DamagedStore {
    /// The store's folder.
    pub store: PathBuf,
    /// The file, or the folder of which a file is missing.
    pub file: PathBuf,
    /// The byte from which on the file is of no use; none: no such place is known.
    pub offset: Option<u64>,
    /// What is wrong there.
    pub reason: String,
    /// The newest group that is there, where that is known.
    pub found_group: Option<u64>,
    /// The newest group that was acknowledged.
    pub high_water: u64,
    /// Where copies of the journals are, if an earlier try to open made some.
    pub copies: Option<PathBuf>,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Locked { path } => write!(
                f,
                "another trunkline is using the folder {0}. Stop it first (who it is: `fuser {0}/lock`), or start this one \
                 with another --data",
                path.display()
            ),
            OpenError::OtherFormat { path, found, known } => {
                let (version, advice) = if found > known {
                    ("a newer", "Install that version, or restore a backup made with this one")
                } else {
                    (
                        "an earlier",
                        "Go on with that version, or begin anew with this one in another folder (another --data)",
                    )
                };
                write!(
                    f,
                    "the store in {} was made by {version} version of trunkline: it has format {found}, this one knows \
                     format {known}. Nothing was changed. {advice}",
                    path.display()
                )
            }
            OpenError::Damaged(damaged) => damaged.fmt(f),
            OpenError::Io { doing, path, reason, full } => {
                write!(f, "{doing} {} failed: {reason}. ", path.display())?;
                f.write_str(if *full {
                    "The disk is full: make room (`df -h` shows how much there is), then start again"
                } else {
                    "Check that the folder belongs to the user that runs trunkline (`ls -ld`) and that the disk is well (`dmesg`); \
                     where a file is damaged, restore the newest backup"
                })
            }
        }
    }
}

impl fmt::Display for DamagedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DamagedStore { reason, high_water, .. } = self;
        let (store, file) = (self.store.display(), self.file.display());
        let at = self.offset.map_or(String::new(), |offset| format!(", byte {offset}"));
        let found = self.found_group.map_or(String::new(), |group| format!("; the last one found is {group}"));
        write!(
            f,
            "the store in {store} is damaged at {file}{at}: {reason}. Groups up to {high_water} were acknowledged{found}. The \
             likely cause is the disk (`dmesg`, `smartctl -a`). Restore the newest backup"
        )?;
        if let Some(offset) = self.offset {
            write!(
                f,
                "; or lose what is behind the damage: `cp -a {store} {store}.damaged`, `truncate -s {offset} {file}`, remove \
                 the journals with higher numbers, `rm {store}/high-water`, and start again"
            )?;
        }
        match &self.copies {
            Some(copies) => write!(f, ". The journals as they were before opening are in {}", copies.display()),
            // A place is known before anything is opened.
            None if self.offset.is_some() => f.write_str(". Nothing was changed by this try"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for OpenError {}
