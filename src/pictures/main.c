/* main.c: marque-pictures, a process of its own for one picture of a foreign format.
 *
 *   marque-pictures head|pixels NAME < PICTURE | ...
 *
 * marque starts it for each picture, reads its stream (base/foreign_picture.h) and
 * checks all of it again. On failure it writes one sentence on stderr and exits
 * with its mq_status. Invariant: whatever the picture makes it do, it can
 * neither write a file, nor take more than its share of memory and time, nor
 * harm another picture. */
#include "base/buf.h"
#include "base/limits.h"
#include "base/text.h"
#include "pictures/reader.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_LIMIT = 1 << 30, BLOCK = 1 << 16 };

/* 179 million pixels take 0.7 GB twice, and the library's own of them. */
static const mq_process_limits limits = {
    .program = "marque-pictures", .memory = (uint64_t)4 << 30, .seconds = 60, .files = 32};

static mq_status read_stdin(mq_err *err, mq_buf *file) {
    mq_status status = MQ_OK;
    for (ssize_t n = 1; n > 0; file->size += (size_t)n) {
        MQ_TRY(mq_buf_reserve(err, file, BLOCK));
        n = read(STDIN_FILENO, file->data + file->size, BLOCK);
        MQ_REQUIRE(n >= 0, err, MQ_IO, "marque-pictures: no picture on stdin");
    }
cleanup:
    return status;
}

static mq_status put(mq_err *err, const void *data, size_t size) {
    if (fwrite(data, 1, size, stdout) == size && fflush(stdout) == 0) return MQ_OK;
    return mq_fail(err, MQ_IO, "marque-pictures: its reader has gone");
}

/* The whole life of the process between its arguments and its exit code. */
static mq_status run(mq_err *err, const char *name, bool whole) {
    mq_status status = MQ_OK;
    mq_buf file = mq_buf_init(FILE_LIMIT);
    mq_foreign_head head = {0};
    uint8_t *pixels = NULL;
    mq_close_others();
    MQ_TRY(mq_limit_process(err, &limits));
    MQ_TRY(read_stdin(err, &file));
    MQ_TRY(mq_reader_read(err, &(mq_source){name, file.data, file.size}, &head, whole ? &pixels : NULL));
    MQ_TRY(put(err, &head, sizeof head));
    if (whole) MQ_TRY(put(err, pixels, (size_t)head.width * head.height * head.channels));
cleanup:
    free(pixels);
    mq_buf_free(&file);
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    char safe[sizeof err.text];
    const bool whole = argc == 3 && strcmp(argv[1], "pixels") == 0;
    if (!whole && (argc != 3 || strcmp(argv[1], "head") != 0)) {
        fputs("usage: marque-pictures head|pixels NAME < PICTURE | READER (marque starts it)\n", stderr);
        return MQ_USAGE;
    }
    const mq_status status = run(&err, argv[2], whole);
    if (status != MQ_OK) fprintf(stderr, "%s\n", mq_text_safe(err.text, safe, sizeof safe));
    return (int)status;
}
