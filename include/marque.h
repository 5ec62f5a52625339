/* marque.h: the one header of the marque library.
 *
 * Nothing here prints, exits or keeps global state but the log callback.
 * Every function that can fail takes an mq_err first and returns its status;
 * the first error wins. */
#ifndef MARQUE_H
#define MARQUE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Values are sysexits, so that the program can exit with them as they are. */
typedef enum {
    MQ_OK = 0,
    MQ_GATE_MISSED = 1,  /* a result is below what --assert-... asked for */
    MQ_USAGE = 64,       /* the caller asked for something that makes no sense */
    MQ_BAD_DATA = 65,    /* a file says something impossible */
    MQ_NO_INPUT = 66,    /* a file is missing or unreadable */
    MQ_UNAVAILABLE = 69, /* this build or processor cannot do it, or the network is out of reach */
    MQ_INTERNAL = 70,    /* a fault of marque or of a library below it */
    MQ_NO_MEMORY = 71,
    MQ_CANNOT_CREATE = 73, /* an output cannot be created, or is in use */
    MQ_IO = 74,            /* reading or writing failed half-way */
    MQ_INTERRUPTED = 75,   /* stopped with everything saved: run me again */
} mq_status;

/* Stands before every function that returns mq_status (gcc 12 has no must-use types in C17). */
#define MQ_MUST_USE __attribute__((warn_unused_result))

typedef struct {
    mq_status code;
    char text[1024]; /* one sentence: which file and row, what is wrong, what to do */
} mq_err;

typedef enum { MQ_LOG_NOTE, MQ_LOG_WARNING } mq_log_level;

/* Receives every message of the library; text is borrowed until it returns. Called from any thread. */
typedef void (*mq_log_fn)(void *user, mq_log_level level, const char *text);

/* Sets the callback for the whole process; NULL drops messages (the state at start). user is borrowed. */
void mq_log_set(mq_log_fn fn, void *user);

/* The version of the library, such as "0.1.0". Static. */
const char *mq_version(void);

#ifdef __cplusplus
}
#endif
#endif
