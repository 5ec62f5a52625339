/* cmd_docs.c: `marque docs`, the manual page and the shells' completions on
 * stdout. Called by the build (cmake/install.cmake); hidden from the overview.
 * Invariant: commands and options come from the tables that --help shows. */
#include "cli/docs.h"

#include <errno.h>
#include <string.h>

enum { DOCS_LIMIT = 1 << 20 };

typedef struct {
    bool unused; /* there are no options, but a struct must have a member */
} docs_options;

static const mq_option params[] = {{.name = NULL}};

static const struct {
    const char *name;
    mq_status (*make)(mq_err *err, mq_buf *out);
} KINDS[] = {{"man", mq_docs_man}, {"bash", mq_docs_bash}, {"zsh", mq_docs_zsh}, {"fish", mq_docs_fish}};

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    mq_buf out = mq_buf_init(DOCS_LIMIT);
    size_t kind = 0;
    while (kind < sizeof KINDS / sizeof *KINDS && strcmp(call->args[0], KINDS[kind].name) != 0) kind++;
    MQ_REQUIRE(kind < sizeof KINDS / sizeof *KINDS, err, MQ_USAGE, "usage: marque docs man|bash|zsh|fish");
    MQ_TRY(KINDS[kind].make(err, &out));
    MQ_REQUIRE(fwrite(out.data, 1, out.size, stdout) == out.size, err, MQ_IO,
               "the output cannot be written: %s", strerror(errno));
cleanup:
    mq_buf_free(&out);
    return status;
}

const mq_command mq_cmd_docs = {
    .name = "docs",
    .usage = "man|bash|zsh|fish",
    .summary = "print the manual page, or what completes words in a shell",
    .params = params,
    .options_size = sizeof(docs_options),
    .args_min = 1,
    .args_max = 1,
    .examples = "  marque docs man | man -l -\n"
                "  source <(marque docs bash)\n",
    .hidden = true,
    .run = run,
};
