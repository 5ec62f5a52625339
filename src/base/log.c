/* log.c: owns the log callback, the only global state of the library. Called
 * by everyone who has something to tell that is not an error. */
#include "base/log.h"

#include <stdio.h>

static mq_log_fn log_fn;
static void *log_user;

void mq_log_set(mq_log_fn fn, void *user) {
    log_fn = fn;
    log_user = user;
}

void mq_log(mq_log_level level, const char *format, ...) {
    if (!log_fn) return;
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_fn(log_user, level, text);
}
