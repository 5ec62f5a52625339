/* child.h: work on files of others in a process of its own, so that what a hostile file makes of a library
 * ends there. The programs lie beside marque (as built) or in its libexec folder (as installed), which the
 * shared library finds from its own place, whoever links to it; each limits
 * itself (mq_limit_process) before it looks at a byte. */
#ifndef MQ_CHILD_H
#define MQ_CHILD_H

#include "base/buf.h"

/* All borrowed. */
typedef struct {
    size_t size;             /* sizeof(mq_child_plan) */
    const char *program;     /* "marque-convert" */
    const char *role, *kind; /* for messages: what it is and what it reads: "converter", "weights file" */
    const char *purpose;     /* what marque needs it for: "to read Keras' files" */
    const char *file;        /* which file, for messages */
    const char *args[4];     /* ended by NULL */
    const void *input;       /* what it finds on stdin */
    size_t input_size;
    /* Asked a few times a second, with the bytes it has written so far; not MQ_OK ends it. NULL: none. */
    mq_status (*go_on)(mq_err *err, void *user, size_t written);
    void *user;
} mq_child_plan;

/* Runs a child to its end and appends what it writes on stdout to out; more than out's limit is MQ_BAD_DATA.
 * It gets no environment and no open file but its three streams. A child that fails gives its own sentence
 * and code; one that dies, MQ_BAD_DATA. Any thread. Whatever happens, no child is left behind. */
MQ_MUST_USE mq_status mq_child_run(mq_err *err, const mq_child_plan *plan, mq_buf *out);

/* The path of a program of ours: in the folder of the library or program that runs, else in libexec as seen
 * from there;
 * missing: MQ_UNAVAILABLE. *path is the caller's, for free(), in either case. */
MQ_MUST_USE mq_status mq_child_find(mq_err *err, const char *program, const char *purpose, char **path);

#endif
