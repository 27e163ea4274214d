//! From facts to Cedar's own values.
//!
//! The only place that knows the schema's names. It must never default a fact that the asker did not give.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, PolicySet, Request,
    RestrictedExpression as Value, Schema,
};
use holdfast_protocol::call::{Channel, History, Manner, Reach};
use holdfast_protocol::grade::{Grade, Level};
use holdfast_protocol::widening::Widening;

use crate::act::{Acquaintance, Act, Asker, BranchStanding, Grant, Place, RemoteStanding, Taint};
use crate::rule::Asked;

pub(crate) const CALL: &str = "call";
pub(crate) const CALL_WITH_APPROVAL: &str = "callWithApproval";

/// A question about one kind of effect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slice {
    action: String,
    resource: String,
}

/// The rules for each [`Slice`].
pub(crate) type Slices = BTreeMap<Slice, PolicySet>;

impl Slice {
    pub(crate) fn of(action: &EntityUid, resource: &EntityTypeName) -> Self {
        Self {
            action: action.id().unescaped().to_owned(),
            resource: resource.basename().to_owned(),
        }
    }

    pub(crate) fn about(asked: Asked, act: &Act) -> Self {
        Self {
            action: action(asked).to_owned(),
            resource: kind(act).to_owned(),
        }
    }
}

/// Facts could not be put into Cedar's terms; its text is for the record.
#[derive(Debug)]
pub(crate) struct Unaskable(pub(crate) String);

/// The entities that both questions about one act share.
pub(crate) struct Scene {
    principal: EntityUid,
    resource: EntityUid,
    context: Context,
    pub(crate) entities: Entities,
}

impl Scene {
    pub(crate) fn new(
        schema: &Schema,
        grade: Grade,
        asker: &Asker,
        act: &Act,
    ) -> Result<Self, Unaskable> {
        let principal = uid("Session", &asker.caller.session.to_string())?;
        let session = Entity::new(
            principal.clone(),
            HashMap::from([
                ("kind".to_owned(), text(asker.caller.kind.as_str())),
                (
                    "level".to_owned(),
                    named("Level", level(asker.caller.level))?,
                ),
                (
                    "human".to_owned(),
                    Value::new_long(asker.caller.human.0.into()),
                ),
                ("taint".to_owned(), named("Taint", taint(asker.taint))?),
                (
                    "runsAs".to_owned(),
                    named("SessionUid", &asker.caller.runs_as.to_string())?,
                ),
            ]),
            HashSet::new(),
        )
        .map_err(unaskable)?;
        let resource = uid(kind(act), "this")?;
        let effect =
            Entity::new(resource.clone(), attributes(act)?, HashSet::new()).map_err(unaskable)?;
        let entities =
            Entities::from_entities([session, effect], Some(schema)).map_err(unaskable)?;
        let context = Context::from_pairs([
            (
                "channel".to_owned(),
                named("Channel", channel(asker.channel))?,
            ),
            ("tool".to_owned(), text(asker.tool.as_str())),
            ("grade".to_owned(), named("Grade", &grade.to_string())?),
        ])
        .map_err(unaskable)?;
        Ok(Self {
            principal,
            resource,
            context,
            entities,
        })
    }

    pub(crate) fn request(&self, schema: &Schema, asked: Asked) -> Result<Request, Unaskable> {
        Request::new(
            self.principal.clone(),
            uid("Action", action(asked))?,
            self.resource.clone(),
            self.context.clone(),
            Some(schema),
        )
        .map_err(unaskable)
    }
}

fn attributes(act: &Act) -> Result<HashMap<String, Value>, Unaskable> {
    let pairs = match act {
        Act::Nothing => vec![],
        Act::Reads { path, place: at }
        | Act::Writes { path, place: at }
        | Act::Deletes { path, place: at } => {
            vec![("path", text(path)), ("place", named("Place", place(*at))?)]
        }
        Act::Runs { program } => vec![("program", text(program))],
        Act::Pushes {
            target,
            remote,
            branch,
            history,
        } => vec![
            ("target", text(target)),
            ("remote", named("Remote", remote_standing(*remote))?),
            ("branch", named("Branch", branch_standing(*branch))?),
            (
                "history",
                named(
                    "History",
                    match history {
                        History::Kept => "kept",
                        History::Overwritten => "overwritten",
                    },
                )?,
            ),
        ],
        Act::Publishes { registry } => vec![("registry", text(registry))],
        Act::Reaches {
            host,
            acquaintance,
            manner,
        } => vec![
            ("host", text(host)),
            (
                "acquaintance",
                named(
                    "Acquaintance",
                    match acquaintance {
                        Acquaintance::Given => "given",
                        Acquaintance::Known => "known",
                        Acquaintance::New => "new",
                    },
                )?,
            ),
            (
                "manner",
                named(
                    "Manner",
                    match manner {
                        Manner::Fetch => "fetch",
                        Manner::Send => "send",
                    },
                )?,
            ),
        ],
        Act::UsesSecret { name, grant } => vec![
            ("name", text(name)),
            (
                "grant",
                named(
                    "Grant",
                    match grant {
                        Grant::Granted => "granted",
                        Grant::Withheld => "withheld",
                    },
                )?,
            ),
        ],
        Act::Widens { widening } => {
            let (way, target) = match widening {
                Widening::Reach(reach) => ("reach", reach.to_string()),
                Widening::Host(host) => ("host", host.to_string()),
                Widening::Publish(publish) => ("publish", publish.to_string()),
                Widening::Read(path) => ("read", path.to_string()),
                Widening::Write(path) => ("write", path.to_string()),
                Widening::Unguard(path) => ("unguard", path.to_string()),
            };
            vec![("way", named("Way", way)?), ("target", text(&target))]
        }
        Act::Spends { what } => vec![("what", text(what))],
        Act::Uninspectable { why, reach } => vec![
            ("why", text(why)),
            (
                "reach",
                named(
                    "Reach",
                    match reach {
                        Reach::Local => "local",
                        Reach::Outward => "outward",
                    },
                )?,
            ),
        ],
    };
    Ok(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn kind(act: &Act) -> &'static str {
    match act {
        Act::Nothing => "Nothing",
        Act::Reads { .. } => "Reads",
        Act::Writes { .. } => "Writes",
        Act::Deletes { .. } => "Deletes",
        Act::Runs { .. } => "Runs",
        Act::Pushes { .. } => "Pushes",
        Act::Publishes { .. } => "Publishes",
        Act::Reaches { .. } => "Reaches",
        Act::UsesSecret { .. } => "UsesSecret",
        Act::Widens { .. } => "Widens",
        Act::Spends { .. } => "Spends",
        Act::Uninspectable { .. } => "Uninspectable",
    }
}

fn action(asked: Asked) -> &'static str {
    match asked {
        Asked::Call => CALL,
        Asked::CallWithApproval => CALL_WITH_APPROVAL,
    }
}

fn level(level: Level) -> &'static str {
    match level {
        Level::L0 => "L0",
        Level::L1 => "L1",
        Level::L2 => "L2",
        Level::L3 => "L3",
    }
}

fn taint(taint: Taint) -> &'static str {
    match taint {
        Taint::Clean => "clean",
        Taint::Tainted => "tainted",
    }
}

fn channel(channel: Channel) -> &'static str {
    match channel {
        Channel::Hook => "hook",
        Channel::Mcp => "mcp",
        Channel::Egress => "egress",
        Channel::Credential => "credential",
        Channel::Launch => "launch",
    }
}

fn place(place: Place) -> &'static str {
    match place {
        Place::Holdfast => "holdfast",
        Place::Secret => "secret",
        Place::Hooks => "hooks",
        Place::OtherProject => "other-project",
        Place::Project => "project",
        Place::Scratch => "scratch",
        Place::Elsewhere => "elsewhere",
    }
}

fn remote_standing(remote: RemoteStanding) -> &'static str {
    match remote {
        RemoteStanding::Configured => "configured",
        RemoteStanding::Unknown => "unknown",
    }
}

fn branch_standing(branch: BranchStanding) -> &'static str {
    match branch {
        BranchStanding::SessionMade => "session-made",
        BranchStanding::Default => "default",
        BranchStanding::Protected => "protected",
        BranchStanding::Tag => "tag",
        BranchStanding::Many => "many",
        BranchStanding::Unknown => "unknown",
    }
}

fn text(value: &str) -> Value {
    Value::new_string(value.to_owned())
}

/// A value of one of the schema's enumerated types.
fn named(kind: &str, id: &str) -> Result<Value, Unaskable> {
    uid(kind, id).map(Value::new_entity_uid)
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, Unaskable> {
    let kind = EntityTypeName::from_str(&format!("Holdfast::{kind}")).map_err(unaskable)?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn unaskable(error: impl std::fmt::Display) -> Unaskable {
    Unaskable(error.to_string())
}
