"""A web server of one file that a crowd slows down, for `bench/run figure5`: before each piece of the size of a packet it
looks through all its connections for the one that has had the least, once or more often, and it may use only a share of one
processor.

    crowded.py PORT FILE STATE_FILE

The state file holds the share and how often it looks. It is read anew several times a second, so that the server can be made
better or worse while it serves.
Not a model: the time is used up by looking through the connections, and what is over is waited out.
"""
import select
import socket
import sys
import time

PIECE = 1460
ROUND_S = 0.02


def state(path, last):
    try:
        with open(path) as file:
            share, looks = file.read().split()
            return float(share), int(looks)
    except (OSError, ValueError):
        return last


def main(port, path, state_path):
    with open(path, "rb") as file:
        body = memoryview(file.read())
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    listener = socket.create_server(("0.0.0.0", port), backlog=1024)
    listener.setblocking(False)
    asking, sent, full = set(), {}, set()
    (share, looks), read_at = state(state_path, (1.0, 1)), 0.0
    wall, used = time.monotonic(), time.process_time()
    while True:
        now = time.monotonic()
        if now > read_at + 0.2:
            read_at, (share, looks) = now, state(state_path, (share, looks))
        # What was used beyond the share is waited out; what was not used is not made up for.
        over = (time.process_time() - used) / share - (now - wall)
        if over > ROUND_S:
            time.sleep(over)
        elif over < -ROUND_S:
            wall, used = now, time.process_time()
        wait = 0 if len(full) < len(sent) else ROUND_S
        readable, writable, _ = select.select([listener, *asking], full, [], wait)
        full.difference_update(writable)
        for connection in readable:
            if connection is listener:
                accepted, _ = listener.accept()
                accepted.setblocking(False)
                accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
                asking.add(accepted)
            elif connection.recv(4096):
                asking.discard(connection)
                connection.send(head)
                sent[connection] = 0
            else:
                asking.discard(connection)
                connection.close()
        # Not more than the round's time for pieces, so that newcomers are seen.
        until = time.monotonic() + ROUND_S / 4
        while time.monotonic() < until and len(full) < len(sent):
            for _ in range(looks):
                least = min((connection for connection in sent if connection not in full), key=sent.get)
            try:
                sent[least] += least.send(body[sent[least]:sent[least] + PIECE])
            except BlockingIOError:
                full.add(least)
            except OSError:
                sent.pop(least)
                least.close()
                continue
            if sent[least] == len(body):
                sent.pop(least)
                full.discard(least)
                least.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
