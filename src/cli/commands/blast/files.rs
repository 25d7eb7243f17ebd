//! Files that a run leaves behind on request.

use super::run::RunArgs;
use crate::blast::report::Full;
use crate::cli::failure::Failure;
use crate::render;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Report files, opened before the run: a path that cannot be written is told before the load, not after it.
pub(super) struct Reports {
    json: Option<Output>,
    html: Option<Output>,
}

struct Output {
    path: PathBuf,
    file: File,
}

impl Reports {
    /// Opens what was asked for.
    pub(super) fn open(args: &RunArgs) -> Result<Self, Failure> {
        let open = |path: &Option<PathBuf>| path.as_deref().map(Output::open).transpose();
        Ok(Self { json: open(&args.json_report)?, html: open(&args.html_report)? })
    }

    /// Writes them.
    pub(super) fn write(self, full: &Full) -> Result<(), Failure> {
        if let Some(output) = self.json {
            output.write(|out| render::json::write_pretty(out, full))?;
        }
        if let Some(output) = self.html {
            output.write(|out| render::blast_html::render_page(out, full))?;
        }
        Ok(())
    }
}

impl Output {
    fn open(path: &Path) -> Result<Self, Failure> {
        match File::create(path) {
            Ok(file) => Ok(Self { path: path.to_owned(), file }),
            Err(error) => Err(cannot_write(path, &error)),
        }
    }

    fn write(self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
        let mut out = BufWriter::new(self.file);
        write(&mut out).and_then(|()| out.flush()).map_err(|error| cannot_write(&self.path, &error))
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::unusable(format!("cannot write the report {}", path.display())).caused_by(error)
}
