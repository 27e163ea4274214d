//! The reference for the Workload API: the same messages over the same kind of connection, from a server that does
//! nothing else.

use std::path::Path;
use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use holdfast_issue_credentials::workload::api;
use holdfast_issue_credentials::workload::api::spiffe_workload_api_server::{
    SpiffeWorkloadApi, SpiffeWorkloadApiServer,
};
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tonic::{Request, Response, Status, async_trait};

/// Bytes of a JWT-SVID, a chain, a key and a bundle, as they come from a session's socket.
const JWT: usize = 520;
const CHAIN: usize = 620;
const KEY: usize = 138;
const BUNDLE: usize = 480;

/// Serves until it is killed.
pub fn serve(socket: &Path) {
    crate::block_on(async {
        let listener = UnixListener::bind(socket).unwrap();
        let mut connections = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(SpiffeWorkloadApiServer::new(Bare));
            let connection = http2::Builder::new(TokioExecutor::new());
            connections.spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
}

struct Bare;

type Messages<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// One message, and a stream that stays open.
fn open<T: Send + 'static>(message: T) -> Result<Response<Messages<T>>, Status> {
    let messages = stream::iter([Ok(message)]).chain(stream::pending());
    Ok(Response::new(Box::pin(messages)))
}

#[async_trait]
impl SpiffeWorkloadApi for Bare {
    type FetchX509SVIDStream = Messages<api::X509svidResponse>;
    type FetchX509BundlesStream = Messages<api::X509BundlesResponse>;
    type FetchJWTBundlesStream = Messages<api::JwtBundlesResponse>;

    async fn fetch_x509svid(
        &self,
        _: Request<api::X509svidRequest>,
    ) -> Result<Response<Self::FetchX509SVIDStream>, Status> {
        open(api::X509svidResponse {
            svids: vec![api::X509svid {
                spiffe_id: "spiffe://world.test/host/h/agent/k/s".to_owned(),
                x509_svid: vec![0; CHAIN].into(),
                x509_svid_key: vec![0; KEY].into(),
                bundle: vec![0; BUNDLE].into(),
                hint: String::new(),
            }],
            ..Default::default()
        })
    }

    async fn fetch_x509_bundles(
        &self,
        _: Request<api::X509BundlesRequest>,
    ) -> Result<Response<Self::FetchX509BundlesStream>, Status> {
        open(api::X509BundlesResponse::default())
    }

    async fn fetch_jwtsvid(
        &self,
        _: Request<api::JwtsvidRequest>,
    ) -> Result<Response<api::JwtsvidResponse>, Status> {
        Ok(Response::new(api::JwtsvidResponse {
            svids: vec![api::Jwtsvid {
                spiffe_id: "spiffe://world.test/host/h/agent/k/s".to_owned(),
                svid: "x".repeat(JWT),
                hint: String::new(),
            }],
        }))
    }

    async fn fetch_jwt_bundles(
        &self,
        _: Request<api::JwtBundlesRequest>,
    ) -> Result<Response<Self::FetchJWTBundlesStream>, Status> {
        open(api::JwtBundlesResponse::default())
    }

    async fn validate_jwtsvid(
        &self,
        _: Request<api::ValidateJwtsvidRequest>,
    ) -> Result<Response<api::ValidateJwtsvidResponse>, Status> {
        Ok(Response::new(api::ValidateJwtsvidResponse::default()))
    }
}
