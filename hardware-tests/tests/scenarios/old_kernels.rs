//! Who is calling is known on older kernels too, or is refused: each means of the kernel's switched off.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use holdfast_hardware_tests::world::World;
use holdfast_issue_credentials::workload::api::X509svidRequest;
use tonic::Code;

use crate::support::{Handed, install_spiffe, secured, session_with_accomplice};

const SUB: &str = "/opt/holdfast/libexec/holdfast-hook sub";

const WHO: &str = "
import sys; sys.path.insert(0, 'site')
from spiffe import WorkloadApiClient
with WorkloadApiClient() as client:
    print(client.fetch_x509_svid().spiffe_id)
";

fn world_without(what: &'static str) -> Option<(World, PathBuf)> {
    let mut world = World::sealed()?;
    world.broker.kernel_lacks(what);
    world.declare("");
    let project = world.scratch.folder("project");
    fs::write(project.join("who.py"), WHO).unwrap();
    install_spiffe(&project.join("site")).then_some((world, project))
}

/// What a session and, where it can be made, its sub-agent are told that they are.
fn identities(world: &World, project: &Path) -> (String, String) {
    let who = "/usr/bin/python3 -S who.py";
    let script = format!("{who}; {SUB} -- {who}; true");
    let ran = world.broker.run(project, &["bash", "-c", &script]);
    assert!(
        ran.stdout.contains("/agent/shell/"),
        "{ran:#?}\n{}",
        world.broker.log()
    );
    (ran.stdout, ran.stderr)
}

async fn nothing_goes_along(world: &World) {
    let project = world.scratch.folder("accomplice");
    let mut session = session_with_accomplice(world, &project);
    let handed = Handed::take(&project);
    handed.outside.store(true, Ordering::SeqCst);
    let (mut client, _) = handed.client().await;
    let refused = client.fetch_x509svid(secured(X509svidRequest {})).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    let (mut client, outside) = Handed::take(&project).client().await;
    let svid = client.fetch_x509svid(secured(X509svidRequest {})).await;
    assert!(
        svid.unwrap()
            .into_inner()
            .message()
            .await
            .unwrap()
            .is_some()
    );
    outside.store(true, Ordering::SeqCst);
    let refused = client.fetch_x509svid(secured(X509svidRequest {})).await;
    assert_eq!(refused.unwrap_err().code(), Code::PermissionDenied);
    session.kill().unwrap();
    session.wait().unwrap();
}

#[tokio::test]
async fn without_cgroup_ids_of_pidfds_sub_agents_are_still_told_apart() {
    let Some((world, project)) = world_without("pidfd-info") else {
        return;
    };
    let (said, _) = identities(&world, &project);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 2, "{said}");
    assert_eq!(lines[1], format!("{}/sub/1", lines[0]));
    nothing_goes_along(&world).await;
}

#[tokio::test]
async fn without_pidfds_of_peers_sessions_are_known_and_sub_agents_are_refused() {
    let Some((world, project)) = world_without("peer-pidfd") else {
        return;
    };
    let (said, errors) = identities(&world, &project);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(errors.contains("sub-agents need Linux 6.5"), "{errors}");
    nothing_goes_along(&world).await;
}
