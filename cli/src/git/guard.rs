//! One session's git from before its start until everything is back; and the same for a session whose command was killed.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_protocol::id::SessionId;
use holdfast_protocol::run::{MAX_TREES, RunAccess, RunWhy};

use super::back::Back;
use super::command::Git;
use super::doors::Kind;
use super::layout::Layout;
use super::private::{self, Made};
use super::record::{Kept, Progress, Record};
use super::report::Report;
use super::traps::Quarantined;
use super::{GitError, doors, traps};
use crate::lent::Lent;
use crate::outcome::Problem;

/// A project whose git no session can write.
#[derive(Debug)]
pub struct Guard {
    kept: Kept,
    record: Record,
    lent: Vec<Lent>,
}

impl Guard {
    /// Makes everything ready for a session in `project`.
    pub fn prepare(project: &Path) -> Result<Self, Problem> {
        let kept = Kept::new(project)?;
        let made = Self::make(project, kept);
        // What is left of a failed try has nothing in it.
        made.map_err(|(kept, problem)| {
            kept.remove().ok();
            problem
        })
    }

    fn make(project: &Path, kept: Kept) -> Result<Self, (Kept, Problem)> {
        match prepared(project, &kept) {
            Ok((record, lent)) => Ok(Self { kept, record, lent }),
            Err(problem) => Err((kept, problem)),
        }
    }

    /// What the session is lent in place of `.git`.
    pub fn lent(&self) -> &[Lent] {
        &self.lent
    }

    /// The session never began.
    pub fn discard(self) {
        self.kept.remove().ok();
    }

    /// Brings back what the session did.
    pub fn bring_back(self, session: SessionId) -> Report {
        let Self {
            kept,
            mut record,
            lent,
        } = self;
        drop(lent);
        record.session = Some(session);
        bring_back(kept, record)
    }
}

/// Brings back what sessions in `project` left whose command was killed.
pub fn recover_open(project: &Path) -> Result<Vec<Report>, Problem> {
    let all = Kept::abandoned()?.into_iter();
    let here =
        all.filter(|(_, record)| record.project == project && record.progress == Progress::Open);
    Ok(here
        .map(|(kept, record)| bring_back(kept, record))
        .collect())
}

/// As [`recover_open`], of every project or one, and what could not be brought back before.
pub fn recover(project: Option<&Path>) -> Result<Vec<(PathBuf, Report)>, Problem> {
    let all = Kept::abandoned()?.into_iter();
    let wanted = all.filter(|(_, record)| project.is_none_or(|project| project == record.project));
    Ok(wanted
        .map(|(kept, record)| (record.project.clone(), bring_back(kept, record)))
        .collect())
}

fn prepared(project: &Path, kept: &Kept) -> Result<(Record, Vec<Lent>), Problem> {
    let layout = if project.join(".git").symlink_metadata().is_ok() {
        let git = Git::find(project)?;
        Layout::find(&git, project)?.map(|layout| (git, layout))
    } else {
        None
    };
    let mut lent = Vec::new();
    let mut repositories = Vec::new();
    let mut pointers = Vec::new();
    let mut doors = Vec::new();
    let except = except(project, layout.as_ref().map(|(_, layout)| layout));
    if let Some((git, layout)) = &layout {
        let private = kept.private();
        lent.push(Lent::at(
            &private,
            &layout.place,
            RunAccess::Write,
            RunWhy::Git,
        )?);
        let nothing = kept.beside("nothing");
        fs::write(&nothing, "").map_err(|error| GitError::file(&nothing, error))?;
        for (number, repository) in layout.repositories.iter().enumerate() {
            let scratch = kept.beside(&format!("before-{number}"));
            let Made {
                before,
                objects,
                hidden,
            } = private::make(git, repository, &private, &layout.place, &scratch)?;
            let sources = objects
                .iter()
                .map(|objects| (&objects.source, &objects.inner));
            for (source, inner) in sources.chain(hidden.iter().map(|inner| (&nothing, inner))) {
                let place = layout.place.join(inner);
                let objects = Lent::at(source, &place, RunAccess::Read, RunWhy::Git)?;
                // Work trees of one repository share its objects.
                if !lent.iter().any(|lent: &Lent| lent.tree == objects.tree) {
                    lent.push(objects);
                }
            }
            repositories.push(before);
            doors.extend(doors::find(git, repository, project)?);
            fs::remove_dir_all(&scratch).ok();
        }
        private::open_up(&private)?;
        if let Some(pointer) = &layout.pointer {
            let ours = kept.beside("pointer");
            let own = layout.repositories.first().map(|first| first.own.clone());
            let target = layout.place.join(own.unwrap_or_default());
            fs::write(&ours, format!("gitdir: {}\n", target.display()))
                .map_err(|error| GitError::file(&ours, error))?;
            private::readable(&ours)?;
            lent.push(Lent::at(&ours, pointer, RunAccess::Read, RunWhy::Git)?);
        }
        for pointer in layout.inner_pointers() {
            let content =
                fs::read_to_string(&pointer).map_err(|error| GitError::file(&pointer, error))?;
            lent.push(Lent::to_read(&pointer)?);
            pointers.push((pointer, content));
        }
    }
    if lent.len() > MAX_TREES {
        return Err(GitError::Many("folders of objects", MAX_TREES).into());
    }
    let standing = traps::look(project, &except).standing();
    let mut record = Record::new(project, repositories, standing);
    record.pointers = pointers;
    record.doors = doors;
    kept.write(&record)?;
    Ok((record, lent))
}

/// What no session can write, and which therefore is no trap.
fn except(project: &Path, layout: Option<&Layout>) -> Vec<PathBuf> {
    let Some(layout) = layout else {
        return Vec::new();
    };
    vec![project.join(".git"), layout.place.clone()]
}

fn bring_back(kept: Kept, mut record: Record) -> Report {
    let mut report = Report::default();
    // First what would run at the human's next command. What lies there at a later try is the human's.
    let mut aside = match record.progress {
        Progress::Open => disarm(&record, &mut report),
        Progress::Tried => Vec::new(),
    };
    if !record.repositories.is_empty()
        && let Err(error) = repositories(&kept, &record, &mut aside, &mut report)
    {
        report.keep(kept.folder(), &error.words());
    }
    for quarantined in &aside {
        report.quarantined(quarantined);
    }
    let ended = if report.is_whole() {
        kept.remove()
    } else {
        record.progress = Progress::Tried;
        kept.write(&record)
    };
    if let Err(error) = ended {
        report.tell(format!(
            "what is kept of the session is not in order: {}",
            error.words()
        ));
    }
    report
}

/// Brings the repositories back; what `aside` has of work trees that the session added is taken off it.
fn repositories(
    kept: &Kept,
    record: &Record,
    aside: &mut Vec<Quarantined>,
    report: &mut Report,
) -> Result<(), GitError> {
    let git = Git::find(&record.project)?;
    let session = match record.session {
        Some(session) => session.to_string(),
        None => kept.name(),
    };
    for (number, before) in record.repositories.iter().enumerate() {
        let back = Back {
            git: &git,
            kept,
            record,
            before,
            session: &session,
            number,
        };
        if let Err(error) = back.bring(aside, report) {
            report.keep(kept.folder(), &error.words());
        }
    }
    Ok(())
}

/// Renames what would run; gives what it renamed.
fn disarm(record: &Record, report: &mut Report) -> Vec<Quarantined> {
    let project = &record.project;
    let mut except = vec![project.join(".git")];
    let own = record.repositories.first();
    if let Some(before) = own {
        except.push(before.repository.common_dir.clone());
    } else {
        except.clear();
    }
    let look = traps::look(project, &except);
    let mut aside = Vec::new();
    for place in look.new_since(&record.standing) {
        // A project that is a git folder itself stays where it is; without `HEAD` it is none.
        let place = if place == *project {
            place.join("HEAD")
        } else {
            place
        };
        aside.extend(quarantine(&place, report));
    }
    if !look.is_whole() {
        report.tell(
            "the project is too large to be looked through for repositories that the session made",
        );
    }
    for name in look.data_since(&record.standing) {
        report.tell(format!("the session changed {name}"));
    }
    for door in record.doors.iter().filter(|door| door.is_changed()) {
        match (door.kind, door.path.symlink_metadata()) {
            (_, Err(_)) => {}
            (Kind::Hooks, Ok(_)) => report.hooks(&door.path),
            (Kind::Settings, Ok(_)) => aside.extend(quarantine(&door.path, report)),
        }
    }
    for (pointer, content) in &record.pointers {
        let folder = pointer
            .parent()
            .and_then(|folder| folder.symlink_metadata().ok());
        let gone = pointer.symlink_metadata().is_err();
        if gone && folder.is_some_and(|facts| facts.is_dir()) && fs::write(pointer, content).is_ok()
        {
            report.tell(format!("`{}` is as it was", pointer.display()));
        }
    }
    aside
}

fn quarantine(place: &Path, report: &mut Report) -> Option<Quarantined> {
    traps::quarantine(place)
        .map_err(|error| {
            report.tell(format!(
                "the session made or changed `{}`, and it cannot be renamed: {error}; use no git there",
                crate::render::printable(&place.display().to_string())
            ));
        })
        .ok()
}
