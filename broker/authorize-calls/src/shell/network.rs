//! Programs that reach a host: which host, and whether something is sent.
//!
//! It must never take an address for known of which the shell will choose a part that matters.

use holdfast_protocol::call::{Effect, Manner};

use super::arg::Arg;
use super::command::Touch;
use super::env::Env;
use super::options::{Order, Parsed, Table};
use super::walk::{Stream, Walk};

const SSH: Table = Table {
    short: "BbcDEeFIiJLlmOopQRSWw",
    long: &[],
};

const SCP: Table = Table {
    short: "cDFiJloPSX",
    long: &[],
};

const RSYNC: Table = Table {
    short: "efBTM",
    long: &[
        "rsh",
        "rsync-path",
        "exclude",
        "include",
        "exclude-from",
        "include-from",
        "files-from",
        "filter",
        "password-file",
        "log-file",
        "bwlimit",
        "timeout",
        "partial-dir",
        "temp-dir",
        "backup-dir",
        "port",
        "compare-dest",
        "copy-dest",
        "link-dest",
        "chmod",
        "chown",
        "max-size",
        "min-size",
        "out-format",
    ],
};

/// Programs that talk to whatever host stands among their operands, in ways that we do not tell apart.
const TALKERS: &[&str] = &[
    "nc",
    "ncat",
    "netcat",
    "telnet",
    "ftp",
    "lftp",
    "sftp",
    "mosh",
    "ping",
    "ping6",
    "traceroute",
    "dig",
    "nslookup",
    "host",
    "drill",
    "whois",
    "nmap",
    "http",
    "https",
    "xh",
    "xhs",
    "httpie",
    "aria2c",
    "axel",
    "lynx",
    "w3m",
    "links",
    "elinks",
    "curlie",
    "grpcurl",
    "websocat",
    "mail",
    "sendmail",
    "msmtp",
    "mutt",
    "swaks",
    "psql",
    "mysql",
    "redis-cli",
    "mongosh",
    "openssl",
    "gpg",
    "rclone",
    "croc",
    "wormhole",
    "ngrok",
    "cloudflared",
    "tailscale",
    "chisel",
    "smbclient",
    "ldapsearch",
    "snmpget",
];

impl Walk<'_> {
    /// Walks a program of the network; `None` if it is none.
    pub(super) fn network(&mut self, program: &str, args: &[Arg], env: &mut Env) -> Option<Stream> {
        match program {
            "curl" => self.curl(args, env),
            "wget" | "wget2" => self.wget(args, env),
            "ssh" | "autossh" => self.ssh(args),
            "scp" => self.copy(args, SCP, env),
            "rsync" => self.copy(args, RSYNC, env),
            "socat" => {
                self.runs(program);
                self.cannot_tell("`socat` connects what it is told in its own way");
            }
            "openssl" if !args.iter().any(|arg| arg.known().starts_with("s_")) => {
                self.other(program, args, env);
            }
            "gpg" if !args.iter().any(|arg| arg.known().contains("key")) => {
                self.other(program, args, env)
            }
            talker if TALKERS.contains(&talker) => self.talker(program, args),
            _ => return None,
        }
        Some(Stream::Unknown)
    }

    pub(super) fn reaches(&mut self, host: &str, manner: Manner) {
        self.found(Effect::Reaches {
            host: host.to_owned(),
            manner,
        });
    }

    fn ssh(&mut self, args: &[Arg]) {
        let parsed = Parsed::read(args, SSH, Order::Leading);
        let runs = parsed.values(&["-o"]).any(|option| {
            let option = option.known().to_ascii_lowercase();
            option.is_empty()
                || ["command", "proxy", "include", "provider", "helper"]
                    .iter()
                    .any(|word| option.contains(word))
        });
        if runs || parsed.has(&["-F"]) {
            self.cannot_tell("`ssh` is told to run another program");
        }
        for jump in parsed.values(&["-J"]) {
            self.ssh_host(jump);
        }
        match parsed.operands.first() {
            Some(host) => self.ssh_host(host),
            None => self.runs("ssh"),
        }
    }

    fn ssh_host(&mut self, arg: &Arg) {
        match arg.whole() {
            Some(text) => {
                let text = text.strip_prefix("ssh://").unwrap_or(text);
                let host = text.rsplit('@').next().unwrap_or(text);
                self.reaches(host, Manner::Send);
            }
            None => self.cannot_tell("which host it reaches, only the shell will know"),
        }
    }

    /// `scp`, `rsync`: `host:path` is far, the rest is near, the last is the target.
    fn copy(&mut self, args: &[Arg], table: Table, env: &Env) {
        let parsed = Parsed::read(args, table, Order::Mixed);
        if parsed.has(&["-S", "-e", "--rsh", "--rsync-path", "-o", "-F", "-M"]) {
            self.cannot_tell("the copy is told to run another program");
        }
        for file in parsed.values(&[
            "-i",
            "--files-from",
            "--password-file",
            "--exclude-from",
            "--include-from",
        ]) {
            self.touch(Touch::Read, file, env);
        }
        let Some((target, sources)) = parsed.operands.split_last() else {
            return;
        };
        for source in sources {
            match far(source) {
                Some(host) => self.reaches(&host, Manner::Fetch),
                None => self.touch(Touch::Read, source, env),
            }
        }
        match far(target) {
            Some(host) => self.reaches(&host, Manner::Send),
            None => self.touch(Touch::Write, target, env),
        }
        if parsed.has(&[
            "--remove-source-files",
            "--delete",
            "--delete-after",
            "--delete-before",
        ]) {
            self.touch(Touch::Delete, target, env);
        }
    }

    fn talker(&mut self, program: &str, args: &[Arg]) {
        if args
            .iter()
            .any(|arg| matches!(arg.known(), "-e" | "-c" | "--exec" | "--sh-exec"))
        {
            self.cannot_tell(format!("`{program}` is told to run another program"));
        }
        let parsed = Parsed::read(
            args,
            Table {
                short: "",
                long: &[],
            },
            Order::Mixed,
        );
        let hosts: Vec<&Arg> = parsed
            .operands
            .iter()
            .filter(|arg| {
                arg.whole()
                    .is_none_or(|text| text.contains(['.', ':', '@']) || text == "localhost")
            })
            .collect();
        if hosts.is_empty() {
            self.runs(program);
            self.cannot_tell(format!("which host `{program}` reaches cannot be told"));
        }
        for host in hosts {
            self.address(host, Manner::Send);
        }
    }

    /// Notes the host of an address.
    pub(super) fn address(&mut self, address: &Arg, manner: Manner) {
        match host_of(address).or_else(|| bare(address)) {
            Some(host) => self.reaches(&host, manner),
            None => self.cannot_tell("which host it reaches, only the shell will know"),
        }
    }
}

/// The host of a URL, with its port; `None` if it is no URL or the shell may choose the host.
pub(super) fn host_of(address: &Arg) -> Option<String> {
    let (_scheme, rest) = address.known().split_once("://")?;
    authority(rest, address)
}

/// The host of an address without a scheme.
fn bare(address: &Arg) -> Option<String> {
    if address.known().contains("://") {
        return None;
    }
    authority(address.known(), address)
}

fn authority(rest: &str, address: &Arg) -> Option<String> {
    let end = rest.find(['/', '?', '#']);
    // Without an end, what the shell adds still belongs to the host.
    if end.is_none() && address.whole().is_none() {
        return None;
    }
    let authority = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
    // URL parsers differ over `\`, and over `?` and `#` before an `@`: then nobody can tell the host.
    let to_slash = rest.split('/').next().unwrap_or(rest);
    if to_slash.contains('\\') || (to_slash.contains(['?', '#']) && to_slash.contains('@')) {
        return None;
    }
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let plain = !host.is_empty()
        && host.bytes().all(|b| {
            b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'_' | b'[' | b']')
        })
        && (!host.contains('[') || host.starts_with('['));
    plain.then(|| host.to_owned())
}

/// The host of `host:path` or `rsync://host/path`.
fn far(arg: &Arg) -> Option<String> {
    if let Some(host) = host_of(arg) {
        return Some(host);
    }
    let (host, _path) = arg.known().split_once(':')?;
    let host = host.rsplit('@').next().unwrap_or(host);
    (!host.is_empty() && !host.contains('/')).then(|| host.to_owned())
}
