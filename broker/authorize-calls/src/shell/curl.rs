//! `curl` and `wget`: addresses, what is sent, which files are read and written, and what goes elsewhere.
//!
//! It must never take an upload for a fetch.

use holdfast_protocol::call::Manner;

use super::arg::Arg;
use super::command::Touch;
use super::env::Env;
use super::options::{Order, Parsed, Table};
use super::walk::Walk;

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

impl Walk<'_> {
    pub(super) fn curl(&mut self, args: &[Arg], env: &Env) {
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

    pub(super) fn wget(&mut self, args: &[Arg], env: &Env) {
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
}
