/* terminal.h: the part of the terminal that only main.c needs. */
#ifndef MQ_TERMINAL_H
#define MQ_TERMINAL_H

#include "cli/cli.h"

/* Catches SIGINT, SIGTERM, SIGUSR1 and SIGHUP for mq_stop_wanted and ignores SIGPIPE and SIGXFSZ. */
void mq_terminal_start(void);

/* The signal that asked to stop, or 0. */
int mq_terminal_signal(void);

/* One line on stderr. */
void mq_terminal_message(const char *prefix, const char *text);

#endif
