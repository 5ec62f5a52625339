"""table.py: one-line faults. Each must turn at least one of its tests red; mutants.py plants them one by one.

(name, file, text that stands there exactly once, the text with the fault, tests that must notice: a unit program by
its name, or cli/NAME.py)
"""

MUTANTS = [
    ("philox: a constant off by one", "src/base/rng.c", "0xD2511F53u", "0xD2511F54u", ["test_base"]),
    ("permutation: an entry lost", "src/base/rng.c", "order[j] = last;", "order[j] = j + 0 * last;", ["test_base"]),
    ("buffer: too much is no error", "src/base/buf.c", 'MQ_BAD_DATA, "more than', 'MQ_OK, "more than', ["test_base"]),
    ("error: the last one wins", "src/base/status.c", "if (err->code != MQ_OK) return err->code;", "",
     ["test_base"]),
    ("pipeline: an item in its neighbour's slot", "src/base/pipeline.c", "const size_t slot = item % p->plan.slots;",
     "const size_t slot = (item + 1) % p->plan.slots;", ["test_base"]),
    ("pipeline: an item's error at another's place", "src/base/pipeline.c", "p->ring[slot].err = err;",
     "p->ring[0].err = err;", ["test_base"]),
    ("parallel: the last items left out", "src/base/par.c", "((unsigned __int128)count * part / parts)",
     "(count / parts * part)", ["test_base"]),
    ("text: an escape reaches the terminal", "src/base/text.c", "*p < 0x20", "*p < 0x1B", ["test_base"]),
    ("text: surrogates pass for UTF-8", "src/base/text.c", "code >= 0xD800", "code >= 0xE000", ["test_base"]),
    ("csv: a quote is not doubled", "src/base/text.c", '"\\"\\"" : p, *p == \'"\' ? 2 : 1',
     '"\\"" : p, 1', ["test_base"]),
    ("recipe: a member nobody knows is let pass", "src/base/recipe.c", "mq_json_size(json) == MEMBERS",
     "mq_json_size(json) >= MEMBERS", ["test_base"]),
    ("lock: two may hold it", "src/base/file.c", "LOCK_EX | LOCK_NB", "LOCK_SH | LOCK_NB", ["test_base"]),
    ("file: written in its place", "src/base/file.c", '"%s.tmp-%ld", path, (long)getpid()',
     '"%s%.0ld", path, 0L * (long)getpid()', ["test_file"]),
    ("file: a FIFO is waited for", "src/base/file.c", "O_RDONLY | O_CLOEXEC | O_NONBLOCK", "O_RDONLY | O_CLOEXEC",
     ["test_file"]),
    ("lock: the holder is not named", "src/base/file.c", "pwrite(l->fd, text, (size_t)n, 0) == n",
     "n > 0", ["test_file"]),
]
