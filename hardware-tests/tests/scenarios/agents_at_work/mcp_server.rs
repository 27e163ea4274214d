//! A server of tools over standard input and output (Model Context Protocol, revision 2025-06-18).

use std::fs;
use std::path::Path;

const SERVER: &str = r#"
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method = asked["method"]
    if method == "initialize":
        said = {"result": {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
                           "serverInfo": {"name": "kelp", "version": "1"}}}
    elif method == "tools/list":
        schema = {"type": "object", "properties": {"frond": {"type": "integer"}}, "required": ["frond"]}
        said = {"result": {"tools": [{"name": "measure", "description": "Measures a frond.", "inputSchema": schema}]}}
    elif method == "tools/call":
        frond = asked["params"]["arguments"]["frond"]
        said = {"result": {"content": [{"type": "text", "text": f"frond {frond} is {4 * frond} m long"}]}}
    else:
        said = {"error": {"code": -32601, "message": "no such method"}}
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **said}), flush=True)
"#;

/// Writes the server into the project; gives the agent's configuration of it.
pub fn put_into(project: &Path) -> String {
    fs::write(project.join("kelp_server.py"), SERVER).unwrap();
    r#"{"mcpServers": {"kelp": {"command": "/usr/bin/python3", "args": ["-I", "kelp_server.py"]}}}"#
        .to_owned()
}
