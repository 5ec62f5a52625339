/* child.c: starts a limited child, feeds it and takes what it says. Called by
 * whoever reads files of others (net/foreign.c, data/). Owns the child until
 * it has ended. Invariant: no more is read than the caller allows, and a child
 * lives neither longer than the call nor longer than marque. */
#include "base/child.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MESSAGE_LIMIT = 16384,
    BLOCK = 1 << 16,
    ASK_MS = 200,
    SILENCE_S = 120, /* children have a limit of processor time; longer silence is a stuck disk */
    ARGS = sizeof((mq_child_plan *)0)->args / sizeof(char *),
    PATH_SIZE = 4096,
    UNKNOWN = -1,
};
static const char LIBRARY[] = "/libmarque.so";

typedef struct {
    const mq_child_plan *plan;
    pid_t pid; /* 0: none */
    int in;    /* its stdin, in memory, so that nobody waits for anybody */
    int out, messages;
} child;

/* The folder of the code that runs, and *libexec as seen from there: of libmarque.so where it is that, for
 * who links to it lies anywhere; else of the program. */
static mq_status own_folder(mq_err *err, char folder[PATH_SIZE], const char **libexec) {
    static const char here[] = "";
    Dl_info info = {0};
    const char *name = dladdr(here, &info) && info.dli_fname ? strrchr(info.dli_fname, '/') : NULL;
    const bool shared = name && strncmp(name, LIBRARY, strlen(LIBRARY)) == 0 &&
                        realpath(info.dli_fname, folder);
    const ssize_t n = shared ? (ssize_t)strlen(folder) : readlink("/proc/self/exe", folder, PATH_SIZE - 1);
    if (n <= 0 || n >= PATH_SIZE - 1)
        return mq_fail(err, MQ_INTERNAL, "cannot find the folder of this program");
    folder[n] = 0;
    *strrchr(folder, '/') = 0;
    *libexec = shared ? MARQUE_LIBEXEC_OF_LIB : MARQUE_LIBEXEC;
    return MQ_OK;
}

mq_status mq_child_find(mq_err *err, const char *program, const char *purpose, char **path) {
    mq_status status = MQ_OK;
    char folder[PATH_SIZE];
    const char *libexec;
    MQ_TRY(own_folder(err, folder, &libexec));
    MQ_TRY(mq_path_join(err, folder, program, path));
    if (access(*path, X_OK) == 0) return MQ_OK;
    free(*path);
    *path = NULL;
    MQ_TRY(mq_format(err, path, "%s/%s/%s", folder, libexec, program));
    MQ_REQUIRE(access(*path, X_OK) == 0, err, MQ_UNAVAILABLE, "%s is missing; marque needs it %s", *path,
               purpose);
cleanup:
    return status;
}

/* What keeps a child from being started is most often a limit of this process. */
static mq_status lack(int error) {
    return error == EAGAIN ? MQ_NO_MEMORY : mq_status_of_errno(error, MQ_INTERNAL);
}

static bool write_input(const child *c) {
    const char *bytes = c->plan->input;
    for (size_t done = 0; done < c->plan->input_size;) {
        const ssize_t n = write(c->in, bytes + done, c->plan->input_size - done);
        if (n > 0)
            done += (size_t)n;
        else if (n == 0 || errno != EINTR)
            return false;
    }
    return lseek(c->in, 0, SEEK_SET) == 0;
}

/* A limit on the size of files holds in memory, too. Its signal would end the process, so this thread takes
 * it back, unless the caller had it blocked. */
static mq_status prepare_input(mq_err *err, child *c) {
    sigset_t limit, before;
    sigemptyset(&limit);
    sigaddset(&limit, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &limit, &before);
    c->in = memfd_create("marque-input", MFD_CLOEXEC);
    const bool good = c->in >= 0 && write_input(c);
    const int error = errno;
    if (!good && error == EFBIG && !sigismember(&before, SIGXFSZ))
        sigtimedwait(&limit, NULL, &(struct timespec){0});
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (good) return MQ_OK;
    return mq_fail(err, MQ_NO_MEMORY, "no room for what %s is to read: %s", c->plan->program,
                   strerror(error));
}

/* In a group of its own: the terminal's Ctrl-C comes to us, who then end the child. */
static int spawn(child *c, const char *program, char **words, const int streams[3]) {
    char locale[] = "LC_ALL=C.UTF-8";
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    int failed = 0;
    for (int i = 0; i < 3 && !failed; i++) failed = posix_spawn_file_actions_adddup2(&actions, streams[i], i);
    if (!failed)
        failed = posix_spawn(&c->pid, program, &actions, &attributes, words, (char *[]){locale, NULL});
    if (failed) c->pid = 0;
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return failed;
}

/* Starts the child with nothing but its three streams and a locale: no environment, and what other files the
 * program has open without O_CLOEXEC it closes first (mq_close_others). */
static mq_status start(mq_err *err, child *c) {
    mq_status status = MQ_OK;
    const mq_child_plan *plan = c->plan;
    char *program = NULL, *words[ARGS + 1] = {0};
    int out[2] = {-1, -1}, messages[2] = {-1, -1};
    MQ_TRY(mq_child_find(err, plan->program, plan->purpose, &program));
    MQ_TRY(mq_strdup(err, plan->program, &words[0]));
    for (size_t i = 0; i + 1 < ARGS && plan->args[i]; i++)
        MQ_TRY(mq_strdup(err, plan->args[i], &words[i + 1]));
    MQ_REQUIRE(pipe2(out, O_CLOEXEC) == 0 && pipe2(messages, O_CLOEXEC) == 0, err, lack(errno),
               "cannot start %s: %s", program, strerror(errno));
    const int failed = spawn(c, program, words, (int[]){c->in, out[1], messages[1]});
    MQ_REQUIRE(!failed, err, lack(failed), "cannot start %s: %s", program, strerror(failed));
    c->out = out[0];
    c->messages = messages[0];
    out[0] = messages[0] = -1;
cleanup:
    for (int i = 0; i < 2; i++) {
        if (out[i] >= 0) close(out[i]);
        if (messages[i] >= 0) close(messages[i]);
    }
    for (size_t i = 0; i < ARGS; i++) free(words[i]);
    free(program);
    return status;
}

/* Reads what is there into buf; closes *fd at its end. */
static mq_status drain(mq_err *err, const mq_child_plan *plan, int *fd, uint8_t *block, mq_buf *buf) {
    const ssize_t n = read(*fd, block, BLOCK);
    if (n < 0) return errno == EINTR ? MQ_OK : mq_fail(err, MQ_IO, "%s: %s", plan->file, strerror(errno));
    if (n == 0) {
        close(*fd);
        *fd = -1;
    } else if ((size_t)n > buf->limit - buf->size) {
        return mq_fail(err, MQ_BAD_DATA, "%s: its %s gave more than was asked for", plan->file, plan->role);
    }
    return mq_buf_add(err, buf, block, (size_t)n);
}

/* Both streams at once: a child that fills one while we wait at the other would stand still. */
static mq_status read_child(mq_err *err, child *c, mq_buf *out, mq_buf *messages) {
    mq_status status = MQ_OK;
    const mq_child_plan *plan = c->plan;
    uint8_t *block = NULL;
    double heard = mq_seconds(), asked = heard;
    MQ_TRY(mq_calloc(err, 1, BLOCK, "a pipe", &block));
    while (c->out >= 0 || c->messages >= 0) {
        struct pollfd fds[2] = {{c->out, POLLIN, 0}, {c->messages, POLLIN, 0}};
        const int n = poll(fds, 2, ASK_MS);
        const double now = mq_seconds();
        if (n > 0) heard = now;
        MQ_REQUIRE(now - heard < SILENCE_S, err, MQ_IO, "%s: its %s was silent for %d s", plan->file,
                   plan->role, SILENCE_S);
        if (n > 0 && fds[0].revents) MQ_TRY(drain(err, plan, &c->out, block, out));
        if (n > 0 && fds[1].revents) MQ_TRY(drain(err, plan, &c->messages, block, messages));
        if (plan->go_on && (n <= 0 || (now - asked) * 1000 >= ASK_MS)) {
            MQ_TRY(plan->go_on(err, plan->user, out->size));
            asked = now;
        }
    }
cleanup:
    free(block);
    return status;
}

/* Waits for the child's end, which is at hand: it has closed its streams or is killed. UNKNOWN where somebody
 * else has taken the news: a program that ignores SIGCHLD, or waits for all its children. */
static int reap(child *c) {
    int ended = 0;
    pid_t pid;
    while ((pid = waitpid(c->pid, &ended, 0)) < 0 && errno == EINTR) {}
    c->pid = 0;
    return pid < 0 ? UNKNOWN : ended;
}

/* After success only closes what is left; otherwise the child ends here, whatever it is doing. */
static void stop_child(child *c) {
    if (c->out >= 0) close(c->out);
    if (c->messages >= 0) close(c->messages);
    if (c->in >= 0) close(c->in);
    /* A number that is no longer our child's may be somebody else's by now. */
    if (!c->pid || waitpid(c->pid, NULL, WNOHANG) != 0) return;
    kill(c->pid, SIGKILL);
    reap(c);
}

/* The child's sentence with its own code, or what ended it. */
static mq_status judge(mq_err *err, const mq_child_plan *plan, int ended, const mq_buf *messages) {
    char safe[sizeof err->text];
    const bool good = ended == UNKNOWN ? !messages->size : WIFEXITED(ended) && WEXITSTATUS(ended) == MQ_OK;
    if (good) return MQ_OK;
    const char *text = messages->data ? (const char *)messages->data : "";
    const int code = ended == UNKNOWN ? MQ_BAD_DATA : WIFEXITED(ended) ? WEXITSTATUS(ended) : 0;
    if (code >= MQ_USAGE && code <= MQ_IO && messages->size) {
        char *line = strndup(text, strcspn(text, "\n"));
        const mq_status status = mq_fail(err, (mq_status)code, "%s",
                                         mq_text_safe(line ? line : "", safe, sizeof safe));
        free(line);
        return status;
    }
    return mq_fail(err, MQ_BAD_DATA, "%s: not a readable %s (the %s stopped: %s)", plan->file, plan->kind,
                   plan->role, WIFSIGNALED(ended) ? strsignal(WTERMSIG(ended)) : "without a word");
}

mq_status mq_child_run(mq_err *err, const mq_child_plan *plan, mq_buf *out) {
    mq_status status = MQ_OK;
    child c = {.plan = plan, .in = -1, .out = -1, .messages = -1};
    mq_buf messages = mq_buf_init(MESSAGE_LIMIT);
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a child of another size");
    MQ_TRY(prepare_input(err, &c));
    MQ_TRY(start(err, &c));
    MQ_TRY(read_child(err, &c, out, &messages));
    MQ_TRY(judge(err, plan, reap(&c), &messages));
cleanup:
    stop_child(&c);
    mq_buf_free(&messages);
    return status;
}
