//! `holdfast enroll`.

use std::io::Read;
use std::path::Path;

use holdfast_protocol::management::{EnrollRequest, Request, Response};

use super::show;
use crate::args::Args;
use crate::client::{ask, unexpected};
use crate::outcome::Problem;
use crate::render;

/// The largest file that is taken: a bundle of some authorities.
const MAX_FILE: u64 = 64 * 1024;

/// Enrolls this host and shows the identity that it got.
pub fn run(
    args: &Args,
    url: &str,
    token_file: Option<&Path>,
    authority: Option<&Path>,
) -> Result<(), Problem> {
    let request = EnrollRequest {
        url: url.to_owned(),
        token: token_file.map(read).transpose()?,
        authorities_pem: authority.map(read).transpose()?,
    };
    if request.token.is_none() && request.authorities_pem.is_none() {
        return Err(Problem::usage(
            "nothing says which attestor to trust",
            "give --token-file FILE with a token from its operator, or --authority FILE with its authority",
        ));
    }
    let Response::Attested(node) = ask(&args.socket, &Request::Enroll(request))? else {
        return Err(unexpected());
    };
    show(args, &node, &render::enrolled(&node))
}

fn read(path: &Path) -> Result<String, Problem> {
    let mut text = String::new();
    let result = if path == Path::new("-") {
        std::io::stdin().take(MAX_FILE).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
    };
    result.map_err(|error| {
        Problem::usage(
            format!("`{}` cannot be read: {error}", path.display()),
            "name a file that you may read",
        )
    })?;
    Ok(text.trim().to_owned())
}
