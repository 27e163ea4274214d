//! A session described and not made: what it would see, and what a human would be asked.
//!
//! The same lists decide here and when a session is made. It must never make anything, take a name, or
//! give the use of a secret.

use std::path::PathBuf;

use holdfast_authorize_calls::world::World;
use holdfast_issue_credentials::bridge;
use holdfast_launch_agents::assemble::{AssembleError, Wanted, environment};
use holdfast_launch_agents::environment::VariableName;
use holdfast_launch_agents::profile::Profile;
use holdfast_launch_agents::{Place, ProgramName, UserName};
use holdfast_policy::{Asker, Taint};
use holdfast_protocol::call::{
    Caller, Channel, Effect, History, HumanUid, Manner, Reach, ToolName,
};
use holdfast_protocol::decision::Verdict;
use holdfast_protocol::run::{
    RunAccess, RunKept, RunNeeds, RunRequest, RunVariable, RunWhy, RunWorld, ShownAccess,
    ShownTree, ShownWhy,
};
use holdfast_protocol::widening::Widening;
use holdfast_protocol::words::with_causes;

use super::Ground;
use super::asked_for::{self, Judged};
use super::grants::needed;
use super::homes;
use super::launch::{self, BRIDGE, CREDENTIAL_HELPER, Descriptors, RunError};
use super::named::nobody;
use super::own;
use super::program;
use super::serve::Wish;
use super::uid::{Decided, decide};
use super::unable::unable;
use super::widened::Widened;
use crate::limits::limits;

/// What a session of this kind wants of the human's.
pub fn needs(ground: &Ground, request: &RunRequest) -> Result<RunNeeds, RunError> {
    let profile = asked_for::profile(&ground.profiles, request)?;
    Ok(RunNeeds {
        kind: profile.kind.clone(),
        instructions: profile.instructions.clone(),
        tools: profile.tools.clone(),
    })
}

/// The world of the session that `wish` would have.
pub async fn world(ground: &Ground, wish: Wish) -> Result<RunWorld, RunError> {
    let Wish {
        request,
        descriptors,
        connection,
        human,
    } = wish;
    let Descriptors {
        program,
        trees,
        stdio,
        package,
    } = launch::sort(&request, descriptors)?;
    let Judged { named, .. } = asked_for::judge(ground, human, &request, &trees)?;
    let widened = Widened::read(request.widenings.clone(), BRIDGE)?;
    let widened = asked_for::all(ground, widened, (&request, &trees), &named)?;
    let own = asked_for::own(&ground.profiles, &request)?;
    let admitted = program::admit(ground, program, package).await?;
    let profile = program::kind(ground, &request, own, &admitted)?;
    let Decided {
        runs_as,
        note: lower,
    } = decide(ground, human, &trees).await?;
    let (_, remotes) = launch::repository(&trees, &Place::parse(&request.project)?).await?;
    let home = Place::parse(&request.home)?;
    let wanted = Wanted {
        human: connection,
        user: UserName::parse(&request.user)?,
        home: home.clone(),
        directory: Place::parse(&request.directory)?,
        name: ProgramName::parse(&request.program)?,
        arguments: request.arguments.clone(),
        environment: request.environment.clone(),
        path: asked_for::path(&request)?,
        stdio,
        trees,
    };
    let mut argv = profile
        .argv(&request.program, &request.arguments)
        .map_err(AssembleError::Argument)?;
    if let Some(script) = &admitted.script {
        argv.splice(..1, script.before().map_err(AssembleError::Argument)?);
    }
    let (secrets, mut notes) = needed(&ground.vaults, HumanUid(human), &profile.kind, &remotes);
    notes.splice(..0, lower);
    notes.extend(unable(&request.program).map(str::to_owned));
    let world = World {
        project: PathBuf::from(&request.project),
        home: PathBuf::from(&request.home),
        scratch: vec![PathBuf::from("/tmp"), PathBuf::from("/var/tmp")],
        hosts: asked_for::hosts(&profile, &[], &remotes),
        lent: asked_for::lent(&named),
        remotes,
        ..World::default()
    };
    let asked = match nobody(ground, &profile.kind, HumanUid(human), runs_as) {
        Ok(caller) => {
            let mut all = widening(ground, caller.clone(), &widened)?;
            all.extend(asked(ground, &asker(caller, Channel::Hook)?, &world));
            all
        }
        Err(error) => {
            notes.push(format!("no session would begin: {}", with_causes(&error)));
            Vec::new()
        }
    };
    let limits = limits(&ground.limits.of(&profile.kind));
    let network = network(&request.widenings);
    Ok(RunWorld {
        environment: variables(&profile, &wanted)?,
        trees: shown(&request, &home)?,
        kind: profile.kind.clone(),
        extended: request.profile.is_some(),
        program: admitted.digest,
        argv: argv
            .iter()
            .map(|argument| argument.to_string_lossy().into_owned())
            .collect(),
        project: request.project,
        directory: request.directory,
        runs_as,
        network,
        hosts: world.hosts.iter().cloned().collect(),
        processes: limits.processes.map(Into::into),
        memory: limits.memory.map(Into::into),
        secrets: secrets.iter().map(ToString::to_string).collect(),
        asked,
        notes,
    })
}

/// The network, in words.
fn network(widenings: &[Widening]) -> String {
    let mut parts = vec![format!(
        "hosts by name, each as policy says and its human answers (a proxy on 127.0.0.1:{BRIDGE})"
    )];
    parts.extend(widenings.iter().filter_map(|widening| match widening {
        Widening::Reach(reach) => Some(match reach.door() {
            Some(port) => format!("{reach} of this machine, at 127.0.0.1:{port} inside"),
            None => format!("{reach}, even if it is in this machine's own network"),
        }),
        Widening::Host(host) => Some(format!("{host}, without asking you")),
        Widening::Publish(publish) => Some(format!(
            "its own 127.0.0.1:{}, shown as 127.0.0.1:{} of this machine",
            publish.inside, publish.outside
        )),
        Widening::Read(_) | Widening::Write(_) | Widening::Unguard(_) => None,
    }));
    parts.join("; ")
}

/// The environment; what only a session decides has no value yet.
fn variables(profile: &Profile, wanted: &Wanted) -> Result<Vec<RunVariable>, RunError> {
    let mut ours = Vec::new();
    for (name, value) in bridge::environment(&[], BRIDGE, CREDENTIAL_HELPER) {
        ours.push((VariableName::try_from(name)?, value));
    }
    let all = environment(profile, wanted, &wanted.path, ours)?;
    let known = all.iter().map(|(name, value)| RunVariable {
        name: name.to_string(),
        value: Some(value.to_owned()),
    });
    let own = launch::OWN_VARIABLES.iter().map(|name| RunVariable {
        name: (*name).to_owned(),
        value: None,
    });
    let mut variables: Vec<_> = known.chain(own).collect();
    variables.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(variables)
}

/// Everything besides the system, outermost first.
fn shown(request: &RunRequest, home: &Place) -> Result<Vec<ShownTree>, RunError> {
    let kept = match request.kept {
        RunKept::Kept => ShownAccess::Keep,
        RunKept::Fresh => ShownAccess::Private,
    };
    let tree = |place: String, access, why| ShownTree { place, access, why };
    let mut trees = vec![
        tree(
            request.project.clone(),
            ShownAccess::Write,
            ShownWhy::Project,
        ),
        tree(home.to_string(), kept, ShownWhy::Home),
        tree("/tmp".to_owned(), ShownAccess::Private, ShownWhy::Scratch),
    ];
    for (_, place) in homes::places(home) {
        trees.push(tree(place?.to_string(), kept, ShownWhy::Cache));
    }
    for place in own::PLACES {
        trees.push(tree(
            place.to_owned(),
            ShownAccess::Read,
            ShownWhy::Holdfast,
        ));
    }
    for lent in &request.trees {
        let access = match lent.access {
            RunAccess::Read => ShownAccess::Read,
            RunAccess::Write => ShownAccess::Write,
        };
        let why = match lent.why {
            RunWhy::Tool => ShownWhy::Tool,
            RunWhy::Instruction => ShownWhy::Instruction,
            RunWhy::Git => ShownWhy::Git,
            RunWhy::Guard => ShownWhy::Guard,
            RunWhy::Named => ShownWhy::Named,
        };
        trees.push(tree(lent.place.clone(), access, why));
    }
    trees.sort_by(|one, other| one.place.cmp(&other.place));
    Ok(trees)
}

/// Who would ask.
fn asker(caller: Caller, channel: Channel) -> Result<Asker, RunError> {
    Ok(Asker {
        caller,
        taint: Taint::Clean,
        channel,
        tool: ToolName::try_from("any".to_owned()).map_err(|_| RunError::Stopping)?,
    })
}

/// What this host's policy says of the widenings, where it is not yes.
fn widening(ground: &Ground, caller: Caller, widened: &Widened) -> Result<Vec<String>, RunError> {
    let asker = asker(caller, Channel::Launch)?;
    let said = widened.all().iter().filter_map(|widening| {
        let effect = Effect::Widens {
            widening: widening.clone(),
        };
        said(
            ground
                .authorizer
                .foresee(&asker, &effect, &World::default()),
            &format!("{widening}, before it begins"),
        )
    });
    Ok(said.collect())
}

fn said(verdict: Verdict, words: &str) -> Option<String> {
    match verdict {
        Verdict::Allow { .. } => None,
        Verdict::StepUp { tier, .. } => Some(format!("{tier:?}: {words}")),
        Verdict::Deny { .. } => Some(format!("never: {words}")),
    }
}

/// What this host's policy would ask a human about, or refuse, among what matters most.
fn asked(ground: &Ground, asker: &Asker, world: &World) -> Vec<String> {
    let elsewhere = || PathBuf::from("/srv/elsewhere");
    let push = |refspec: &str, history| Effect::Pushes {
        remote: None,
        refspec: Some(refspec.to_owned()),
        history,
    };
    let reach = |manner| Effect::Reaches {
        host: "elsewhere.example".to_owned(),
        manner,
    };
    let acts = [
        (
            "a change outside the project",
            Effect::Writes { path: elsewhere() },
        ),
        (
            "a deletion outside the project",
            Effect::Deletes { path: elsewhere() },
        ),
        (
            "a fetch from a host that is not known",
            reach(Manner::Fetch),
        ),
        ("something sent to a host", reach(Manner::Send)),
        (
            "a push to a branch that it did not make",
            push("main", History::Kept),
        ),
        (
            "a push that overwrites history",
            push("main", History::Overwritten),
        ),
        (
            "a publication",
            Effect::Publishes {
                registry: "any".to_owned(),
            },
        ),
        (
            "a secret that it was not given",
            Effect::UsesSecret {
                name: "any".to_owned(),
            },
        ),
        (
            "what cannot be understood and may reach out",
            Effect::Uninspectable {
                why: "any".to_owned(),
                reach: Reach::Outward,
            },
        ),
    ];
    let said = acts
        .iter()
        .filter_map(|(words, effect)| said(ground.authorizer.foresee(asker, effect, world), words));
    said.collect()
}
