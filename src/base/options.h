/* options.h: options declared once in a table, from which parsing, defaults,
 * config files and --help come. */
#ifndef MQ_OPTIONS_H
#define MQ_OPTIONS_H

#include "base/buf.h"

typedef enum {
    MQ_OPTION_FLAG,   /* bool; --name */
    MQ_OPTION_INT,    /* int64_t; --name N */
    MQ_OPTION_REAL,   /* double; --name F */
    MQ_OPTION_TEXT,   /* const char *, NULL without default; borrowed from what was parsed */
    MQ_OPTION_CHOICE, /* int, the index of the word in value ("a|b|c") */
} mq_option_kind;

/* One row; a table ends with a row without name. */
typedef struct {
    const char *name;  /* without dashes */
    const char *alias; /* another accepted name; NULL: none */
    char letter;       /* -b; 0: none */
    mq_option_kind kind;
    const char *value;    /* what --help shows for the value; the words of a choice */
    const char *standard; /* the default as text; NULL: false, 0 or NULL */
    double min, max;      /* of INT and REAL; both 0: any */
    size_t offset;        /* of the member in the options struct */
    const char *help;
} mq_option;

/* Writes every default into options. */
MQ_MUST_USE mq_status mq_options_defaults(mq_err *err, const mq_option *params, void *options);

/* Sets one member from text; a wrong name or value is MQ_USAGE with the nearest name. where is "--" or a
 * config file's name, for the message. */
MQ_MUST_USE mq_status mq_options_set(mq_err *err, const mq_option *params, void *options, const char *where,
                                     const char *name, const char *text);

/* The words of a command line, and those of them that are no options. */
typedef struct {
    char *const *argv; /* count words, without program and command; borrowed */
    size_t count;
    const char **args; /* room for count; filled */
    size_t arg_count;  /* filled */
} mq_words;

/* Parses words over options. "-" is no option, and neither is anything that follows "--". */
MQ_MUST_USE mq_status mq_options_parse(mq_err *err, const mq_option *params, void *options, mq_words *words);

/* Refuses options that have another value than their default unless words ("imgsz|jobs") has them: MQ_USAGE,
 * "--thaw means nothing for USE". */
MQ_MUST_USE mq_status mq_options_only(mq_err *err, const mq_option *params, const void *options,
                                      const char *words, const char *use);

/* Appends the options part of --help. */
MQ_MUST_USE mq_status mq_options_help(mq_err *err, const mq_option *params, mq_buf *out);

#endif
