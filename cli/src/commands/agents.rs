//! `holdfast agents`: the coding agents of this machine, whoever started them.
//!
//! It needs no broker: it is what somebody runs first.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{print_line, show};
use crate::args::{Agents, Args, Discover};
use crate::discover::catalog::Catalog;
use crate::discover::humans::{self, Human};
use crate::discover::{Machine, Report};
use crate::outcome::Problem;
use crate::render::discover as render;

/// Looks for agents and tells of them.
pub fn run(args: &Args, command: &Agents) -> Result<ExitCode, Problem> {
    match command {
        Agents::Discover(wish) => discover(args, wish),
    }
}

fn discover(args: &Args, wish: &Discover) -> Result<ExitCode, Problem> {
    let catalog = Catalog::built_in().map_err(|error| {
        Problem::failed(
            format!("the list of known agents cannot be read: {error}"),
            "install `holdfast` again",
        )
    })?;
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut projects = wish.project.clone();
    projects.extend(std::env::current_dir());
    let projects = projects
        .iter()
        .filter_map(|project| std::path::absolute(project).ok());
    let machine = Machine {
        root: PathBuf::from("/"),
        proc: PathBuf::from("/proc"),
        own_uid: rustix::process::getuid().as_raw(),
        humans: everybody()?,
        path: std::env::split_paths(&path)
            .filter(|folder| folder.is_absolute())
            .collect(),
        environment: variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        projects: projects.collect(),
    };
    let report = Report::look(&machine, &catalog);
    if args.json {
        show(args, &report, "")?;
    } else {
        print_line(render::report(&report).trim_end())?;
    }
    Ok(if wish.fail && report.found_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Who runs this command; for root, everybody.
fn everybody() -> Result<Vec<Human>, Problem> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let group = read("/etc/group");
    let uid = rustix::process::getuid();
    let home = std::env::home_dir()
        .filter(|home| home.is_absolute())
        .ok_or_else(|| Problem::usage("you have no home folder", "set HOME"))?;
    let name = std::env::var("USER").unwrap_or_else(|_| uid.as_raw().to_string());
    let gids: Vec<u32> = rustix::process::getgroups()
        .unwrap_or_default()
        .into_iter()
        .chain([rustix::process::getgid()])
        .map(|gid| gid.as_raw())
        .collect();
    // Groups that this process has; what group(5) lists since would need a new login.
    let mut everybody = vec![Human {
        uid: uid.as_raw(),
        groups: humans::groups(&group, "", &gids),
        name,
        home,
    }];
    if uid.is_root() {
        let others = humans::all(&read("/etc/passwd"), &group);
        let others = others
            .into_iter()
            .filter(|human| human.uid != 0 && human.home.is_dir());
        everybody.extend(others);
    }
    Ok(everybody)
}
