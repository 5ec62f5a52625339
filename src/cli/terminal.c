/* terminal.c: signals, progress and small formats of the program. Called by
 * every command. Invariant: a progress line is wiped before anything else is
 * written to stderr. */
#include "cli/terminal.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Process-wide by nature: signals reach the process, and it has one terminal. */
static volatile sig_atomic_t stop_signal;
static double last_progress;
static bool line_open;

/* A terminal that closes may send SIGHUP twice, by its shell and by the kernel: no sign of impatience. */
static void on_signal(int number) {
    if (stop_signal && number != SIGHUP) _exit(128 + number);
    stop_signal = number;
}

void mq_terminal_start(void) {
    const int numbers[] = {SIGINT, SIGTERM, SIGUSR1, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, before;
        sigemptyset(&action.sa_mask);
        /* What is ignored from the start stays so: nohup's SIGHUP, SIGINT in a script's background. */
        if (sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN) continue;
        sigaction(numbers[i], &action, NULL);
    }
    /* A closed pipe and a file that may not grow are errors of write, not the end of a run. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

int mq_terminal_signal(void) {
    return stop_signal;
}

bool mq_stop_wanted(void *user) {
    (void)user;
    return stop_signal != 0;
}

static bool rewrites(void) {
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

static void wipe(void) {
    if (line_open) fputs("\r\033[K", stderr);
    line_open = false;
}

void mq_progress(const char *format, ...) {
    const bool rewrite = rewrites();
    const double now = mq_seconds();
    if (last_progress == 0 && !rewrite) last_progress = now; /* short work needs no plain line at all */
    if (now - last_progress < (rewrite ? 0.1 : 10)) return;
    last_progress = now;
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct winsize window = {0};
    if (rewrite) {
        wipe();
        const bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1;
        fprintf(stderr, "%.*s", known ? window.ws_col - 1 : 79, text);
        line_open = true;
        fflush(stderr);
    } else {
        fprintf(stderr, "%s\n", text);
    }
}

void mq_progress_keep(const char *format, ...) {
    wipe();
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    last_progress = mq_seconds();
}

void mq_terminal_message(const char *prefix, const char *text) {
    wipe();
    fprintf(stderr, "%s%s\n", prefix, text);
}

const char *mq_duration(double seconds, char out[32]) {
    const long s = isfinite(seconds) && seconds > 0 && seconds < 1e9 ? lround(seconds) : 0;
    if (s < 60) {
        snprintf(out, 32, "%ld s", s);
    } else if (s < 3600) {
        snprintf(out, 32, "%ld:%02ld", s / 60, s % 60);
    } else {
        snprintf(out, 32, "%ld:%02ld:%02ld", s / 3600, s / 60 % 60, s % 60);
    }
    return out;
}

mq_status mq_parse_share(mq_err *err, const char *option, const char *text, double *share) {
    if (!text) return MQ_OK;
    char *end = NULL, safe[32];
    const double value = strtod(text, &end);
    mq_text_safe(text, safe, sizeof safe);
    if (end == text || *end || !isfinite(value) || value < 0 || value > 100)
        return mq_fail(err, MQ_USAGE, "%s takes a share from 0 to 1, not \"%s\"", option, safe);
    if (value > 1)
        return mq_fail(err, MQ_USAGE, "%s takes a share from 0 to 1, not \"%s\"; write %.2f", option, safe,
                       value / 100);
    *share = value;
    return MQ_OK;
}

mq_status mq_print_json(mq_err *err, struct json_t **json) {
    char *text = NULL;
    const mq_status status = mq_json_dump(err, *json, 1, &text);
    if (status == MQ_OK) puts(text);
    free(text);
    mq_json_free(json);
    return status;
}
