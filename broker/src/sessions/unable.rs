//! What does not work in a sealed session, said before anybody wonders.

/// Programs that need what no session has, and the way around.
const UNABLE: &[(&[&str], &str)] = &[
    (
        &["docker", "docker-compose", "podman", "nerdctl", "buildah"],
        "container engines are not in a session: their socket would lead out of it. Start containers outside, and let \
         the session reach what they serve",
    ),
    (
        &["chromium", "chromium-browser", "google-chrome", "chrome"],
        "a browser cannot make its own sandbox inside a session, which is one: start it with `--no-sandbox`",
    ),
    (
        &["sudo", "su", "doas", "pkexec"],
        "no program in a session gets more rights than it has: install what it needs outside",
    ),
    (
        &["ping", "traceroute", "tcpdump"],
        "a session has no raw sockets: `curl` shows whether a host answers",
    ),
    (
        &["snap", "flatpak", "systemctl", "journalctl"],
        "the system's services are not in a session",
    ),
];

/// Why a program of this name will not do what it does elsewhere.
pub fn unable(program: &str) -> Option<&'static str> {
    let name = program.rsplit('/').next().unwrap_or(program);
    let row = UNABLE.iter().find(|(names, _)| names.contains(&name));
    row.map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_name() {
        assert!(unable("/usr/bin/docker").is_some_and(|why| why.contains("socket")));
        assert!(unable("chromium").is_some_and(|why| why.contains("--no-sandbox")));
        assert_eq!(unable("cargo"), None);
        assert_eq!(unable("dockerize"), None);
    }
}
