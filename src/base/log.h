/* log.h: how the library speaks to whoever listens. See mq_log_set in marque.h. */
#ifndef MQ_LOG_H
#define MQ_LOG_H

#include "marque.h"

/* Sends one line without newline to the callback; drops it when none is set. Any thread. */
void mq_log(mq_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define mq_note(...) mq_log(MQ_LOG_NOTE, __VA_ARGS__)
#define mq_warn(...) mq_log(MQ_LOG_WARNING, __VA_ARGS__)

#endif
