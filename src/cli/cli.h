/* cli.h: what every command of the program shares: its row, its call, the
 * terminal and the wish to stop. A command is one cmd_*.c with one mq_command
 * and one row in main.c. Data go to stdout, messages and progress to stderr. */
#ifndef MQ_CLI_H
#define MQ_CLI_H

#include "base/options.h"

#include <stdio.h>

typedef struct {
    const void *options;     /* the command's options struct, filled from its params */
    const char *const *args; /* words that are not options */
    size_t arg_count;
    char *const *argv; /* the words after the command, for a second parse over a config file */
    size_t argc;
} mq_call;

typedef struct {
    const char *name;
    const char *alias;   /* another name; NULL: none */
    const char *usage;   /* "SRC -o DATA [options]" */
    const char *summary; /* one line */
    const char *words;   /* what its first argument may be, "list|rm"; NULL: names of files */
    const mq_option *params;
    size_t options_size;
    size_t args_min, args_max; /* checked before run */
    const char *examples;      /* whole lines, two spaces before each */
    bool resumable;            /* MQ_INTERRUPTED exits 75 (what is done is saved) instead of by the signal */
    bool hidden; /* for those who build marque: not in the overview, manual page and completions */
    mq_status (*run)(mq_err *err, const mq_call *call);
} mq_command;

/* Every command in the order of the overview, then NULL. Static. */
const mq_command *const *mq_commands(void);

/* What the overview and the manual page both say. */
extern const char mq_purpose[];     /* the sentence "marque ..." without its first word and full stop */
extern const char mq_first_steps[]; /* whole lines, two spaces before each */

/* True once the user (SIGINT) or the system (SIGTERM, SIGUSR1, SIGHUP) asked to stop; a second signal but
 * SIGHUP ends the process at once. Any thread; user is ignored, so that it can serve as a stop callback. */
bool mq_stop_wanted(void *user);

/* Progress on stderr: on a terminal one line rewritten at most ten times a second, elsewhere a plain line
 * every ten seconds. Text without newline. */
void mq_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A line of progress that stays (an epoch's result, the end of a phase). */
void mq_progress_keep(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Seconds as "42 s", "1:12" or "2:03:04" in out; returns out. */
const char *mq_duration(double seconds, char out[32]);

/* Asks for a share in 0..1 given as text ("0.90"; "90" is refused with the right form). NULL text leaves
 * *share. */
MQ_MUST_USE mq_status mq_parse_share(mq_err *err, const char *option, const char *text, double *share);

/* Prints JSON on stdout, indented, and frees it. */
struct json_t;
MQ_MUST_USE mq_status mq_print_json(mq_err *err, struct json_t **json);

#endif
