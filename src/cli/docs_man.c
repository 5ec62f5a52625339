/* docs_man.c: the manual page, from the tables of commands and options. Called
 * by `marque docs man`. Invariant: text reaches roff only through add_text,
 * which takes the meaning from its special characters. */
#include "cli/docs.h"

#include <string.h>

/* What the tables do not say. Codes as in marque.h. */
static const struct {
    const char *code, *meaning;
} EXITS[] = {
    {"0", "done"},
    {"1", "a result is below what --assert-... asked for"},
    {"64", "the command line makes no sense"},
    {"65", "a file says something impossible; for predict: some pictures could not be read"},
    {"66", "a file is missing or unreadable"},
    {"69", "this build or processor cannot do it, or the network is out of reach"},
    {"70", "a fault of marque, or of a library below it"},
    {"71", "no memory"},
    {"73", "an output cannot be created, or is in use"},
    {"74", "reading or writing failed half-way"},
    {"75",
     "train and pull alone: stopped with everything saved; go on with train --resume, or with the same pull"},
    {"128+N", "ended by signal N: 130 for Ctrl-C, 141 where nobody reads the output; train and pull at a "
              "second Ctrl-C"},
};

static const struct {
    const char *name, *meaning;
} VARIABLES[] = {
    {"XDG_CACHE_HOME", "where the cache folder marque lies instead of ~/.cache"},
    {"HOME", "for ~/.cache"},
    {"SSL_CERT_FILE", "certificates for downloads"},
    {"TERM", "dumb: plain lines of progress"},
    {"OMP_WAIT_POLICY",
     "how OpenMP's threads wait; marque sets passive, and a short GOMP_SPINCOUNT, unless it is set"},
    {"ONEDNN_MAX_CPU_ISA", "read by oneDNN: AVX2, SSE41, ..."},
};

static const struct {
    const char *name, *meaning;
} PLACES[] = {
    {"~/.cache/marque/weights", "the networks that marque pull brought"},
    {"~/.cache/marque/features", "what frozen networks said of pictures; see marque cache"},
    {"runs/", "the results of marque train"},
};

/* Text as it is: no dot or quote at a line's start is a request, a dash is a dash that can be copied. */
static mq_status add_text(mq_err *err, mq_buf *out, const char *text) {
    mq_status status = MQ_OK;
    bool start = true;
    for (const char *p = text; *p; p++) {
        if (start && (*p == '.' || *p == '\'')) MQ_TRY(mq_buf_add_text(err, out, "\\&"));
        if (*p == '\\') {
            MQ_TRY(mq_buf_add_text(err, out, "\\e"));
        } else if (*p == '-') {
            MQ_TRY(mq_buf_add_text(err, out, "\\-"));
        } else if (*p == '\'') {
            MQ_TRY(mq_buf_add_text(err, out, "\\(aq"));
        } else if (*p == '~') {
            MQ_TRY(mq_buf_add_text(err, out, "\\(ti"));
        } else {
            MQ_TRY(mq_buf_add(err, out, p, 1));
        }
        start = *p == '\n';
    }
cleanup:
    return status;
}

/* before, text, after. */
static mq_status add(mq_err *err, mq_buf *out, const char *before, const char *text, const char *after) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_buf_add_text(err, out, before));
    MQ_TRY(add_text(err, out, text));
    MQ_TRY(mq_buf_add_text(err, out, after));
cleanup:
    return status;
}

static mq_status add_option(mq_err *err, mq_buf *out, const mq_option *option) {
    mq_status status = MQ_OK;
    const char letter[] = {'-', option->letter, 0};
    MQ_TRY(mq_buf_add_text(err, out, ".TP\n"));
    if (option->letter) MQ_TRY(add(err, out, "\\fB", letter, "\\fR, "));
    MQ_TRY(add(err, out, "\\fB\\-\\-", option->name, "\\fR"));
    if (option->kind != MQ_OPTION_FLAG) MQ_TRY(add(err, out, " \\fI", option->value, "\\fR"));
    if (option->alias) MQ_TRY(add(err, out, ", \\fB\\-\\-", option->alias, "\\fR"));
    MQ_TRY(add(err, out, "\n", option->help, ""));
    if (option->standard && option->kind != MQ_OPTION_FLAG)
        MQ_TRY(add(err, out, " [", option->standard, "]"));
    MQ_TRY(mq_buf_add_text(err, out, "\n"));
cleanup:
    return status;
}

static mq_status add_examples(mq_err *err, mq_buf *out, const char *examples) {
    return add(err, out, ".PP\n.EX\n", examples, ".EE\n");
}

static mq_status add_command(mq_err *err, mq_buf *out, const mq_command *command) {
    mq_status status = MQ_OK;
    MQ_TRY(add(err, out, ".SH \"marque ", command->name, "\"\n"));
    MQ_TRY(add(err, out, "\\fBmarque ", command->name, "\\fR "));
    MQ_TRY(add(err, out, "", command->usage, "\n.PP\n"));
    MQ_TRY(add(err, out, "", command->summary, "\n"));
    if (command->alias) MQ_TRY(add(err, out, ".PP\nAnother name: marque ", command->alias, "\n"));
    for (const mq_option *p = command->params; p->name; p++) MQ_TRY(add_option(err, out, p));
    MQ_TRY(add_examples(err, out, command->examples));
cleanup:
    return status;
}

static mq_status add_item(mq_err *err, mq_buf *out, const char *name, const char *meaning) {
    mq_status status = MQ_OK;
    MQ_TRY(add(err, out, ".TP\n\\fB", name, "\\fR\n"));
    MQ_TRY(add(err, out, "", meaning, "\n"));
cleanup:
    return status;
}

mq_status mq_docs_man(mq_err *err, mq_buf *out) {
    mq_status status = MQ_OK;
    const mq_command *const *commands = mq_commands();
    MQ_TRY(mq_buf_printf(err, out, ".TH MARQUE 1 \"\" \"marque %s\" \"User Commands\"\n", mq_version()));
    MQ_TRY(add(err, out, ".SH NAME\nmarque \\- ", mq_purpose, "\n"));
    MQ_TRY(mq_buf_add_text(err, out, ".SH SYNOPSIS\n\\fBmarque\\fR \\fICOMMAND\\fR [options]\n"));
    MQ_TRY(mq_buf_add_text(err, out, ".SH COMMANDS\n"));
    for (size_t i = 0; commands[i]; i++)
        if (!commands[i]->hidden) MQ_TRY(add_item(err, out, commands[i]->name, commands[i]->summary));
    MQ_TRY(mq_buf_add_text(err, out,
                           ".PP\nFirst steps, from a folder that holds one folder of pictures for each "
                           "class:\n"));
    MQ_TRY(add_examples(err, out, mq_first_steps));
    MQ_TRY(mq_buf_add_text(err, out,
                           ".PP\nOptions may be written \\-\\-name value or \\-\\-name=value; defaults stand "
                           "in brackets.\n"));
    for (size_t i = 0; commands[i]; i++)
        if (!commands[i]->hidden) MQ_TRY(add_command(err, out, commands[i]));
    MQ_TRY(mq_buf_add_text(err, out, ".SH \"EXIT STATUS\"\n"));
    for (size_t i = 0; i < sizeof EXITS / sizeof *EXITS; i++)
        MQ_TRY(add_item(err, out, EXITS[i].code, EXITS[i].meaning));
    MQ_TRY(mq_buf_add_text(err, out, ".SH ENVIRONMENT\n"));
    for (size_t i = 0; i < sizeof VARIABLES / sizeof *VARIABLES; i++)
        MQ_TRY(add_item(err, out, VARIABLES[i].name, VARIABLES[i].meaning));
    MQ_TRY(mq_buf_add_text(err, out, ".SH FILES\n"));
    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++)
        MQ_TRY(add_item(err, out, PLACES[i].name, PLACES[i].meaning));
cleanup:
    return status;
}
