/* foreign.c: runs marque-convert, feeds it the list of tensors and takes its
 * stream. Called by `marque pull`. Owns the child until it has ended.
 * Invariant: no more is read than the list allows, and nothing of it is
 * believed before bundle.c and mq_foreign_check have seen it. */
#include "net/foreign.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/text.h"

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
    HEADER_PER_TENSOR = 512, /* generous: names and shapes in the stream's header */
    HEADER_BASE = 4096,
    MESSAGE_LIMIT = 16384,
    BLOCK = 1 << 16,
    SILENCE_MS = 120000, /* the child has 60 s of processor time; longer silence is a stuck disk */
};

typedef struct {
    pid_t pid; /* 0: none */
    int out, messages;
    int list; /* the child's stdin, in memory */
} child;

/* The shapes come from the graph, so that the product cannot overflow. */
static size_t param_bytes(const mq_foreign_param *param) {
    size_t bytes = sizeof(float);
    for (size_t i = 0; i < param->rank; i++) bytes *= param->shape[i];
    return bytes;
}

size_t mq_foreign_bytes(const mq_foreign_list *list) {
    size_t bytes = 0;
    for (size_t i = 0; i < list->count; i++)
        for (size_t p = 0; p < list->layers[i].param_count; p++)
            bytes += param_bytes(&list->layers[i].params[p]);
    return bytes;
}

static mq_status layer_json(mq_err *err, const mq_foreign_layer *layer, mq_json *layers) {
    mq_status status = MQ_OK;
    mq_json *item = NULL, *params = NULL, *shape = NULL, *side = NULL;
    MQ_TRY(mq_json_pack(err, &item, "{s:s,s:s,s:[]}", "layer", layer->layer, "class", layer->class_name,
                        "params"));
    params = mq_json_get(item, "params");
    MQ_TRY(mq_json_append(err, layers, item));
    for (size_t p = 0; p < layer->param_count; p++) {
        const mq_foreign_param *param = &layer->params[p];
        MQ_TRY(mq_json_pack(err, &item, "{s:s,s:[]}", "name", param->name, "shape"));
        shape = mq_json_get(item, "shape");
        MQ_TRY(mq_json_append(err, params, item));
        for (size_t i = 0; i < param->rank; i++) {
            MQ_TRY(mq_json_pack(err, &side, "I", (long long)param->shape[i]));
            MQ_TRY(mq_json_append(err, shape, side));
        }
    }
cleanup:
    return status;
}

/* The list as JSON text (see convert/expected.h); *text is the caller's, for free(). */
static mq_status list_json(mq_err *err, const mq_foreign_list *list, char **text) {
    mq_status status = MQ_OK;
    mq_json *json = NULL;
    MQ_TRY(mq_json_pack(err, &json, "{s:s,s:[]}", "network", list->network, "layers"));
    for (size_t i = 0; i < list->count; i++)
        MQ_TRY(layer_json(err, &list->layers[i], mq_json_get(json, "layers")));
    MQ_TRY(mq_json_dump(err, json, 0, text));
cleanup:
    mq_json_free(&json);
    return status;
}

/* The list in a file in memory, so that nobody waits for anybody. */
static mq_status prepare_list(mq_err *err, const mq_foreign_list *list, int *fd) {
    mq_status status = MQ_OK;
    char *text = NULL;
    MQ_TRY(list_json(err, list, &text));
    *fd = memfd_create("marque-list", MFD_CLOEXEC);
    const size_t size = strlen(text);
    MQ_REQUIRE(*fd >= 0 && write(*fd, text, size) == (ssize_t)size && lseek(*fd, 0, SEEK_SET) == 0, err,
               MQ_NO_MEMORY, "no memory for the list of tensors: %s", strerror(errno));
cleanup:
    free(text);
    return status;
}

mq_status mq_foreign_find(mq_err *err, char **path) {
    mq_status status = MQ_OK;
    char program[4096];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    MQ_REQUIRE(n > 0 && n < (ssize_t)sizeof program - 1, err, MQ_INTERNAL,
               "cannot find the folder of this program");
    program[n] = 0;
    *strrchr(program, '/') = 0;
    MQ_TRY(mq_path_join(err, program, "marque-convert", path));
    if (access(*path, X_OK) == 0) return MQ_OK;
    free(*path);
    *path = NULL;
    MQ_TRY(mq_path_join(err, program, MARQUE_LIBEXEC "/marque-convert", path));
    MQ_REQUIRE(access(*path, X_OK) == 0, err, MQ_UNAVAILABLE,
               "%s is missing; marque needs it to read Keras' files", *path);
cleanup:
    return status;
}

/* Starts the child with nothing but its three streams and a locale: no environment, no other file. */
static mq_status start(mq_err *err, const char *path, child *c) {
    mq_status status = MQ_OK;
    char *program = NULL, name[] = "marque-convert", locale[] = "LC_ALL=C.UTF-8", *file = NULL;
    int out[2] = {-1, -1}, messages[2] = {-1, -1};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    MQ_TRY(mq_foreign_find(err, &program));
    MQ_TRY(mq_strdup(err, path, &file));
    MQ_REQUIRE(pipe2(out, O_CLOEXEC) == 0 && pipe2(messages, O_CLOEXEC) == 0, err, MQ_INTERNAL,
               "cannot start %s: %s", program, strerror(errno));
    int failed = posix_spawn_file_actions_adddup2(&actions, c->list, STDIN_FILENO);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    if (!failed) failed = posix_spawn_file_actions_adddup2(&actions, messages[1], STDERR_FILENO);
    if (!failed)
        failed = posix_spawn(&c->pid, program, &actions, NULL, (char *[]){name, file, NULL},
                             (char *[]){locale, NULL});
    if (failed) c->pid = 0;
    MQ_REQUIRE(!failed, err, MQ_INTERNAL, "cannot start %s: %s", program, strerror(failed));
    c->out = out[0];
    c->messages = messages[0];
    out[0] = messages[0] = -1;
cleanup:
    for (int i = 0; i < 2; i++) {
        if (out[i] >= 0) close(out[i]);
        if (messages[i] >= 0) close(messages[i]);
    }
    posix_spawn_file_actions_destroy(&actions);
    free(program);
    free(file);
    return status;
}

/* Reads what is there into buf; closes *fd at its end. */
static mq_status drain(mq_err *err, const char *path, int *fd, uint8_t *block, mq_buf *buf) {
    const ssize_t n = read(*fd, block, BLOCK);
    if (n < 0) return errno == EINTR ? MQ_OK : mq_fail(err, MQ_IO, "%s: %s", path, strerror(errno));
    if (n == 0) {
        close(*fd);
        *fd = -1;
    } else if ((size_t)n > buf->limit - buf->size) {
        return mq_fail(err, MQ_BAD_DATA, "%s: its converter gave more than was asked for", path);
    }
    return mq_buf_add(err, buf, block, (size_t)n);
}

/* Both streams at once: a child that fills one while we wait at the other would stand still. */
static mq_status read_child(mq_err *err, const char *path, child *c, mq_buf *stream, mq_buf *messages) {
    mq_status status = MQ_OK;
    uint8_t *block = NULL;
    MQ_TRY(mq_calloc(err, 1, BLOCK, "a pipe", &block));
    while (c->out >= 0 || c->messages >= 0) {
        struct pollfd fds[2] = {{c->out, POLLIN, 0}, {c->messages, POLLIN, 0}};
        const int n = poll(fds, 2, SILENCE_MS);
        MQ_REQUIRE(n != 0, err, MQ_IO, "%s: its converter was silent for %d s", path, SILENCE_MS / 1000);
        if (n < 0) continue; /* a signal */
        if (fds[0].revents) MQ_TRY(drain(err, path, &c->out, block, stream));
        if (fds[1].revents) MQ_TRY(drain(err, path, &c->messages, block, messages));
    }
cleanup:
    free(block);
    return status;
}

/* Waits for the child's end, which is at hand: it has closed its streams or is killed. */
static int reap(child *c) {
    int ended = 0;
    while (waitpid(c->pid, &ended, 0) < 0 && errno == EINTR) {}
    c->pid = 0;
    return ended;
}

/* After success only closes what is left; otherwise the child ends here, whatever it is doing. */
static void stop_child(child *c) {
    if (c->out >= 0) close(c->out);
    if (c->messages >= 0) close(c->messages);
    if (c->list >= 0) close(c->list);
    if (!c->pid) return;
    kill(c->pid, SIGKILL);
    reap(c);
}

/* The child's sentence with its own code, or what ended it. */
static mq_status judge(mq_err *err, const char *path, int ended, const mq_buf *messages) {
    char safe[sizeof err->text];
    if (WIFEXITED(ended) && WEXITSTATUS(ended) == MQ_OK) return MQ_OK;
    const char *text = messages->data ? (const char *)messages->data : "";
    const int code = WIFEXITED(ended) ? WEXITSTATUS(ended) : 0;
    if (code >= MQ_USAGE && code <= MQ_IO && messages->size) {
        char *line = strndup(text, strcspn(text, "\n"));
        const mq_status status = mq_fail(err, (mq_status)code, "%s",
                                         mq_text_safe(line ? line : "", safe, sizeof safe));
        free(line);
        return status;
    }
    return mq_fail(err, MQ_BAD_DATA, "%s: not a readable weights file (the converter stopped: %s)", path,
                   WIFSIGNALED(ended) ? strsignal(WTERMSIG(ended)) : "without a word");
}

mq_status mq_foreign_check(mq_err *err, const mq_foreign_list *list, const mq_bundle *bundle) {
    mq_status status = MQ_OK;
    char *name = NULL;
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        const mq_foreign_layer *layer = &list->layers[i];
        for (size_t p = 0; p < layer->param_count; p++, count++) {
            const mq_foreign_param *param = &layer->params[p];
            MQ_TRY(mq_format(err, &name, "%s/%s", layer->layer, param->name));
            const mq_tensor *tensor = mq_bundle_find(bundle, name);
            MQ_REQUIRE(tensor && tensor->dtype == MQ_F32 && tensor->rank == param->rank &&
                           memcmp(tensor->shape, param->shape, param->rank * sizeof *param->shape) == 0,
                       err, MQ_BAD_DATA, "%s: %s is missing or has another shape than %s wants",
                       mq_bundle_path(bundle), name, list->network);
            free(name);
            name = NULL;
        }
    }
    MQ_REQUIRE(count == mq_bundle_count(bundle), err, MQ_BAD_DATA, "%s: has %zu tensors, but %s has %zu",
               mq_bundle_path(bundle), mq_bundle_count(bundle), list->network, count);
cleanup:
    free(name);
    return status;
}

mq_status mq_foreign_read(mq_err *err, const char *path, const mq_foreign_list *list, mq_bundle **bundle) {
    mq_status status = MQ_OK;
    child c = {.out = -1, .messages = -1, .list = -1};
    const size_t tensors = list->count * MQ_FOREIGN_PARAMS;
    mq_buf stream = mq_buf_init(mq_foreign_bytes(list) + HEADER_BASE + tensors * HEADER_PER_TENSOR);
    mq_buf messages = mq_buf_init(MESSAGE_LIMIT);
    mq_bundle *b = NULL;
    MQ_REQUIRE(mq_file_exists(path), err, MQ_NO_INPUT, "%s: no such regular file", path);
    MQ_TRY(prepare_list(err, list, &c.list));
    MQ_TRY(start(err, path, &c));
    MQ_TRY(read_child(err, path, &c, &stream, &messages));
    MQ_TRY(judge(err, path, reap(&c), &messages));
    MQ_TRY(mq_bundle_parse(err, path, stream.data ? stream.data : (uint8_t *)"", stream.size, &b));
    MQ_TRY(mq_foreign_check(err, list, b));
    *bundle = b;
    b = NULL;
cleanup:
    stop_child(&c);
    mq_bundle_free(&b);
    mq_buf_free(&stream);
    mq_buf_free(&messages);
    return status;
}
