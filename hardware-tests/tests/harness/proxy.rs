//! The proxy: counts what passes, changes nothing, takes a chip's time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use holdfast_hardware_tests::harness::{
    CountingProxy, DelayProfile, EkAuthority, EkKind, Scratch, Swtpm,
};

const NONE: [&str; 0] = [];

#[test]
fn commands_of_tools_are_counted_by_name() {
    let (tpm, scratch) = (Swtpm::bare(), Scratch::new());
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    let tools = proxy.tools(scratch.path());

    assert_eq!(tools.run("getrandom", ["8"]).len(), 8);
    assert_eq!((proxy.count("GetRandom"), proxy.count("ReadClock")), (1, 0));
    tools.run("readclock", NONE);
    tools.run("readclock", NONE);
    assert_eq!((proxy.count("GetRandom"), proxy.count("ReadClock")), (1, 2));
    assert_eq!(proxy.total(), proxy.counts().values().sum::<u64>());

    proxy.reset();
    assert_eq!((proxy.total(), proxy.counts().len()), (0, 0));
}

#[test]
fn exchange_passes_as_it_is_and_is_kept_when_asked() {
    let (tpm, scratch) = (Swtpm::bare(), Scratch::new());
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    let tools = proxy.tools(scratch.path());
    tools.run("nvdefine", ["-s", "16", "0x1500016"]);
    let file = scratch.write("secret", b"sixteen bytes ok");

    proxy.record();
    tools.run("nvwrite", ["0x1500016", "-i", file.to_str().unwrap()]);
    let written = proxy.trace();
    let write = written
        .iter()
        .find(|exchange| exchange.name() == "NV_Write")
        .unwrap();
    assert!(write.shows(b"sixteen bytes ok"));
    assert!(!write.shows(b"another sixteen b"));

    proxy.reset();
    assert_eq!(tools.run("nvread", ["0x1500016"]), b"sixteen bytes ok");
    assert!(
        proxy
            .trace()
            .iter()
            .any(|exchange| exchange.name() == "NV_Read" && exchange.shows(b"sixteen bytes ok"))
    );
    assert_eq!(
        tpm.tools().run("nvread", ["0x1500016"]),
        b"sixteen bytes ok"
    );
}

#[test]
fn two_harnesses_at_once_do_not_count_each_other() {
    let threads: Vec<_> = [3_u64, 5]
        .into_iter()
        .map(|times| {
            std::thread::spawn(move || {
                let (tpm, scratch) = (Swtpm::bare(), Scratch::new());
                let proxy = CountingProxy::start(&tpm, DelayProfile::None);
                for _ in 0..times {
                    proxy.tools(scratch.path()).run("getrandom", ["4"]);
                }
                assert_eq!(proxy.count("GetRandom"), times);
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn restarted_tpm_is_reached_through_the_same_proxy() {
    let (mut tpm, scratch) = (Swtpm::bare(), Scratch::new());
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    let tools = proxy.tools(scratch.path());
    let before = tools.text("readclock", NONE);
    tpm.restart();
    let after = tools.text("readclock", NONE);
    let resets = |text: &str| -> u64 {
        text.lines()
            .find_map(|line| line.trim().strip_prefix("reset_count: "))
            .unwrap()
            .parse()
            .unwrap()
    };
    assert_eq!(resets(&after), resets(&before) + 1);
    tpm.cut();
    assert!(!tools.attempt("readclock", NONE).status.success());
}

#[test]
fn named_chip_takes_its_time_for_signatures_and_keys() {
    let (tpm, scratch) = (Swtpm::bare(), Scratch::new());
    let proxy = CountingProxy::start(&tpm, DelayProfile::Npct650);
    let tools = proxy.tools(scratch.path());
    let start = Instant::now();
    tools.run("createprimary", ["-C", "o", "-G", "ecc", "-c", "p.ctx"]);
    assert!(
        start.elapsed() >= Duration::from_millis(148),
        "{:?}",
        start.elapsed()
    );

    tools.run(
        "create",
        ["-C", "p.ctx", "-G", "ecc", "-u", "k.pub", "-r", "k.priv"],
    );
    tools.run("flushcontext", ["-t"]);
    tools.run(
        "load",
        ["-C", "p.ctx", "-u", "k.pub", "-r", "k.priv", "-c", "k.ctx"],
    );
    tools.run("flushcontext", ["-t"]);
    scratch.write("message", b"hello");
    let sign = ["-c", "k.ctx", "-g", "sha256", "-o", "signature", "message"];
    let start = Instant::now();
    tools.run("sign", sign);
    assert!(
        start.elapsed() >= Duration::from_millis(190),
        "{:?}",
        start.elapsed()
    );

    tools.run("flushcontext", ["-t"]);
    proxy.set_delay(DelayProfile::SlowChip70ms);
    proxy.reset();
    let start = Instant::now();
    tools.run("sign", sign);
    let least = Duration::from_millis(70) * u32::try_from(proxy.total()).unwrap();
    assert!(
        start.elapsed() >= least && proxy.total() > 0,
        "{:?} < {least:?}",
        start.elapsed()
    );
}

#[test]
fn context_commands_of_a_resource_manager_are_reckoned_apart() {
    let (tpm, scratch) = (Swtpm::bare(), Scratch::new());
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    let tools = proxy.tools(scratch.path());
    tools.run("getrandom", ["4"]);
    assert_eq!(proxy.context_commands(), 0);
    tools.run("createprimary", ["-C", "o", "-G", "ecc", "-c", "p.ctx"]);
    assert!(
        proxy.context_commands() >= 2,
        "{}",
        proxy.context_commands()
    );
}

#[test]
fn message_of_an_absurd_size_ends_its_connection_and_no_other() {
    let (tpm, scratch) = (Swtpm::bare(), Scratch::new());
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    let mut stream = TcpStream::connect(proxy.ports().command()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
        .write_all(&[0x80, 0x01, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0x7b])
        .unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(proxy.total(), 0);
    proxy.tools(scratch.path()).run("getrandom", ["4"]);
}

#[test]
fn severed_client_is_cut_off_and_the_next_is_served() {
    let (tpm, scratch) = (Swtpm::bare(), Scratch::new());
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    let mut stream = TcpStream::connect(proxy.ports().command()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
        .write_all(&[0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7b, 0, 4])
        .unwrap();
    stream.read_exact(&mut [0; 16]).unwrap();
    proxy.sever();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    proxy.tools(scratch.path()).run("getrandom", ["4"]);
}

#[test]
fn certified_tpm_shows_its_certificate_through_the_proxy() {
    let (authority, scratch) = (EkAuthority::new(), Scratch::new());
    let tpm = Swtpm::with_ek(EkKind::P256, &authority);
    let proxy = CountingProxy::start(&tpm, DelayProfile::None);
    let certificate = proxy.tools(scratch.path()).run("nvread", ["0x1c0000a"]);
    assert_eq!(certificate, tpm.tools().run("nvread", ["0x1c0000a"]));
    assert!(proxy.count("NV_Read") > 0);
}
