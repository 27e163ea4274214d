//! Git remotes over HTTP: the smart protocol (gitprotocol-http(5)) and nothing else.
//!
//! Without a credential a request passes without one, so that the remote's 401 makes git ask its
//! helper for the placeholder. What a push would do is read from its own first bytes and decided
//! before the remote hears of it. This module must never pass a push on that it could not read.

mod place;
mod push;
mod push_head;
mod report;

use holdfast_protocol::call::{Channel, Effect, Manner};
use holdfast_protocol::url::HttpUrl;
use holdfast_protocol::vault::{GitUser, SecretUse};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING,
    CONTENT_TYPE, HeaderName, HeaderValue, PRAGMA, USER_AGENT,
};
use hyper::{HeaderMap, Request, Response};
use serde_json::json;

use super::answer::send;
use super::body::{Given, bounded};
use super::calls::Running;
use super::connection::Way;
use super::fields::Hidden;
use super::refusal::{Reason, Refusal};
use super::substitute::{self, Shown};
use super::upstream::Sent;
use crate::decide::Asked;
use crate::grant::Granted;
use place::{Operation, Place};

/// Where remotes are served at the bridge, each below the name of its secret.
pub(super) const PLACE: &str = "/git/";

/// The largest request of a fetch, in bytes: what it wants and has.
const MAX_FETCH: usize = 64 * 1024 * 1024;

/// The fields that a remote gets. A list of what may pass, because services take credentials in
/// fields of their own.
const PASSING: [HeaderName; 9] = [
    ACCEPT,
    ACCEPT_ENCODING,
    ACCEPT_LANGUAGE,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_TYPE,
    HeaderName::from_static("git-protocol"),
    PRAGMA,
    USER_AGENT,
];

/// What a remote is asked, and as whom.
struct Errand<'a> {
    granted: &'a Granted,
    username: &'a GitUser,
    place: Place,
    credential: Credential,
}

/// What goes to the remote where a credential belongs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Credential {
    None,
    Secret,
}

/// Passes a request for `rest`, which begins with a secret's name, on.
pub(super) async fn pass(
    way: &Way,
    request: Request<Incoming>,
    rest: &str,
) -> Result<Response<Given>, Refusal> {
    let errand = errand(way, &request, rest)?;
    match errand.place.operation {
        Operation::Push => push::pass(way, &errand, request).await,
        Operation::AdvertiseFetch | Operation::AdvertisePush | Operation::Fetch => {
            let running = way.calls.decide(errand.fetches()).await?;
            let (head, body) = request.into_parts();
            let request = errand.request(&head.method, &head.headers, bounded(body, MAX_FETCH))?;
            errand.send(way, running, request).await
        }
    }
}

fn errand<'a>(
    way: &'a Way,
    request: &Request<Incoming>,
    rest: &str,
) -> Result<Errand<'a>, Refusal> {
    let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let found = way
        .granted
        .iter()
        .find_map(|granted| match &granted.purpose {
            SecretUse::Git { remote, username } if granted.name.as_str() == name => {
                Some((granted, remote, username))
            }
            SecretUse::Git { .. } | SecretUse::Anthropic { .. } => None,
        });
    let (granted, remote, username) = found.ok_or_else(|| {
        Refusal::new(
            Reason::NotGranted,
            "this session was not granted a git secret of that name",
        )
    })?;
    let place = Place::read(remote, request.method(), rest, request.uri().query())?;
    let credential = match substitute::shown_to_git(request.headers(), &granted.placeholder) {
        Shown::Nothing => Credential::None,
        Shown::Placeholder => Credential::Secret,
        Shown::Other => {
            return Err(Refusal::new(
                Reason::NotGranted,
                format!(
                    "the request does not show this session's placeholder for `{}` (as the password \
                     of basic authentication). Credentials of your own do not work here: let git ask \
                     its helper",
                    granted.name
                ),
            ));
        }
    };
    Ok(Errand {
        granted,
        username,
        place,
        credential,
    })
}

impl Errand<'_> {
    /// The remote repository.
    fn repository(&self) -> &HttpUrl {
        &self.place.repository
    }

    /// A call that only fetches.
    fn fetches(&self) -> Asked {
        let mut effects = self.uses_secret();
        effects.push(Effect::Reaches {
            host: format!("{}:{}", self.repository().host(), self.repository().port()),
            manner: Manner::Fetch,
        });
        Asked {
            channel: Channel::Egress,
            tool: "git-fetch",
            creates: vec![],
            arguments: json!({
                "remote": self.repository().to_string(),
                "operation": self.place.operation.as_str(),
            }),
            effects,
        }
    }

    fn uses_secret(&self) -> Vec<Effect> {
        match self.credential {
            Credential::None => Vec::new(),
            Credential::Secret => vec![Effect::UsesSecret {
                name: self.granted.name.to_string(),
            }],
        }
    }

    /// The request as the remote gets it, as yet without a credential.
    fn request(
        &self,
        method: &hyper::Method,
        fields: &HeaderMap,
        body: Sent,
    ) -> Result<Request<Sent>, Refusal> {
        let mut request = Request::new(body);
        *request.method_mut() = method.clone();
        *request.uri_mut() = self.place.uri()?;
        for name in PASSING {
            for value in fields.get_all(&name) {
                request.headers_mut().append(name.clone(), value.clone());
            }
        }
        Ok(request)
    }

    /// The value that the remote gets as `Authorization`; none where none was shown.
    async fn authorization(
        &self,
        way: &Way,
        hidden: &mut Hidden,
    ) -> Result<Option<HeaderValue>, Refusal> {
        match self.credential {
            Credential::None => Ok(None),
            Credential::Secret => {
                let secret = substitute::reveal(way, self.granted).await?;
                substitute::basic(self.username, &secret, hidden).map(Some)
            }
        }
    }

    /// Puts the secret in, sends, and passes the answer on.
    async fn send(
        &self,
        way: &Way,
        mut running: Running,
        mut request: Request<Sent>,
    ) -> Result<Response<Given>, Refusal> {
        let mut hidden = Hidden::default();
        let authorization = self
            .authorization(way, &mut hidden)
            .await
            .inspect_err(|refusal| running.failed(refusal))?;
        if let Some(value) = authorization {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        send(way, running, request, &hidden).await
    }
}
