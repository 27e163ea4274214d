import os, re, socket, struct, sys, time
socket_path, how = sys.argv[1], sys.argv[2]
def frame(kind, flags, stream, payload=b''):
    return struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) + struct.pack('>I', stream) + payload
def literal(name, value):
    return b'\x00' + bytes([len(name)]) + name + bytes([len(value)]) + value
fields = b''.join(literal(n, v) for n, v in [
    (b':method', b'POST'), (b':scheme', b'http'), (b':path', b'/SpiffeWorkloadAPI/FetchX509SVID'),
    (b':authority', b'localhost'), (b'content-type', b'application/grpc'), (b'te', b'trailers'),
    (b'workload.spiffe.io', b'true')])
asked = (b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(4, 0, 0) + frame(1, 4, 1, fields) + frame(0, 1, 1, b'\0' * 5))
s = socket.socket(socket.AF_UNIX)
s.connect(socket_path)
s.settimeout(20)
s.sendall(asked)
if how == 'hand-on' and os.fork() != 0:
    # The one who asked becomes what is trusted; its child has the connection.
    os.execv(sys.argv[3], [sys.argv[3], '10'])
if how == 'child-answers' and os.fork() != 0:
    time.sleep(10)
    os._exit(0)
data = b''
pings = 0
try:
    while True:
        got = s.recv(65536)
        if not got:
            break
        data += got
        rest, data = data, b''
        while len(rest) >= 9:
            length = int.from_bytes(rest[:3], 'big')
            if len(rest) < 9 + length:
                break
            kind, flags, payload = rest[3], rest[4], rest[9:9 + length]
            rest = rest[9 + length:]
            if kind == 6 and not flags & 1 and how != 'silent':
                pings += 1
                s.sendall(frame(6, 1, 0, payload))
            for name in re.findall(rb'spiffe://[a-z0-9./-]+/agent/service/[a-z0-9-]+', payload):
                print('SVID', name.decode(), flush=True)
            if kind == 0 and length or kind == 1 and flags & 1:
                print('DONE', flush=True)
                os._exit(0)
        data = rest
except OSError as error:
    print('OVER', error, flush=True)
