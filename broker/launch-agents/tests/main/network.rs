//! What of the network leads out of a session and into it.

use std::net::TcpListener;
use std::num::NonZeroU16;
use std::path::Path;

use holdfast_launch_agents::task::SessionError;
use tokio::io::AsyncReadExt;

use crate::host::Host;
use crate::human::HUMAN;

#[tokio::test]
async fn every_port_of_a_name_leads_to_the_broker_and_no_other_address_does() {
    let Some(mut host) = Host::new() else { return };
    let script = "use Socket; sub try { my ($kind, $h, $p) = @_; \
         socket(my $s, AF_INET, $kind, 0) or die; \
         my $ok = connect($s, sockaddr_in($p, inet_aton($h))); \
         $ok &&= defined(syswrite($s, 'hello')) && defined(sysread($s, my $b, 1)) if $kind == SOCK_DGRAM; \
         print $ok ? 'yes' : $!+0, \"\\n\"; } \
         try(SOCK_STREAM, '198.18.3.4', $_) for (1, 443, 65000); \
         try(SOCK_STREAM, '198.19.255.254', 80); \
         try(SOCK_DGRAM, '198.18.3.4', 443); \
         try(SOCK_STREAM, '198.18.3.4', $_) for (60416, 60479); \
         try(SOCK_STREAM, $_, 80) for ('198.20.0.1', '198.17.255.255', '169.254.169.254', '127.0.0.1'); \
         open(my $f, '<', '/etc/resolv.conf'); print <$f>;";
    let perl = Path::new("/usr/bin/perl");
    let running = host
        .start_program(perl, &["-e", script], HUMAN)
        .await
        .unwrap();
    let connections = &running.begun.names.connections;
    assert_eq!(connections.len(), 1, "this kernel has no sk_lookup");
    let listener: TcpListener = connections[0].try_clone().unwrap().into();
    let arrived = std::thread::spawn(move || {
        let address = |_| {
            listener
                .accept()
                .unwrap()
                .0
                .local_addr()
                .unwrap()
                .to_string()
        };
        (0..4).map(address).collect::<Vec<_>>()
    });
    let output = host.finish(running, "").await;
    // Through, whatever the port, but for those of sub-agents' bridges; datagrams are refused at once; the rest is
    // nowhere.
    assert_eq!(
        output.stdout,
        "yes\nyes\nyes\nyes\n111\n111\n111\n101\n101\n101\n111\nnameserver 127.0.0.1\n",
        "{}",
        output.stderr
    );
    let expected = [
        "198.18.3.4:1",
        "198.18.3.4:443",
        "198.18.3.4:65000",
        "198.19.255.254:80",
    ];
    assert_eq!(arrived.join().unwrap(), expected);
}

#[tokio::test]
async fn a_server_of_the_sessions_own_is_reached_while_it_runs() {
    let Some(mut host) = Host::new() else { return };
    let script = "use Socket; socket(my $s, AF_INET, SOCK_STREAM, 0) or die; \
         bind($s, sockaddr_in(8000, INADDR_LOOPBACK)) or die $!; listen($s, 4) or die $!; \
         $| = 1; print \"ready\\n\"; \
         for (1, 2) { accept(my $c, $s) or die $!; syswrite($c, 'hello'); close $c; }";
    let perl = Path::new("/usr/bin/perl");
    let mut running = host
        .start_program(perl, &["-e", script], HUMAN)
        .await
        .unwrap();
    let mut ready = [0; 6];
    std::io::Read::read_exact(&mut running.output, &mut ready).unwrap();
    let (sessions, id) = (host.sessions.clone(), running.begun.id);
    let into = async |port: u16| {
        sessions
            .connect_into(id, NonZeroU16::new(port).unwrap())
            .await
    };
    let hello = async || {
        let mut said = String::new();
        let mut stream = into(8000).await.unwrap();
        stream.read_to_string(&mut said).await.unwrap();
        assert_eq!(said, "hello");
    };
    hello().await;
    // Nothing listens there.
    assert!(matches!(into(8001).await, Err(SessionError::Host(_))));
    host.sessions.freeze(id).await.unwrap();
    assert!(matches!(into(8000).await, Err(SessionError::State(_))));
    host.sessions.resume(id).unwrap();
    hello().await;
    host.finish(running, "").await;
    assert!(matches!(into(8000).await, Err(SessionError::State(_))));
}
