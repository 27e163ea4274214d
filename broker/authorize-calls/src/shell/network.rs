//! Programs that reach a host: which host, and whether something is sent.
//!
//! It must never take an address for known of which the shell will choose a part that matters.

use holdfast_protocol::call::{Effect, Manner};

use super::arg::Arg;
use super::command::Touch;
use super::env::Env;
use super::options::{Order, Parsed, Table};
use super::walk::{Stream, Walk};

const CURL: Table = Table {
    short: "AbcCdDeEFhHKmoPQrtTuUwxXyYz",
    long: &[
        "url",
        "data",
        "data-ascii",
        "data-binary",
        "data-raw",
        "data-urlencode",
        "json",
        "form",
        "form-string",
        "upload-file",
        "request",
        "header",
        "output",
        "output-dir",
        "user",
        "user-agent",
        "config",
        "proxy",
        "preproxy",
        "resolve",
        "connect-to",
        "cookie",
        "cookie-jar",
        "referer",
        "max-time",
        "connect-timeout",
        "retry",
        "retry-delay",
        "retry-max-time",
        "write-out",
        "unix-socket",
        "abstract-unix-socket",
        "cacert",
        "cert",
        "key",
        "range",
        "dump-header",
        "interface",
        "limit-rate",
        "max-redirs",
        "doh-url",
        "socks4",
        "socks4a",
        "socks5",
        "socks5-hostname",
        "netrc-file",
        "oauth2-bearer",
        "stderr",
        "trace",
        "trace-ascii",
        "time-cond",
        "ciphers",
        "proto",
        "tls-max",
        "capath",
        "aws-sigv4",
        "variable",
        "expand-url",
        "expand-data",
        "etag-save",
        "etag-compare",
        "hsts",
        "alt-svc",
        "dns-servers",
        "proxy-user",
        "proxy-header",
        "url-query",
        "mail-from",
        "mail-rcpt",
        "quote",
        "create-file-mode",
        "keepalive-time",
        "parallel-max",
    ],
};

const CURL_SENDS: &[&str] = &[
    "-d",
    "--data",
    "--data-ascii",
    "--data-binary",
    "--data-raw",
    "--data-urlencode",
    "--json",
    "-F",
    "--form",
    "--form-string",
    "-T",
    "--upload-file",
    "-Q",
    "--quote",
    "--mail-from",
    "--expand-data",
    "--url-query",
];

const CURL_ELSEWHERE: &[&str] = &[
    "-K",
    "--config",
    "--resolve",
    "--connect-to",
    "--doh-url",
    "--dns-servers",
    "--expand-url",
    "--variable",
    "--abstract-unix-socket",
    "--alt-svc",
];

const CURL_PROXIES: &[&str] = &[
    "-x",
    "--proxy",
    "--preproxy",
    "--socks4",
    "--socks4a",
    "--socks5",
    "--socks5-hostname",
];

const WGET: Table = Table {
    short: "aBDeIlnoOPQRtTUwX",
    long: &[
        "output-document",
        "output-file",
        "directory-prefix",
        "post-data",
        "post-file",
        "body-data",
        "body-file",
        "method",
        "header",
        "user",
        "password",
        "user-agent",
        "input-file",
        "execute",
        "tries",
        "timeout",
        "wait",
        "config",
        "base",
        "referer",
        "load-cookies",
        "save-cookies",
        "ca-certificate",
        "limit-rate",
        "level",
        "accept",
        "reject",
        "domains",
        "use-askpass",
    ],
};

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

    fn curl(&mut self, args: &[Arg], env: &Env) {
        let parsed = Parsed::read(args, CURL, Order::Mixed);
        if parsed.has(CURL_ELSEWHERE) {
            self.cannot_tell("`curl` is told to go elsewhere than its address says");
        }
        for option in &parsed.options {
            let Some(value) = &option.value else { continue };
            match option.name.as_str() {
                name if CURL_PROXIES.contains(&name) => self.address(value, Manner::Send),
                "-T" | "--upload-file" | "--unix-socket" | "--netrc-file" | "--cert" | "--key"
                | "-E" => {
                    self.touch(Touch::Read, value, env);
                }
                "-o" | "--output" | "-D" | "--dump-header" | "-c" | "--cookie-jar" | "--trace"
                | "--trace-ascii" | "--stderr" | "--output-dir" | "--etag-save" | "--hsts" => {
                    self.touch(Touch::Write, value, env)
                }
                name if CURL_SENDS.contains(&name)
                    || matches!(name, "-H" | "--header" | "-w" | "--write-out") =>
                {
                    let file = value.strip("@").or_else(|| {
                        let (_, file) = value
                            .known()
                            .split_once("=@")
                            .or_else(|| value.known().split_once("=<"))?;
                        Some(Arg::from(file.split(';').next().unwrap_or(file)))
                    });
                    if let Some(file) = file {
                        self.touch(Touch::Read, &file, env);
                    }
                }
                _ => {}
            }
        }
        let method = parsed.values(&["-X", "--request"]).next();
        let fetches = method.is_none_or(|m| matches!(m.whole(), Some("GET" | "HEAD" | "OPTIONS")));
        let manner = if fetches && !parsed.has(CURL_SENDS) {
            Manner::Fetch
        } else {
            Manner::Send
        };
        for address in parsed.operands.iter().chain(parsed.values(&["--url"])) {
            self.address(address, manner);
        }
    }

    fn wget(&mut self, args: &[Arg], env: &Env) {
        let parsed = Parsed::read(args, WGET, Order::Mixed);
        if parsed.has(&[
            "-e",
            "--execute",
            "--config",
            "--use-askpass",
            "-i",
            "--input-file",
            "-B",
            "--base",
        ]) {
            self.cannot_tell("`wget` is told to go elsewhere than its address says");
        }
        for file in parsed.values(&[
            "-O",
            "--output-document",
            "-P",
            "--directory-prefix",
            "-o",
            "-a",
            "--output-file",
            "--save-cookies",
        ]) {
            self.touch(Touch::Write, file, env);
        }
        for file in parsed.values(&["--post-file", "--body-file", "--load-cookies"]) {
            self.touch(Touch::Read, file, env);
        }
        let sends = parsed.has(&[
            "--post-data",
            "--post-file",
            "--body-data",
            "--body-file",
            "--method",
        ]);
        let manner = if sends { Manner::Send } else { Manner::Fetch };
        for address in &parsed.operands {
            self.address(address, manner);
        }
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
    fn address(&mut self, address: &Arg, manner: Manner) {
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
    let end = rest.find(['/', '?', '#', '\\']);
    // Without an end, what the shell adds still belongs to the host.
    if end.is_none() && address.whole().is_none() {
        return None;
    }
    let authority = end.and_then(|end| rest.get(..end)).unwrap_or(rest);
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
