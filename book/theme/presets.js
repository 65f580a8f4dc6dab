// The settings of the simulator that a page can load, in one place: the simulator runs them, and the press checks them
// and makes from them the table for readers who cannot run it. The press reads what stands between the first { and the
// last } as JSON. Speeds are KiB a tick, sizes KiB; 0 is somebody who does not read at all. What is not set is as in
// DEFAULTS of buffer-model.js. buffers: how many of the kernel's buffers there are on the way, 1, 2 or 4.
//
// title, intro: what the simulator says. scene, proxy, outcome: the table's rows. mark: its badge (book/press, verdicts.rs).
// seen: the step and the experiment in which the laboratory shows the same thing; null where no step does it yet.
"use strict";

globalThis.BufferPresets = {
    "four-buffers": {
        "title": "Four buffers",
        "intro": "The client doesn’t read. Who has to wait, and where do the bytes stay?",
        "policy": "one", "buffers": 4, "others": 0, "backend": 64, "client": 0, "send": 256, "receive": 192,
        "scene": "a backend that sends as fast as it can, a client that doesn’t read",
        "proxy": "waits in write, and doesn’t read; so the two buffers behind it fill as well",
        "outcome": "when all four buffers are full, the backend’s write waits as well, until the client reads",
        "mark": "held", "seen": null
    },
    "chapter-1": {
        "title": "Chapter 1: one at a time",
        "intro": "One client is served, at its own pace. The others are in the queue.",
        "policy": "one", "backend": 64, "client": 32,
        "scene": "a fast backend, a slow client",
        "proxy": "waits in write, and serves nobody else",
        "outcome": "every byte arrives; the next client waits in the queue until this one is done",
        "mark": "freezes", "seen": ["01-blocking", "crowd"]
    },
    "chapter-2": {
        "title": "Chapter 2: everyone at once",
        "intro": "One loop for everybody, and one client that does not read at all.",
        "policy": "block", "backend": 64, "client": 0,
        "scene": "a fast backend, a client that does not read",
        "proxy": "waits in write, inside the loop that serves everyone",
        "outcome": "no byte is lost; all other clients stand still until that one reads",
        "mark": "freezes", "seen": ["02-naive-epoll", "crowd"]
    },
    "chapter-3": {
        "title": "Chapter 3: the dropped write",
        "intro": "The backend sends three times as fast as the client reads, and write does not wait.",
        "policy": "drop", "backend": 64, "client": 20,
        "scene": "a fast backend, a slow client",
        "proxy": "does not wait, and forgets what write did not take",
        "outcome": "the buffer fills, and from then on bytes are lost",
        "mark": "loses", "seen": ["03-dropped-write", "paced"]
    },
    "chapter-4": {
        "title": "Chapter 4: an output buffer",
        "intro": "The same two speeds, and a proxy that keeps what the kernel does not take.",
        "policy": "buffer", "backend": 64, "client": 20,
        "scene": "a fast backend, a slow client",
        "proxy": "keeps the rest in a buffer of its own, and writes it when there is room",
        "outcome": "no byte is lost; the proxy's memory grows as long as the backend is faster",
        "mark": "grows", "seen": ["04-output-buffer", "pile-up"]
    },
    "chapter-5": {
        "title": "Chapter 5: backpressure",
        "intro": "The same two speeds, and a proxy with two marks: at the high one it stops reading, at the low one it goes on.",
        "policy": "hold", "buffers": 2, "backend": 64, "client": 20,
        "scene": "a fast backend, a slow client",
        "proxy": "stops reading at its high mark, and goes on at its low one",
        "outcome": "no byte is lost, the memory stays small, and the backend’s write waits",
        "mark": "held", "seen": ["05-backpressure", "pile-up"]
    },
    "spill": {
        "title": "Spill to disk",
        "intro": "The same two speeds, and a proxy that keeps a little in memory and the rest in a file.",
        "policy": "spill", "backend": 64, "client": 20, "memory": 256,
        "scene": "a fast backend, a slow client",
        "proxy": "puts what has no room into a file, and reads it back later",
        "outcome": "no byte is lost, the memory stays small, and the file grows instead",
        "mark": "held", "seen": null
    }
};
