/* main.c: the table of commands, and the way from argv to one of them and to
 * an exit code. Owns nothing else. */
#include "base/mem.h"
#include "base/text.h"
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern const mq_command mq_cmd_import, mq_cmd_scan, mq_cmd_clean, mq_cmd_pull, mq_cmd_train, mq_cmd_eval,
    mq_cmd_predict, mq_cmd_export, mq_cmd_inspect, mq_cmd_cache, mq_cmd_bench, mq_cmd_doctor, mq_cmd_docs;

static const mq_command *const commands[] = {
    &mq_cmd_pull,    &mq_cmd_import, &mq_cmd_scan,    &mq_cmd_clean, &mq_cmd_train, &mq_cmd_eval,
    &mq_cmd_predict, &mq_cmd_export, &mq_cmd_inspect, &mq_cmd_cache, &mq_cmd_bench, &mq_cmd_doctor,
    &mq_cmd_docs,    NULL,
};

enum { COMMANDS = sizeof commands / sizeof *commands - 1, HELP_LIMIT = 1 << 16 };

const char mq_purpose[] = "teaches an ImageNet network to tell fine-grained things apart";
const char mq_first_steps[] = "  marque pull xception\n"
                              "  marque import pictures -o pictures.mq\n"
                              "  marque train pictures.mq\n"
                              "  marque predict runs/pictures-xception photo.jpg\n";

const mq_command *const *mq_commands(void) {
    return commands;
}

static const mq_command *find_command(const char *name) {
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
        if (commands[i]->alias && strcmp(commands[i]->alias, name) == 0) return commands[i];
    }
    return NULL;
}

static void print_overview(FILE *out) {
    fprintf(out, "marque %s %s.\n\n", mq_version(), mq_purpose);
    fputs("usage: marque COMMAND [options]\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++)
        if (!commands[i]->hidden) fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out,
            "\nFirst steps, from a folder that holds one folder of pictures for each class:\n%s\n"
            "marque COMMAND --help shows a command's options and examples.\n",
            mq_first_steps);
}

static mq_status print_help(mq_err *err, const mq_command *command) {
    mq_buf options = mq_buf_init(HELP_LIMIT);
    const mq_status status = mq_options_help(err, command->params, &options);
    if (status == MQ_OK) {
        printf("usage: marque %s %s\n\n%s\n", command->name, command->usage, command->summary);
        if (command->alias) printf("another name: marque %s\n", command->alias);
        if (options.size) printf("\noptions (defaults in brackets):\n%s", (char *)options.data);
        printf("\nexamples:\n%s", command->examples);
    }
    mq_buf_free(&options);
    return status;
}

static mq_status unknown_command(mq_err *err, const char *name) {
    const char *names[COMMANDS + 1];
    size_t count = 0;
    for (size_t i = 0; i < COMMANDS; i++)
        if (!commands[i]->hidden) names[count++] = commands[i]->name;
    names[count] = NULL;
    char safe[64];
    mq_text_safe(name, safe, sizeof safe);
    const char *nearest = mq_text_nearest(name, names);
    return mq_fail(err, MQ_USAGE, "%s is not a command%s%s; marque --help lists them", safe,
                   nearest ? "; did you mean " : "", nearest ? nearest : "");
}

static mq_status run_command(mq_err *err, const mq_command *command, char *const *argv, size_t argc) {
    mq_status status = MQ_OK;
    void *options = NULL;
    mq_words words = {.argv = argv, .count = argc};
    for (size_t i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return print_help(err, command);
    MQ_TRY(mq_calloc(err, 1, command->options_size, "options", &options));
    MQ_TRY(mq_calloc(err, argc, sizeof *words.args, "arguments", &words.args));
    MQ_TRY(mq_options_defaults(err, command->params, options));
    MQ_TRY(mq_options_parse(err, command->params, options, &words));
    MQ_REQUIRE(words.arg_count >= command->args_min && words.arg_count <= command->args_max, err, MQ_USAGE,
               "usage: marque %s %s", command->name, command->usage);
    MQ_TRY(command->run(err, &(mq_call){options, words.args, words.arg_count, argv, argc}));
cleanup:
    free(words.args);
    free(options);
    return status;
}

static void show_log(void *user, mq_log_level level, const char *text) {
    (void)user;
    mq_terminal_message(level == MQ_LOG_WARNING ? "warning: " : "", text);
}

/* Standard streams that were closed at start must not become the first files we open. Into what may only be
 * read nothing can be written: output fails as it would have. */
static void open_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd < 2 ? O_RDONLY : O_WRONLY) != fd)
            _exit(MQ_INTERNAL);
}

/* OpenMP's threads spin while they wait for each other, which on cores shared with other work makes a step
 * many times slower. Asleep at once they wake too late where layers follow each other within microseconds, as
 * for one picture; so they spin for some ten of them (bench/SPEED.md). OpenMP reads its policy before main
 * begins, so the program starts itself once more with it; whoever set the variable is left alone. */
static void wait_asleep(char **argv) {
    char program[4096];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (getenv("OMP_WAIT_POLICY") || n <= 0 || setenv("OMP_WAIT_POLICY", "passive", 1) != 0 ||
        setenv("GOMP_SPINCOUNT", "5000", 0) != 0)
        return;
    program[n] = 0;
    execv(program, argv); /* returns only on failure; then we go on as we are */
}

/* The process ends by the very signal that stopped it, so that a shell sees why. */
static int end_by_signal(int number) {
    signal(number, SIG_DFL);
    raise(number);
    return 128 + number;
}

/* Whether nobody reads standard output any more. The write that met it may be long ago, and its errno gone.
 */
static bool reader_left(void) {
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLERR);
}

int main(int argc, char **argv) {
    wait_asleep(argv);
    open_standard_streams();
    setlocale(LC_CTYPE, ""); /* numbers stay in the C locale */
    mq_terminal_start();
    mq_log_set(show_log, NULL);
    mq_err err = {0};
    mq_status status = MQ_OK;
    const mq_command *command = argc > 1 ? find_command(argv[1]) : NULL;
    if (argc < 2) {
        print_overview(stderr);
        return MQ_USAGE;
    }
    if (argc > 2 && strcmp(argv[1], "help") == 0) {
        const mq_command *asked = find_command(argv[2]);
        status = asked ? print_help(&err, asked) : unknown_command(&err, argv[2]);
    } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_overview(stdout);
    } else if (strcmp(argv[1], "--version") == 0) {
        printf("marque %s\n", mq_version());
    } else {
        status = command ? run_command(&err, command, argv + 2, (size_t)argc - 2)
                         : unknown_command(&err, argv[1]);
    }
    errno = 0;
    const bool unwritten = fflush(stdout) != 0 || ferror(stdout);
    if (unwritten && (errno == EPIPE || reader_left())) return 128 + SIGPIPE;
    if (unwritten && status == MQ_OK) /* by a write before, whose errno is gone, or by this one */
        status = mq_fail(&err, MQ_IO, "the output cannot be written%s%s", errno ? ": " : "",
                         errno ? strerror(errno) : "");
    if (status != MQ_OK) mq_terminal_message("marque: ", err.text);
    if (status == MQ_INTERRUPTED && !command->resumable && mq_terminal_signal())
        return end_by_signal(mq_terminal_signal());
    return (int)status;
}
