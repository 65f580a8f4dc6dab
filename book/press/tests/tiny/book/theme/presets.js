globalThis.BufferPresets = {
    "chapter-3": {
        "scene": "a fast backend, a slow client", "proxy": "forgets", "outcome": "bytes are lost",
        "mark": "loses", "seen": ["03-dropped-write", "paced"]
    },
    "spill": { "scene": "the same", "proxy": "puts aside", "outcome": "a file grows", "mark": "held", "seen": null }
};
